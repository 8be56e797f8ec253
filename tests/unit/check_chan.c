/*
 * Tests of the control channel: what one end may send the other takes, and every message that
 * breaks the table in msg.c is refused without leaving a descriptor open.
 *
 * Wrong messages are written with plain sendmsg(2) behind the back of chan_send().
 */
#include "ipc/chan.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAW_FDS_MAX 10

static const struct row {
	const char *name;
	uint32_t type;
	enum msg_side sender;
	uint32_t length;
	unsigned fds;
} rows[] = {
#define X(constant, value, sender, payload, fds)                                                   \
	{#constant, value, sender,                                                                 \
	    (uint32_t)(offsetof(struct msg, empty) + sizeof(struct payload)), fds},
    MESSAGES(X)
#undef X
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int chan_ends[2], chan_null;
static unsigned fds_before;

static unsigned
fds_open(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	ck_assert_ptr_nonnull(folder);
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static void
setup(void)
{
	ck_assert_int_eq(chan_pair(chan_ends), 0);
	chan_null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(chan_null, 0);
	fds_before = fds_open();
}

static void
teardown(void)
{
	close(chan_ends[0]);
	close(chan_ends[1]);
	close(chan_null);
}

/* A message with arbitrary bytes and `fds` copies of /dev/null. */
static void
send_raw(int fd, const void *bytes, size_t length, unsigned fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * RAW_FDS_MAX)];
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
			memcpy(CMSG_DATA(cmsg) + sizeof(int) * i, &chan_null, sizeof(int));
	}
	ck_assert_int_eq(sendmsg(fd, &header, MSG_NOSIGNAL), (ssize_t)length);
}

static struct msg
row_message(const struct row *row)
{
	struct msg msg;

	memset(&msg, 0, sizeof(msg));
	msg.type = row->type;
	memset((char *)&msg + offsetof(struct msg, empty), 0x5a,
	    row->length - offsetof(struct msg, empty));
	return msg;
}

static enum msg_side
other_side(enum msg_side side)
{
	return side == MSG_FROM_MASTER ? MSG_FROM_WORKER : MSG_FROM_MASTER;
}

static enum chan_result
receive_one(enum msg_side sender, struct msg *msg, int fds[MSG_FDS_MAX])
{
	for (int i = 0; i < MSG_FDS_MAX; i++)
		fds[i] = 12345;
	return chan_receive(chan_ends[1], sender, msg, fds);
}

/* Receives what must not be taken; nothing may stay open, and the array must not lie. */
static enum chan_result
receive_bad(enum msg_side sender)
{
	struct msg msg;
	int fds[MSG_FDS_MAX];
	enum chan_result result = receive_one(sender, &msg, fds);

	ck_assert_int_ne(result, CHAN_OK);
	ck_assert_uint_eq(fds_open(), fds_before);
	for (int i = 0; i < MSG_FDS_MAX; i++)
		ck_assert_int_eq(fds[i], -1);
	return result;
}

START_TEST(test_pair_is_nonblocking_and_cloexec)
{
	for (int i = 0; i < 2; i++) {
		int type = 0;
		socklen_t length = sizeof(type);

		ck_assert(fcntl(chan_ends[i], F_GETFL) & O_NONBLOCK);
		ck_assert(fcntl(chan_ends[i], F_GETFD) & FD_CLOEXEC);
		ck_assert_int_eq(getsockopt(chan_ends[i], SOL_SOCKET, SO_TYPE, &type, &length), 0);
		ck_assert_int_eq(type, SOCK_SEQPACKET);
	}
}
END_TEST

START_TEST(test_table_has_every_row)
{
	const struct row *row = &rows[_i];
	const struct msg_info *info = msg_info(row->type);

	ck_assert_ptr_nonnull(info);
	ck_assert_str_eq(info->name, row->name);
	ck_assert_uint_eq(info->type, row->type);
	ck_assert_int_eq(info->sender, row->sender);
	ck_assert_uint_eq(info->length, row->length);
	ck_assert_uint_eq(info->fds, row->fds);
	ck_assert_uint_le(info->fds, MSG_FDS_MAX);
	ck_assert_uint_le(info->length, sizeof(struct msg));
	for (size_t i = 0; i < ROWS; i++)
		ck_assert(i == (size_t)_i || rows[i].type != row->type);
}
END_TEST

