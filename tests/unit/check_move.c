/*
 * Moves in which one side dies: at every step of the giver and of the taker, exactly one of the two
 * owns each connection, and its client gets every answer once.
 *
 * A side is killed at a step, or stopped there and killed when the other has done all that it can,
 * or the other is stopped, so that the one dies with packets unread and answers unheard.
 */
#include "tests/unit/move_pair.h"

#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <sys/socket.h>

#define CONF                                                                                       \
	"[service a]\nlisten=127.0.0.1:0\nprotocol=line\nhandler=echo\n"                           \
	"max_message=4M\nhigh_water=4M\n"

#define HALF_SENT  36000 /* of a message, before the move: two pieces */
#define HALF       70000 /* the whole of it, with its LF */
#define UNREAD     120000
#define CROWD      12 /* idle connections, so that answers fill a small channel */
#define BIG        ((size_t)2 << 20)
#define CLIENT_MAX (3 + CROWD)

enum how { HOW_KILLED, HOW_STOPPED, HOW_BEHIND };

struct trial {
	struct pair pair;
	enum pair_side victim;
	enum how how;
	unsigned at; /* the step */
	int room;    /* in the channel for answers; 0: as it is */
	unsigned crowd;
	int clients[CLIENT_MAX]; /* in the middle of a message, not reading, idle ... */
	unsigned count;
};

static char half[HALF], unread[UNREAD];

static void
fill(char *line, size_t length)
{
	for (size_t i = 0; i < length; i++)
		line[i] = (char)('a' + (i * 7 + i / 1000) % 26);
	line[length - 1] = '\n';
}

static void
open_trial(struct trial *trial)
{
	struct pair *pair = &trial->pair;

	fill(half, sizeof(half));
	fill(unread, sizeof(unread));
	pair_open(pair, CONF, CONF, false);
	trial->count = 3 + trial->crowd;
	for (unsigned i = 0; i < trial->count; i++)
		trial->clients[i] = pair_connect(pair);
	pair_send(trial->clients[0], half, HALF_SENT);
	pair_send(trial->clients[1], unread, sizeof(unread));
	pair_wait_quiet(pair, PAIR_GIVER);
}

static void
close_trial(struct trial *trial)
{
	for (unsigned i = 0; i < trial->count; i++)
		close(trial->clients[i]);
	pair_close(&trial->pair);
}

/* What the client is owed comes, once; or it was lost with its owner. */
static void
check_client(const struct trial *trial, unsigned i, bool is_open)
{
	int client = trial->clients[i];
	const char *owed = i == 1 ? unread : NULL;
	size_t length = i == 1 ? sizeof(unread) : 0;

	if (!is_open) {
		pair_expect_end(client, owed, length);
		return;
	}
	if (i == 0) {
		pair_send(client, half + HALF_SENT, sizeof(half) - HALF_SENT);
		pair_expect(client, half, sizeof(half));
	} else if (i == 1) {
		pair_expect(client, unread, sizeof(unread));
	}
	pair_talk(client, i);
}

/* So many connections are open, at that side and nowhere else. */
static void
check_owners(const struct trial *trial, enum pair_side side, unsigned expected)
{
	bool is_open[CLIENT_MAX];
	unsigned open = 0;

	for (unsigned i = 0; i < trial->count; i++) {
		is_open[i] = pair_holds(&trial->pair, side, i);
		open += is_open[i];
		ck_assert(!is_open[i] || !pair_holds(&trial->pair, !side, i));
	}
	ck_assert_msg(open == expected, "%u are open, not %u: victim %d, %d at step %u", open,
	    expected, trial->victim, trial->how, trial->at);
	for (unsigned i = 0; i < trial->count; i++)
		check_client(trial, i, is_open[i]);
}

static bool
is_over(struct pair *pair)
{
	return pair->workers[PAIR_GIVER].steps->ended && pair->workers[PAIR_TAKER].steps->ended;
}

