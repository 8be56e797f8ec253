/*
 * A control channel's end. Message borders come from SOCK_SEQPACKET, so there is no framing; the
 * checks against the table happen here, once, for both sides.
 */
#include "ipc/chan.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
chan_pair(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
}

enum chan_result
chan_send(int fd, const struct msg *msg, const int *fds)
{
	const struct msg_info *info = msg_info(msg->type);
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(MSG_FDS_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)msg};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (info == NULL || (info->fds > 0 && fds == NULL))
		return CHAN_BROKEN;
	iov.iov_len = info->length;
	if (info->fds > 0) {
		mh.msg_control = control.space;
		mh.msg_controllen = CMSG_SPACE(info->fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(info->fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, info->fds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return CHAN_OK;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
			return CHAN_AGAIN;
		if (errno == EPIPE || errno == ECONNRESET)
			return CHAN_CLOSED;
		return CHAN_BROKEN;
	}
}

/* Moves the received descriptors to fds[]; more than MSG_FDS_MAX are closed. Returns how many came.
 */
static size_t
chan_take_fds(struct msghdr *mh, int fds[MSG_FDS_MAX])
{
	size_t came = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (came < MSG_FDS_MAX)
				fds[came] = fd;
			else
				close(fd);
			came++;
		}
	}
	return came;
}

static void
chan_close_fds(int fds[MSG_FDS_MAX])
{
	for (size_t i = 0; i < MSG_FDS_MAX; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

int
chan_valid(const void *bytes, size_t length, size_t fds, enum msg_side sender)
{
	const struct msg_info *info;
	uint32_t type;

	if (length < sizeof(type))
		return 0;
	memcpy(&type, bytes, sizeof(type));
	info = msg_info(type);
	return info != NULL && info->sender == sender && info->length == length && info->fds == fds;
}

enum chan_result
chan_receive(int fd, enum msg_side sender, struct msg *msg, int fds[MSG_FDS_MAX])
{
	/* Room for more than is allowed, so that a peer's surplus is seen and closed. */
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(16 * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	ssize_t n;
	size_t came;

	memset(msg, 0, sizeof(*msg));
	for (size_t i = 0; i < MSG_FDS_MAX; i++)
		fds[i] = -1;
	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN       ? CHAN_AGAIN
		       : errno == ECONNRESET ? CHAN_CLOSED
					     : CHAN_BROKEN;
	came = chan_take_fds(&mh, fds);
	if (n == 0 && came == 0)
		return CHAN_CLOSED;
	if ((mh.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0 &&
	    chan_valid(msg, (size_t)n, came, sender))
		return CHAN_OK;
	chan_close_fds(fds);
	return (mh.msg_flags & MSG_CTRUNC) != 0 && came < MSG_FDS_MAX ? CHAN_TRUNCATED
								      : CHAN_BROKEN;
}