START_TEST(test_table_has_no_other_row)
{
	unsigned known = 0;

	for (uint32_t type = 0; type < 100000; type++)
		known += msg_info(type) != NULL;
	ck_assert_uint_eq(known, ROWS);
	ck_assert_ptr_null(msg_info(UINT32_MAX));
}
END_TEST

START_TEST(test_every_message_arrives)
{
	const struct row *row = &rows[_i];
	struct msg sent = row_message(row), got;
	int sent_fds[MSG_FDS_MAX] = {chan_null, chan_null}, got_fds[MSG_FDS_MAX];

	ck_assert_int_eq(chan_send(chan_ends[0], &sent, sent_fds), CHAN_OK);
	ck_assert_int_eq(receive_one(row->sender, &got, got_fds), CHAN_OK);
	ck_assert_mem_eq(&got, &sent, row->length);
	ck_assert_uint_eq(fds_open(), fds_before + row->fds);
	for (unsigned i = 0; i < MSG_FDS_MAX; i++) {
		if (i >= row->fds) {
			ck_assert_int_eq(got_fds[i], -1);
			continue;
		}
		ck_assert_int_ne(got_fds[i], chan_null);
		ck_assert(fcntl(got_fds[i], F_GETFD) & FD_CLOEXEC);
		close(got_fds[i]);
	}
	ck_assert_uint_eq(fds_open(), fds_before);
	ck_assert_int_eq(receive_bad(row->sender), CHAN_AGAIN);
}
END_TEST

START_TEST(test_messages_keep_their_order)
{
	struct msg msg = {.type = MSG_PING};
	int fds[MSG_FDS_MAX];

	for (uint64_t i = 0; i < 20; i++) {
		msg.number.number = i;
		ck_assert_int_eq(chan_send(chan_ends[0], &msg, NULL), CHAN_OK);
	}
	for (uint64_t i = 0; i < 20; i++) {
		ck_assert_int_eq(receive_one(MSG_FROM_MASTER, &msg, fds), CHAN_OK);
		ck_assert_uint_eq(msg.number.number, i);
	}
}
END_TEST

START_TEST(test_descriptors_keep_their_order)
{
	struct msg msg = {.type = MSG_INSTANCE};
	int pipe_ends[2], got[MSG_FDS_MAX];
	char byte = 'x';

	ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
	int given[MSG_FDS_MAX] = {pipe_ends[1], pipe_ends[0]};
	ck_assert_int_eq(chan_send(chan_ends[0], &msg, given), CHAN_OK);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	ck_assert_int_eq(receive_one(MSG_FROM_MASTER, &msg, got), CHAN_OK);
	ck_assert_int_eq(write(got[0], &byte, 1), 1);
	ck_assert_int_eq(read(got[1], &byte, 1), 1);
	close(got[0]);
	close(got[1]);
}
END_TEST

START_TEST(test_wrong_sender)
{
	const struct row *row = &rows[_i];
	struct msg msg = row_message(row);

	send_raw(chan_ends[0], &msg, row->length, row->fds);
	ck_assert_int_eq(receive_bad(other_side(row->sender)), CHAN_BROKEN);
}
END_TEST

START_TEST(test_wrong_length)
{
	const struct row *row = &rows[_i];
	char bytes[sizeof(struct msg) * 4] = {0};
	struct msg msg = row_message(row);

	memcpy(bytes, &msg, sizeof(msg));
	for (size_t length = 1; length <= sizeof(bytes); length++) {
		if (length == row->length)
			continue;
		send_raw(chan_ends[0], bytes, length, row->fds);
		ck_assert_int_eq(receive_bad(row->sender), CHAN_BROKEN);
	}
}
END_TEST

/* Too many descriptors may look like lost ones; in either case none stays open. */
START_TEST(test_wrong_descriptor_count)
{
	const struct row *row = &rows[_i];
	struct msg msg = row_message(row);

	for (unsigned fds = 0; fds <= RAW_FDS_MAX; fds++) {
		if (fds == row->fds)
			continue;
		send_raw(chan_ends[0], &msg, row->length, fds);
		enum chan_result result = receive_bad(row->sender);
		if (fds <= MSG_FDS_MAX)
			ck_assert_int_eq(result, CHAN_BROKEN);
		else
			ck_assert(result == CHAN_BROKEN || result == CHAN_TRUNCATED);
	}
}
END_TEST

