/*
 * Moves in which one side is the test itself: what it refuses, what it may not do. Whoever breaks a
 * rule is left alone: the worker goes on, and holds no descriptor more than before.
 */
#include "tests/unit/move_pair.h"

#include "ipc/chan.h"
#include "ipc/move.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONF                                                                                       \
	"[service a]\nlisten=127.0.0.1:0\nprotocol=line\nhandler=echo\n"                           \
	"max_message=4M\nhigh_water=4M\n"
#define BIG ((size_t)2 << 20) /* more than a channel takes */

static struct pair pair;
static int channel; /* the test's end */
static int before;  /* descriptors of the worker */

/* ---- both sides ---- */

static void
begin(enum pair_side side)
{
	int ends[2];

	pair_ping(&pair, side);
	before = pair_count_fds(&pair, side);
	ck_assert_int_eq(chan_pair(ends), 0);
	channel = ends[0];
	pair_order(&pair, side, ends[1]);
}

static void
say(const void *packet, size_t length, int fd)
{
	ck_assert_int_eq(move_send(channel, packet, length, fd), MOVE_OK);
}

static enum move_result
hear(bool from_giver, union move_packet *packet, int *fd)
{
	enum move_result result;
	size_t length;

	help_wait_for(
	    (result = move_receive(channel, from_giver, packet, &length, fd)) != MOVE_AGAIN);
	return result;
}

/* The worker has hung up, lives, and has let go of all that came by the channel. */
static void
check_ended(enum pair_side side, int more)
{
	union move_packet packet;
	int fd;

	while (hear(side == PAIR_GIVER, &packet, &fd) == MOVE_OK)
		if (fd >= 0)
			close(fd);
	close(channel);
	pair_ping(&pair, side);
	help_wait_for(pair_count_fds(&pair, side) == before + more);
}

/* ---- a giver ---- */

static int client; /* the other end of what is given */

static struct move_head
head_of(uint64_t number, uint64_t state, uint64_t in, uint64_t out)
{
	struct move_head head = {.type = MOVE_HEAD,
	    .version = MOVE_VERSION,
	    .number = number,
	    .bytes = state + in + out,
	    .service = "a",
	    .protocol = "line",
	    .protocol_version = 1,
	    .state = state,
	    .in = in,
	    .out = out};
	struct stat status;

	ck_assert_int_eq(fstat(pair.listener, &status), 0);
	head.listener = status.st_ino;
	return head;
}

/* A connection, of which the test keeps only the client's end. */
static void
say_head(const struct move_head *head)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	fcntl(ends[0], F_SETFL, 0);
	client = ends[0];
	say(head, sizeof(*head), ends[1]);
	close(ends[1]);
}

static void
say_bytes(const void *bytes, size_t length)
{
	struct move_bytes packet = {.type = MOVE_BYTES};

	memcpy(packet.bytes, bytes, length);
	say(&packet, move_bytes_length(length), -1);
}

static void
hear_credit(void)
{
	union move_packet packet;
	int fd;

	ck_assert_int_eq(hear(false, &packet, &fd), MOVE_OK);
	ck_assert_uint_eq(packet.type, MOVE_CREDIT);
	ck_assert_uint_gt(packet.answer.number, 100);
}

static void
hear_answer(enum move_type type, uint32_t why, uint64_t number)
{
	union move_packet packet;
	int fd;

	do
		ck_assert_int_eq(hear(false, &packet, &fd), MOVE_OK);
	while (packet.type == MOVE_CREDIT);
	ck_assert_uint_eq(packet.type, type);
	ck_assert_uint_eq(packet.answer.why, why);
	ck_assert_uint_eq(packet.answer.number, number);
}

static void
setup_taker(void)
{
	pair_open(&pair, CONF, CONF, false);
	pair_accept(&pair, PAIR_TAKER);
	begin(PAIR_TAKER);
	hear_credit();
}

static void
teardown(void)
{
	pair_close(&pair);
}

