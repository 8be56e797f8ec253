/*
 * The packets of a move. Checks each once for both sides; owns nothing. The borders of packets come
 * from SOCK_SEQPACKET, see unix(7).
 */
#include "ipc/move.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

size_t
move_bytes_length(size_t payload)
{
	return offsetof(struct move_bytes, bytes) + payload;
}

enum move_result
move_send(int channel, const void *packet, size_t length, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)packet, .iov_len = length};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		mh.msg_control = control.space;
		mh.msg_controllen = sizeof(control.space);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	while (sendmsg(channel, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS || errno == ENOMEM)
			return MOVE_AGAIN;
		return errno == EPIPE || errno == ECONNRESET ? MOVE_ENDED : MOVE_BROKEN;
	}
	return MOVE_OK;
}

static bool
move_is_name(const char *name, size_t size)
{
	return name[0] != '\0' && memchr(name, '\0', size) != NULL;
}

/* What it waits for must be there: whoever has it looks at that when its time has come. */
static bool
move_wait_valid(const struct move_head *head)
{
	bool lingers = (head->flags & MOVE_LINGERING) != 0;

	return head->wait_for < MOVE_WAIT_COUNT &&
	       lingers == (head->wait_for == MOVE_WAIT_LINGER) &&
	       (head->wait_for != MOVE_WAIT_MESSAGE || head->in + head->state > 0) &&
	       (head->write == 0 || head->out > 0);
}

static bool
move_head_valid(const struct move_head *head)
{
	return move_is_name(head->service, sizeof(head->service)) &&
	       move_is_name(head->protocol, sizeof(head->protocol)) &&
	       head->state <= MOVE_BYTES_MAX && head->in <= MOVE_BYTES_MAX &&
	       head->out <= MOVE_BYTES_MAX && head->bytes == head->state + head->in + head->out &&
	       move_wait_valid(head);
}

bool
move_valid(const union move_packet *packet, size_t length, bool has_fd, bool from_giver)
{
	if (length < sizeof(packet->type))
		return false;
	switch (packet->type) {
	case MOVE_HEAD:
		/* Of another version only the beginning is the same; it will be refused. */
		if (length >= offsetof(struct move_head, listener) &&
		    packet->head.version != MOVE_VERSION)
			return from_giver && has_fd;
		return from_giver && has_fd && length == sizeof(packet->head) &&
		       move_head_valid(&packet->head);
	case MOVE_BYTES:
		return from_giver && !has_fd && length > move_bytes_length(0);
	case MOVE_CREDIT:
	case MOVE_TAKEN:
	case MOVE_REFUSED:
		return !from_giver && !has_fd && length == sizeof(packet->answer);
	default:
		return false;
	}
}

/* Returns how many descriptors came; the first of them is *fd, the others are closed. */
static unsigned
move_take_fds(struct msghdr *mh, int *fd)
{
	unsigned came = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (came++ == 0)
				*fd = one;
			else
				close(one);
		}
	}
	return came;
}

enum move_result
move_receive(int channel, bool from_giver, union move_packet *packet, size_t *length, int *fd)
{
	/* Room for more than is allowed, so that a surplus is seen and closed. */
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = packet, .iov_len = sizeof(*packet)};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	unsigned came;
	ssize_t n;

	*fd = -1;
	/*
	 * A peer that died with packets of ours unread leaves ECONNRESET, once, in front of what it
	 * had sent: that must still be heard.
	 */
	do
		n = recvmsg(channel, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return errno == EAGAIN ? MOVE_AGAIN : MOVE_BROKEN;
	*length = (size_t)n;
	came = move_take_fds(&mh, fd);
	if (n == 0 && came == 0)
		return MOVE_ENDED;
	if ((mh.msg_flags & MSG_CTRUNC) != 0 && came == 0 && (mh.msg_flags & MSG_TRUNC) == 0 &&
	    move_valid(packet, *length, true, from_giver) && packet->type == MOVE_HEAD)
		return MOVE_TRUNCATED;
	if ((mh.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0 && came <= 1 &&
	    move_valid(packet, *length, came == 1, from_giver))
		return MOVE_OK;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return MOVE_BROKEN;
}