START_TEST(test_unknown_type)
{
	static const uint32_t unknown[] = {0, 1, 99, 199, 65636, UINT32_MAX};
	struct msg msg = {.type = 0};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		ck_assert_ptr_null(msg_info(unknown[i]));
		msg.type = unknown[i];
		for (size_t length = 1; length <= sizeof(msg); length++) {
			send_raw(chan_ends[0], &msg, length, 0);
			ck_assert_int_eq(receive_bad(MSG_FROM_MASTER), CHAN_BROKEN);
			send_raw(chan_ends[0], &msg, length, 2);
			ck_assert_int_eq(receive_bad(MSG_FROM_WORKER), CHAN_BROKEN);
		}
	}
}
END_TEST

/* An empty packet cannot be told from the end: either way the peer is done with. */
START_TEST(test_empty_packet)
{
	enum chan_result result;

	send_raw(chan_ends[0], "", 0, 0);
	result = receive_bad(MSG_FROM_MASTER);
	ck_assert(result == CHAN_BROKEN || result == CHAN_CLOSED);
	send_raw(chan_ends[0], "", 0, 2);
	result = receive_bad(MSG_FROM_MASTER);
	ck_assert(result == CHAN_BROKEN || result == CHAN_CLOSED);
}
END_TEST

START_TEST(test_send_refuses_unknown_type)
{
	struct msg msg = {.type = 7};

	ck_assert_int_eq(chan_send(chan_ends[0], &msg, NULL), CHAN_BROKEN);
	ck_assert_int_eq(receive_bad(MSG_FROM_MASTER), CHAN_AGAIN);
}
END_TEST

START_TEST(test_nothing_to_read)
{
	ck_assert_int_eq(receive_bad(MSG_FROM_MASTER), CHAN_AGAIN);
}
END_TEST

START_TEST(test_peer_is_gone)
{
	struct msg msg = {.type = MSG_PING}, got;
	int fds[MSG_FDS_MAX];

	ck_assert_int_eq(chan_send(chan_ends[0], &msg, NULL), CHAN_OK);
	close(chan_ends[0]);
	fds_before--;
	/* what was sent before the end still arrives */
	ck_assert_int_eq(receive_one(MSG_FROM_MASTER, &got, fds), CHAN_OK);
	ck_assert_int_eq(receive_bad(MSG_FROM_MASTER), CHAN_CLOSED);
	msg.type = MSG_PONG;
	ck_assert_int_eq(chan_send(chan_ends[1], &msg, NULL), CHAN_CLOSED);
	chan_ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}
END_TEST

/* A peer that dies with unread messages in its queue is closed (ECONNRESET), not broken. */
START_TEST(test_peer_died_unread)
{
	struct msg msg = {.type = MSG_PONG};

	ck_assert_int_eq(chan_send(chan_ends[1], &msg, NULL), CHAN_OK);
	close(chan_ends[0]);
	fds_before--;
	ck_assert_int_eq(receive_bad(MSG_FROM_MASTER), CHAN_CLOSED);
	chan_ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}
END_TEST

START_TEST(test_full_channel)
{
	struct msg msg = {.type = MSG_INSTANCE};
	int given[MSG_FDS_MAX] = {chan_null, chan_null}, fds[MSG_FDS_MAX];
	unsigned sent = 0, got = 0;
	enum chan_result result;

	while ((result = chan_send(chan_ends[0], &msg, given)) == CHAN_OK && sent < 100000)
		msg.instance.slot = ++sent;
	ck_assert_int_eq(result, CHAN_AGAIN);
	ck_assert_uint_gt(sent, 0);
	ck_assert_uint_eq(fds_open(), fds_before);
	while (chan_receive(chan_ends[1], MSG_FROM_MASTER, &msg, fds) == CHAN_OK) {
		ck_assert_uint_eq(msg.instance.slot, got++);
		close(fds[0]);
		close(fds[1]);
	}
	ck_assert_uint_eq(got, sent);
	ck_assert_uint_eq(fds_open(), fds_before);
	msg.type = MSG_INSTANCE;
	ck_assert_int_eq(chan_send(chan_ends[0], &msg, given), CHAN_OK);
}
END_TEST