START_TEST(what_keeps_the_rules_is_taken)
{
	struct move_head head = head_of(0, 0, 0, 0);
	uint64_t scanned = 2;

	say_head(&head);
	hear_answer(MOVE_TAKEN, 0, 0);
	pair_talk(client, 1);
	head = head_of(1, sizeof(scanned), 2, 3);
	say_head(&head);
	say_bytes(&scanned, sizeof(scanned));
	say_bytes("hiol", 4);
	say_bytes("d", 1);
	hear_answer(MOVE_TAKEN, 0, 1);
	pair_expect(client, "old", 3);
	pair_send(client, "\n", 1);
	pair_expect(client, "hi\n", 3);
	shutdown(channel, SHUT_WR);
	check_ended(PAIR_TAKER, 2);
}
END_TEST

/* Each in turn; whatever is refused, the next one is taken. */
static const struct {
	size_t offset; /* of what is other than it should be */
	size_t length;
	const char *value;
} refused[] = {
    {offsetof(struct move_head, service), 2, "b"},
    {offsetof(struct move_head, protocol), 6, "frame"},
    {offsetof(struct move_head, protocol_version), 1, "\x7"},
    {offsetof(struct move_head, listener), 1, "\xff"},
    {offsetof(struct move_head, version), 1, "\x7"},
};

START_TEST(what_does_not_fit_is_refused)
{
	struct move_head head = head_of(0, 8, 2, 0);

	memcpy((char *)&head + refused[_i].offset, refused[_i].value, refused[_i].length);
	say_head(&head);
	say_bytes("12345678", 8);
	say_bytes("90", 2);
	hear_answer(MOVE_REFUSED, MOVE_NEVER, 0);
	pair_expect_end(client, NULL, 0);
	head = head_of(1, 0, 0, 0);
	say_head(&head);
	hear_answer(MOVE_TAKEN, 0, 1);
	pair_talk(client, 1);
	shutdown(channel, SHUT_WR);
	check_ended(PAIR_TAKER, 1);
}
END_TEST

START_TEST(another_versions_head_may_be_longer)
{
	struct {
		struct move_head head;
		char more[100];
	} longer = {.head = head_of(0, 0, 0, 0)};

	longer.head.version = MOVE_VERSION + 1;
	say(&longer, sizeof(longer), channel);
	hear_answer(MOVE_REFUSED, MOVE_NEVER, 0);
	longer.head.number = 1;
	say(&longer, offsetof(struct move_head, listener), channel);
	hear_answer(MOVE_REFUSED, MOVE_NEVER, 1);
	shutdown(channel, SHUT_WR);
	check_ended(PAIR_TAKER, 0);
}
END_TEST

START_TEST(state_without_sense_ends_its_connection)
{
	struct move_head head = head_of(0, 8, 1, 0);

	say_head(&head);
	say_bytes("\xff\xff\xff\xff\xff\xff\xff\xffi", 9);
	hear_answer(MOVE_TAKEN, 0, 0);
	pair_expect_end(client, NULL, 0);
	shutdown(channel, SHUT_WR);
	check_ended(PAIR_TAKER, 0);
}
END_TEST

START_TEST(what_ends_in_the_middle_is_not_kept)
{
	struct move_head head = head_of(0, 8, 100000, 0);

	say_head(&head);
	say_bytes("12345678901234567890", 20);
	shutdown(channel, SHUT_WR);
	check_ended(PAIR_TAKER, 0);
	pair_expect_end(client, NULL, 0);
}
END_TEST

static void
give_a_wrong_number(void)
{
	struct move_head head = head_of(1, 0, 0, 0);

	say_head(&head);
}

static void
give_too_many_bytes(void)
{
	struct move_head head = head_of(0, 8, 1, 0);

	say_head(&head);
	say_bytes("1234567890", 10);
}

static void
give_another_sum(void)
{
	struct move_head head = head_of(0, 8, 1, 0);

	head.bytes++;
	say_head(&head);
}

static void
give_bytes_of_nothing(void)
{
	client = -1;
	say_bytes("1", 1);
}

