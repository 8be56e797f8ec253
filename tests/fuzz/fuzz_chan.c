/*
 * Fuzzing of the control channel: any bytes, with any number of descriptors, from either side.
 *
 * The first byte chooses the side and the number of descriptors, the rest is the packet. The checks
 * alone and a receive through a real socketpair must agree, and no descriptor may stay open.
 */
#include "ipc/chan.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_FDS_MAX    4
#define FUZZ_PACKET_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_must(int truth)
{
	if (!truth)
		abort();
}

/* The lowest free descriptor: it moves up when one leaks. */
static int
fuzz_lowest_free(int fd)
{
	int lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	fuzz_must(lowest >= 0);
	close(lowest);
	return lowest;
}

static void
fuzz_send(int fd, const uint8_t *bytes, size_t length, unsigned fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * FUZZ_FDS_MAX)];
	} control = {.room = {0}};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (fds > 0) {
		header.msg_control = control.room;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fds);
		for (unsigned i = 0; i < fds; i++)
			memcpy(CMSG_DATA(cmsg) + sizeof(int) * i, &fd, sizeof(int));
	}
	fuzz_must(sendmsg(fd, &header, MSG_NOSIGNAL) == (ssize_t)length);
}

static void
fuzz_receive(int fd, enum msg_side side, const uint8_t *bytes, size_t length, int valid)
{
	struct msg msg;
	int fds[MSG_FDS_MAX];
	enum chan_result result = chan_receive(fd, side, &msg, fds);

	fuzz_must((result == CHAN_OK) == (valid != 0));
	if (result == CHAN_OK) {
		const struct msg_info *info = msg_info(msg.type);
		fuzz_must(info != NULL && memcmp(&msg, bytes, length) == 0);
		for (unsigned i = 0; i < MSG_FDS_MAX; i++)
			fuzz_must((fds[i] >= 0) == (i < info->fds));
	}
	for (unsigned i = 0; i < MSG_FDS_MAX; i++)
		if (result == CHAN_OK && fds[i] >= 0)
			close(fds[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int ends[2];

	if (size < 1 || size > FUZZ_PACKET_MAX)
		return 0;
	enum msg_side side = (data[0] & 1) != 0 ? MSG_FROM_MASTER : MSG_FROM_WORKER;
	unsigned fds = (data[0] >> 1) % (FUZZ_FDS_MAX + 1);
	const uint8_t *bytes = data + 1;
	size_t length = size - 1;

	int valid = chan_valid(bytes, length, fds, side);
	fuzz_must(chan_pair(ends) == 0);
	int lowest = fuzz_lowest_free(ends[0]);
	fuzz_send(ends[0], bytes, length, fds);
	fuzz_receive(ends[1], side, bytes, length, valid);
	fuzz_must(fuzz_lowest_free(ends[0]) == lowest);
	close(ends[0]);
	close(ends[1]);
	return 0;
}
