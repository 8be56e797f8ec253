/*
 * A worker takes connections, the test gives them by hand: what is granted, what is refused, and
 * that the answers tell who owns what.
 */
#include "common/clock.h"
#include "ipc/chan.h"
#include "ipc/move.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"
#include "workers/take.h"

#include <check.h>
#include <sys/socket.h>

#define SERVICE(name, port)                                                                        \
	"[service " name "]\nlisten=127.0.0.1:" port "\nprotocol=line\nhandler=echo\n"

static struct seat seat;
static int channel, client = -1;

static void
open_one(int fd_limit)
{
	int ends[2];

	seat_open(&seat, SERVICE("a", "1"), BACKEND_EPOLL, NULL);
	seat_worker(&seat)->fd_limit = fd_limit;
	ck_assert_int_eq(chan_pair(ends), 0);
	channel = ends[0];
	take_on_order(seat_worker(&seat), &(struct msg_take){.order = 1}, ends[1]);
}

static void
close_one(void)
{
	close(channel);
	seat_turn(&seat);
	if (client >= 0)
		close(client);
	seat_close(&seat);
}

static struct move_head
a_head(uint64_t number)
{
	return (struct move_head){.type = MOVE_HEAD,
	    .version = MOVE_VERSION,
	    .number = number,
	    .bytes = 12,
	    .listener = SEAT_INODE,
	    .service = "a",
	    .protocol = "line",
	    .protocol_version = 1,
	    .state = 8,
	    .in = 4};
}

/* The client's end stays open in `client`. */
static void
send_head(const struct move_head *head)
{
	int ends[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(move_send(channel, head, sizeof(*head), ends[0]), MOVE_OK);
	close(ends[0]);
	if (client >= 0)
		close(client);
	client = ends[1];
}

static void
send_bytes(const char *bytes, size_t length)
{
	static struct move_bytes packet = {.type = MOVE_BYTES};

	memcpy(packet.bytes, bytes, length);
	ck_assert_int_eq(move_send(channel, &packet, move_bytes_length(length), -1), MOVE_OK);
}

#define STATE "\0\0\0\0\0\0\0\0"

static void
expect(enum move_type type, uint32_t why, uint64_t number)
{
	static union move_packet packet;
	size_t length;
	int none;

	ck_assert_int_eq(move_receive(channel, false, &packet, &length, &none), MOVE_OK);
	ck_assert_uint_eq(packet.type, type);
	ck_assert_uint_eq(packet.answer.why, why);
	ck_assert_uint_eq(packet.answer.number, number);
}

static void
expect_nothing(enum move_result result)
{
	static union move_packet packet;
	size_t length;
	int none;

	ck_assert_int_eq(move_receive(channel, false, &packet, &length, &none), result);
}

/* Refused at once; its bytes harm nobody, and the next one is taken. */
START_TEST(of_another_version)
{
	struct move_head head = a_head(0), strange = head;

	open_one(1000);
	expect(MOVE_CREDIT, 0, 256);
	strange.version = MOVE_VERSION + 1;
	strange.bytes = 16;
	memset((char *)&strange + offsetof(struct move_head, listener), 0x5a,
	    sizeof(strange) - offsetof(struct move_head, listener));
	send_head(&strange);
	send_bytes(STATE "what", 12);
	send_bytes("ever", 4);
	seat_turn(&seat);
	expect(MOVE_REFUSED, MOVE_NEVER, 0);
	expect_nothing(MOVE_AGAIN);
	head.number = 1;
	send_head(&head);
	send_bytes(STATE "hal", 11);
	seat_turn(&seat);
	expect_nothing(MOVE_AGAIN);
	ck_assert_uint_eq(seat_worker(&seat)->open, 0);
	send_bytes("f", 1);
	seat_turn(&seat);
	expect(MOVE_TAKEN, 0, 1);
	ck_assert_int_eq(write(client, "\n", 1), 1);
	seat_turn(&seat);
	ck_assert_int_eq(read(client, &(char[9]){0}, 9), 5);
	close_one();
}
END_TEST

/* No more are granted than there are descriptors for, and others when some are closed. */
START_TEST(room_is_kept)
{
	struct move_head head = a_head(0);
	int first;

	head.bytes = head.state = head.in = 0;
	open_one(2);
	expect(MOVE_CREDIT, 0, 1); /* the other half is for who connects */
	take_tick(seat_worker(&seat));
	expect(MOVE_CREDIT, 0, 1);
	take_tick(seat_worker(&seat));
	expect_nothing(MOVE_AGAIN);
	send_head(&head);
	seat_turn(&seat);
	expect(MOVE_TAKEN, 0, 0);
	first = client;
	client = -1;
	head.number = 1;
	send_head(&head);
	seat_turn(&seat);
	expect(MOVE_TAKEN, 0, 1);
	take_tick(seat_worker(&seat));
	expect_nothing(MOVE_AGAIN);
	close(first);
	seat_turn(&seat);
	take_tick(seat_worker(&seat));
	expect(MOVE_CREDIT, 0, 1);
	close_one();
}
END_TEST

/* Who sends without a grant, or out of turn, has broken the rules: it hears the end. */
START_TEST(rules_are_kept)
{
	struct move_head head = a_head(0);

	open_one(_i == 0 ? 0 : 1000);
	if (_i > 0)
		expect(MOVE_CREDIT, 0, 256);
	head.number = _i == 1;
	send_head(&head);
	if (_i == 2)
		send_head(&head);
	if (_i == 3)
		send_bytes(STATE "halfx", 13);
	seat_turn(&seat);
	expect_nothing(MOVE_ENDED);
	ck_assert_uint_eq(seat_worker(&seat)->open, 0);
	ck_assert(LIST_EMPTY(&seat_worker(&seat)->takes));
	close_one();
}
END_TEST

/* A worker that is told to drain while one comes leaves it to the giver. */
START_TEST(who_drains_takes_no_more)
{
	struct move_head head = a_head(0);
	int ends[2];

	open_one(1000);
	expect(MOVE_CREDIT, 0, 256);
	send_head(&head);
	seat_turn(&seat);
	take_stop_all(seat_worker(&seat));
	expect_nothing(MOVE_ENDED);
	ck_assert_uint_eq(seat_worker(&seat)->promised, 0);
	seat_worker(&seat)->draining = true;
	ck_assert_int_eq(chan_pair(ends), 0);
	take_on_order(seat_worker(&seat), &(struct msg_take){.order = 2}, ends[1]);
	close(channel);
	channel = ends[0];
	expect_nothing(MOVE_ENDED);
	seat_worker(&seat)->draining = false;
	close_one();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("take");
	TCase *tcase = tcase_create("take");

	tcase_add_test(tcase, of_another_version);
	tcase_add_test(tcase, room_is_kept);
	tcase_add_loop_test(tcase, rules_are_kept, 0, 4);
	tcase_add_test(tcase, who_drains_takes_no_more);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