/* The first one's descriptor must not stay behind. */
static void
give_two_at_once(void)
{
	struct move_head head = head_of(0, 8, 1, 0);

	say_head(&head);
	head.number = 1;
	say(&head, sizeof(head), channel);
}

static void
give_no_descriptor(void)
{
	struct move_head head = head_of(0, 0, 0, 0);

	client = -1;
	say(&head, sizeof(head), -1);
}

static void
give_a_descriptor_with_bytes(void)
{
	struct move_head head = head_of(0, 8, 1, 0);
	struct move_bytes bytes = {.type = MOVE_BYTES};

	say_head(&head);
	say(&bytes, move_bytes_length(3), channel);
}

static void
give_nothing_in_bytes(void)
{
	struct move_head head = head_of(0, 8, 1, 0);

	say_head(&head);
	say_bytes("", 0);
}

static void
give_too_long_a_packet(void)
{
	static char bytes[sizeof(union move_packet) + 1];
	struct move_head head = head_of(0, 0, 100000, 0);

	say_head(&head);
	bytes[0] = MOVE_BYTES;
	say(bytes, sizeof(bytes), -1);
}

static void
give_an_endless_name(void)
{
	struct move_head head = head_of(0, 0, 0, 0);

	memset(head.service, 'a', sizeof(head.service));
	say_head(&head);
}

static void
give_too_large_a_number(void)
{
	struct move_head head = head_of(0, 0, 0, 0);

	head.in = head.bytes = MOVE_BYTES_MAX + 1;
	say_head(&head);
}

static void
give_an_answer(void)
{
	struct move_answer answer = {.type = MOVE_CREDIT, .number = 1};

	client = -1;
	say(&answer, sizeof(answer), -1);
}

static void
give_what_is_no_packet(void)
{
	client = -1;
	say("??", 2, -1);
}

static void (*const wrong_gifts[])(void) = {
    give_a_wrong_number,
    give_too_many_bytes,
    give_another_sum,
    give_bytes_of_nothing,
    give_two_at_once,
    give_no_descriptor,
    give_a_descriptor_with_bytes,
    give_nothing_in_bytes,
    give_too_long_a_packet,
    give_an_endless_name,
    give_too_large_a_number,
    give_an_answer,
    give_what_is_no_packet,
};

START_TEST(a_giver_that_breaks_the_rules)
{
	wrong_gifts[_i]();
	check_ended(PAIR_TAKER, 0);
	if (client >= 0)
		pair_expect_end(client, NULL, 0);
}
END_TEST

/* ---- a taker without descriptors ---- */