/* `room` descriptors can still be opened when a message with two of them arrives. */
START_TEST(test_descriptors_are_lost)
{
	struct msg msg = {.type = MSG_INSTANCE};
	int given[MSG_FDS_MAX] = {chan_null, chan_null}, fds[MSG_FDS_MAX];
	struct rlimit limit, old;
	int room = _i, filler[64], fillers = 0;

	ck_assert_int_eq(chan_send(chan_ends[0], &msg, given), CHAN_OK);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = 48;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (fillers < 64 && (filler[fillers] = dup(chan_null)) >= 0)
		fillers++;
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_int_ge(fillers, room);
	for (int i = 0; i < room; i++)
		close(filler[--fillers]);

	enum chan_result result = chan_receive(chan_ends[1], MSG_FROM_MASTER, &msg, fds);
	if (room == 2) {
		ck_assert_int_eq(result, CHAN_OK);
		close(fds[0]);
		close(fds[1]);
	} else {
		ck_assert_int_eq(result, CHAN_TRUNCATED);
		ck_assert_int_eq(fds[0], -1);
		ck_assert_int_eq(fds[1], -1);
	}
	while (fillers > 0)
		close(filler[--fillers]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_uint_eq(fds_open(), fds_before);
	ck_assert_int_eq(receive_bad(MSG_FROM_MASTER), CHAN_AGAIN);
}
END_TEST

START_TEST(test_bad_descriptor)
{
	struct msg msg = {.type = MSG_PING};
	int fds[MSG_FDS_MAX] = {12345, 12345};

	ck_assert_int_eq(chan_send(-1, &msg, NULL), CHAN_BROKEN);
	ck_assert_int_eq(chan_receive(-1, MSG_FROM_MASTER, &msg, fds), CHAN_BROKEN);
	ck_assert_int_eq(fds[0], -1);
	ck_assert_int_eq(fds[1], -1);
}
END_TEST

START_TEST(test_valid)
{
	const struct row *row = &rows[_i];
	struct msg msg = row_message(row);
	char far[1 + sizeof(msg)];

	ck_assert_int_eq(chan_valid(&msg, row->length, row->fds, row->sender), 1);
	ck_assert_int_eq(chan_valid(&msg, row->length, row->fds, other_side(row->sender)), 0);
	ck_assert_int_eq(chan_valid(&msg, row->length, row->fds + 1, row->sender), 0);
	ck_assert_int_eq(chan_valid(&msg, row->length - 1, row->fds, row->sender), 0);
	ck_assert_int_eq(chan_valid(&msg, row->length + 1, row->fds, row->sender), 0);
	ck_assert_int_eq(chan_valid(&msg, 0, row->fds, row->sender), 0);
	/* bytes from anywhere need not be aligned */
	memcpy(far + 1, &msg, sizeof(msg));
	ck_assert_int_eq(chan_valid(far + 1, row->length, row->fds, row->sender), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chan");
	TCase *table = tcase_create("table"), *good = tcase_create("good"),
	      *bad = tcase_create("bad");

	tcase_add_loop_test(table, test_table_has_every_row, 0, (int)ROWS);
	tcase_add_test(table, test_table_has_no_other_row);
	tcase_add_loop_test(table, test_valid, 0, (int)ROWS);

	tcase_add_checked_fixture(good, setup, teardown);
	tcase_add_test(good, test_pair_is_nonblocking_and_cloexec);
	tcase_add_loop_test(good, test_every_message_arrives, 0, (int)ROWS);
	tcase_add_test(good, test_messages_keep_their_order);
	tcase_add_test(good, test_descriptors_keep_their_order);
	tcase_add_test(good, test_nothing_to_read);
	tcase_add_test(good, test_peer_is_gone);
	tcase_add_test(good, test_peer_died_unread);
	tcase_add_test(good, test_full_channel);

	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_loop_test(bad, test_wrong_sender, 0, (int)ROWS);
	tcase_add_loop_test(bad, test_wrong_length, 0, (int)ROWS);
	tcase_add_loop_test(bad, test_wrong_descriptor_count, 0, (int)ROWS);
	tcase_add_test(bad, test_unknown_type);
	tcase_add_test(bad, test_empty_packet);
	tcase_add_test(bad, test_send_refuses_unknown_type);
	tcase_add_loop_test(bad, test_descriptors_are_lost, 0, 3);
	tcase_add_test(bad, test_bad_descriptor);

	suite_add_tcase(suite, table);
	suite_add_tcase(suite, good);
	suite_add_tcase(suite, bad);
	return help_run(suite);
}