/* The victim dies. False when the move was over before it came to that step. */
static bool
die(struct trial *trial)
{
	struct pair *pair = &trial->pair;
	enum pair_side other = !trial->victim;
	enum pair_side steps = trial->how == HOW_BEHIND ? other : trial->victim;

	pair->workers[steps].steps->at = trial->at;
	pair->workers[steps].steps->signal = trial->how == HOW_KILLED ? SIGKILL : SIGSTOP;
	pair_move(pair, trial->room);
	if (!pair_wait_step(pair, steps, is_over))
		return false;
	if (trial->how != HOW_KILLED)
		pair_wait_quiet(pair, !steps);
	pair_kill(pair, trial->victim);
	if (trial->how == HOW_BEHIND)
		kill(pair->workers[other].pid, SIGCONT);
	return true;
}

static bool
try_step(struct trial *trial)
{
	struct pair *pair = &trial->pair;
	struct pair_worker *workers = pair->workers;
	bool died;

	open_trial(trial);
	died = die(trial);
	if (!died) {
		ck_assert_uint_eq(pair_given(pair), trial->count);
		check_owners(trial, PAIR_TAKER, trial->count);
	} else {
		enum pair_side survivor = !trial->victim;

		help_wait_for(workers[survivor].steps->ended);
		pair_ping(pair, survivor);
		check_owners(trial, survivor,
		    survivor == PAIR_TAKER ? workers[PAIR_GIVER].steps->whole
					   : trial->count - workers[PAIR_TAKER].steps->taken);
	}
	close_trial(trial);
	return died;
}

/* Step after step, until there is none any more. */
static void
try_all(enum pair_side victim, enum how how, int room, unsigned crowd, unsigned stride)
{
	struct trial trial = {.victim = victim, .how = how, .room = room, .crowd = crowd};

	for (trial.at = 1; try_step(&trial); trial.at += stride)
		ck_assert_uint_lt(trial.at, 1000);
	ck_assert_uint_gt(trial.at, 15); /* as many packets as there are at least */
}

/* Which of the two, and how. */
START_TEST(one_dies_at_every_step)
{
	try_all(_i % PAIR_SIDES, (enum how)(_i / PAIR_SIDES), 0, 0, 1);
}
END_TEST

/* The taker cannot say what it has taken: it is not its own yet. */
START_TEST(one_dies_while_answers_find_no_room)
{
	try_all(_i, HOW_BEHIND, 1, CROWD, 3);
}
END_TEST

/* Megabytes each way, by TCP or by a unix socket, and neither side ready to take them at once. */
START_TEST(more_than_a_channel_takes)
{
	static char in[BIG], out[2 * BIG];
	struct pair pair;
	int sender, reader;

	fill(in, sizeof(in));
	fill(out, sizeof(out));
	pair_open(&pair, CONF, CONF, _i % 2);
	sender = pair_connect(&pair);
	reader = pair_connect(&pair);
	pair_send(sender, in, sizeof(in) - 2);
	pair_send(reader, out, sizeof(out));
	pair_wait_quiet(&pair, PAIR_GIVER);
	pair.workers[_i / 2].steps->at = 7;
	pair.workers[_i / 2].steps->signal = SIGSTOP;
	pair_move(&pair, 1);
	ck_assert(pair_wait_step(&pair, (enum pair_side)(_i / 2), is_over));
	pair_wait_quiet(&pair, (enum pair_side)(1 - _i / 2));
	pair_ping(&pair, (enum pair_side)(1 - _i / 2)); /* the other one goes on with its work */
	kill(pair.workers[_i / 2].pid, SIGCONT);
	ck_assert_uint_eq(pair_given(&pair), 2);
	pair_send(sender, in + sizeof(in) - 2, 2);
	pair_expect(sender, in, sizeof(in));
	pair_expect(reader, out, sizeof(out));
	pair_talk(sender, 1);
	pair_talk(reader, 2);
	pair_close(&pair);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("move");
	TCase *deaths = tcase_create("deaths");

	tcase_set_timeout(deaths, 60);
	tcase_add_loop_test(deaths, one_dies_at_every_step, 0, 3 * PAIR_SIDES);
	tcase_add_loop_test(deaths, one_dies_while_answers_find_no_room, 0, PAIR_SIDES);
	tcase_add_loop_test(deaths, more_than_a_channel_takes, 0, 2 * PAIR_SIDES);
	suite_add_tcase(suite, deaths);
	return help_run(suite);
}