static void
limit_taker(rlim_t most)
{
	struct rlimit limit = {.rlim_cur = most, .rlim_max = 1024};

	ck_assert_int_eq(prlimit(pair.workers[PAIR_TAKER].pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

START_TEST(a_head_without_credit)
{
	struct move_head head;

	pair_open(&pair, CONF, CONF, false);
	pair_accept(&pair, PAIR_TAKER);
	limit_taker(40); /* all of which are kept for programs and files */
	pair_ping(&pair, PAIR_TAKER);
	begin(PAIR_TAKER);
	head = head_of(0, 0, 0, 0);
	say_head(&head);
	check_ended(PAIR_TAKER, 0);
	pair_expect_end(client, NULL, 0);
	pair_close(&pair);
}
END_TEST

START_TEST(a_descriptor_that_finds_no_room)
{
	struct move_head head = head_of(0, 8, 1, 0);

	limit_taker((rlim_t)pair_lowest_fd(&pair, PAIR_TAKER));
	say_head(&head);
	say_bytes("12345678i", 9);
	hear_answer(MOVE_REFUSED, MOVE_NOT_NOW, 0);
	pair_expect_end(client, NULL, 0);
	limit_taker(1024);
	head = head_of(1, 0, 0, 0);
	say_head(&head);
	hear_answer(MOVE_TAKEN, 0, 1);
	pair_talk(client, 1);
	shutdown(channel, SHUT_WR);
	check_ended(PAIR_TAKER, 1);
}
END_TEST

/* However many knock: what was promised to a giver is there, and some are let in. */
START_TEST(who_connects_leaves_what_was_promised)
{
	union move_packet packet;
	struct move_head head;
	uint64_t credits;
	int fd;

	pair_open(&pair, CONF, CONF, false);
	pair_kill(&pair, PAIR_GIVER);
	pair_accept(&pair, PAIR_TAKER);
	limit_taker(400);
	pair_ping(&pair, PAIR_TAKER);
	begin(PAIR_TAKER);
	ck_assert_int_eq(hear(false, &packet, &fd), MOVE_OK);
	credits = packet.answer.number;
	ck_assert_uint_gt(credits, 100);
	for (int i = 0; i < 400; i++)
		(void)pair_knock(&pair);
	help_wait_for(pair_open_count(&pair, PAIR_TAKER) > 100);
	pair_wait_quiet(&pair, PAIR_TAKER);
	for (uint64_t i = 0; i < credits; i++) {
		head = head_of(i, 0, 0, 0);
		say_head(&head);
		hear_answer(MOVE_TAKEN, 0, i);
	}
	pair_talk(client, 1);
	pair_close(&pair);
}
END_TEST

/* ---- a taker ---- */

static int idle, half;

static void
setup_giver(void)
{
	static char beginning[BIG];

	memset(beginning, 'x', sizeof(beginning));
	pair_open(&pair, CONF, CONF, false);
	idle = pair_connect(&pair);
	half = pair_connect(&pair);
	pair_send(half, beginning, sizeof(beginning));
	pair_wait_quiet(&pair, PAIR_GIVER);
	begin(PAIR_GIVER);
}

static void
answer(enum move_type type, uint32_t why, uint64_t number)
{
	struct move_answer packet = {.type = type, .why = why, .number = number};

	say(&packet, sizeof(packet), -1);
}

static void
check_served(int one)
{
	static char rest[BIG + 2];

	if (one == half) {
		memset(rest, 'x', sizeof(rest));
		memcpy(rest + BIG, "y\n", 2);
		pair_send(half, "y\n", 2);
		pair_expect(half, rest, sizeof(rest));
	}
	pair_talk(one, 3);
}

static void
check_given(uint64_t moved)
{
	ck_assert_uint_eq(pair_given(&pair), moved);
	check_ended(PAIR_GIVER, 0);
}

/* For now, or for ever: it is served where it is, and others go. */
START_TEST(who_is_refused_stays)
{
	answer(MOVE_CREDIT, 0, 1);
	help_wait_for(pair.workers[PAIR_GIVER].steps->whole == 1);
	answer(MOVE_REFUSED, (uint32_t)_i, 0);
	check_served(idle);
	answer(MOVE_CREDIT, 0, 1);
	pair_wait_quiet(&pair, PAIR_GIVER);
	ck_assert_uint_eq(pair.workers[PAIR_GIVER].steps->whole, 1);
	pair_talk(idle, 5);
	close(channel);
	ck_assert_uint_eq(pair_given(&pair), 0);
	check_served(half);
}
END_TEST

START_TEST(credits_beyond_all_measure)
{
	answer(MOVE_CREDIT, 0, UINT64_MAX);
	check_given(0);
	check_served(idle);
	check_served(half);
}
END_TEST

static void
take_nothing(void)
{
	answer(MOVE_TAKEN, 0, 0);
}

static void
say_a_head(void)
{
	struct move_head head = head_of(0, 0, 0, 0);

	say(&head, sizeof(head), channel);
}

static void
say_some_bytes(void)
{
	say_bytes("123", 3);
}

static void
say_a_descriptor(void)
{
	struct move_answer packet = {.type = MOVE_CREDIT, .number = 1};

	say(&packet, sizeof(packet), channel);
}

static void
say_little(void)
{
	say("", 1, -1);
}

static void (*const wrong_words[])(void) = {
    take_nothing,
    say_a_head,
    say_some_bytes,
    say_a_descriptor,
    say_little,
};

/* Nothing was sent yet: all is the giver's. */
START_TEST(a_taker_that_breaks_the_rules)
{
	wrong_words[_i]();
	check_given(0);
	check_served(idle);
	check_served(half);
}
END_TEST

/* What is whole in the channel may be the taker's already; what is not whole cannot be. */
START_TEST(taken_before_it_is_whole)
{
	answer(MOVE_CREDIT, 0, 2);
	help_wait_for(pair.workers[PAIR_GIVER].steps->whole == 1);
	pair_wait_quiet(&pair, PAIR_GIVER);
	answer(MOVE_TAKEN, 0, (uint64_t)_i); /* of the idle one, or of none */
	answer(MOVE_TAKEN, 0, 1);
	ck_assert_uint_eq(pair_given(&pair), _i == 0);
	check_ended(PAIR_GIVER, -1);
	check_served(half);
	pair_expect_end(idle, NULL, 0);
}
END_TEST

/* It stops in the middle, however often: each time what it did not take goes on. */
START_TEST(a_taker_that_leaves)
{
	for (int round = 0; round < 3; round++) {
		answer(MOVE_CREDIT, 0, 2);
		help_wait_for(pair.workers[PAIR_GIVER].steps->whole == (unsigned)round + 1);
		pair_wait_quiet(&pair, PAIR_GIVER);
		close(channel);
		ck_assert_uint_eq(pair_given(&pair), 0);
		pair_talk(idle, 4);
		begin(PAIR_GIVER);
	}
	close(channel);
	check_served(idle);
	check_served(half);
}
END_TEST

/* ---- packets that cannot be sent ---- */

/* A channel too small for a piece: what cannot go stays, and the order ends. */
START_TEST(a_piece_that_never_fits)
{
	union move_packet packet;
	enum move_result result;
	int ends[2], small = 1, fd;

	close(channel);
	ck_assert_uint_eq(pair_given(&pair), 0);
	ck_assert_int_eq(chan_pair(ends), 0);
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	channel = ends[0];
	pair_order(&pair, PAIR_GIVER, ends[1]);
	answer(MOVE_CREDIT, 0, 2);
	while ((result = hear(true, &packet, &fd)) == MOVE_OK)
		close(fd);
	ck_assert_int_eq(result, MOVE_ENDED);
	answer(MOVE_TAKEN, 0, 0);
	close(channel);
	ck_assert_uint_eq(pair_given(&pair), 1);
	check_served(half);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("move_rules");
	TCase *givers = tcase_create("givers"), *takers = tcase_create("takers"),
	      *alone = tcase_create("descriptors");

	tcase_add_checked_fixture(givers, setup_taker, teardown);
	tcase_add_test(givers, what_keeps_the_rules_is_taken);
	tcase_add_loop_test(
	    givers, what_does_not_fit_is_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(givers, another_versions_head_may_be_longer);
	tcase_add_test(givers, state_without_sense_ends_its_connection);
	tcase_add_test(givers, what_ends_in_the_middle_is_not_kept);
	tcase_add_loop_test(
	    givers, a_giver_that_breaks_the_rules, 0, sizeof(wrong_gifts) / sizeof(wrong_gifts[0]));
	tcase_add_test(givers, a_descriptor_that_finds_no_room);
	tcase_add_test(alone, a_head_without_credit);
	tcase_add_test(alone, who_connects_leaves_what_was_promised);
	tcase_add_checked_fixture(takers, setup_giver, teardown);
	tcase_add_loop_test(takers, who_is_refused_stays, MOVE_NOT_NOW, MOVE_NEVER + 1);
	tcase_add_test(takers, credits_beyond_all_measure);
	tcase_add_loop_test(
	    takers, a_taker_that_breaks_the_rules, 0, sizeof(wrong_words) / sizeof(wrong_words[0]));
	tcase_add_loop_test(takers, taken_before_it_is_whole, 0, 2);
	tcase_add_test(takers, a_taker_that_leaves);
	tcase_add_test(takers, a_piece_that_never_fits);
	suite_add_tcase(suite, givers);
	suite_add_tcase(suite, alone);
	suite_add_tcase(suite, takers);
	return help_run(suite);
}
