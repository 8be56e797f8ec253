/*
 * Who is sent ahead how many: the links take turns, and auto sends one by one while it is wary. The
 * pool and the instances are played here.
 */
#include "common/clock.h"
#include "common/conf.h"
#include "tests/unit/run_help.h"
#include "workers/program.h"
#include "workers/service.h"

#include <check.h>
#include <string.h>

#define LINKS 3
#define REQS  80

static struct conf_service conf;
static struct worker worker;
static struct stats_row row;
static struct service service = {.conf = &conf, .worker = &worker, .stats = &row};
static struct program program;
static struct link links[LINKS];
static struct req reqs[REQS];
static unsigned next_req; /* of `reqs`, the oldest that was not given */
static unsigned asked, granted_most;
static uint64_t broke;
static bool hungry;

/* ---- what the pool and the links would do ---- */

bool
pool_is_hungry(const struct pool *pool)
{
	(void)pool;
	return hungry;
}

uint64_t
pool_broke(const struct pool *pool)
{
	(void)pool;
	return broke;
}

unsigned
pool_send_ahead(struct pool *pool, const struct pool_grant *grant,
    const struct pool_ticket *tickets, unsigned count)
{
	(void)pool;
	(void)grant;
	/* The oldest, in order. */
	for (unsigned i = 0; i < count; i++)
		ck_assert_uint_eq(tickets[i].arrival, reqs[next_req + i].ticket.arrival);
	asked = count;
	return count < granted_most ? count : granted_most;
}

void
program_stop_waiting(struct program *from, struct req *req)
{
	from->waiting_count--;
	TAILQ_REMOVE(&from->waiting, req, in_handler);
}

void
link_give(struct link *link, struct req *req, bool more)
{
	ck_assert(more);
	ck_assert_ptr_eq(req, &reqs[next_req]);
	next_req++;
	link->given++;
	link->inside++;
}

void
link_flush(struct link *link)
{
	(void)link;
}

/* ---- the world ---- */

static void
setup(void)
{
	program.service = &service;
	program.instances = LINKS;
	TAILQ_INIT(&program.held);
	TAILQ_INIT(&program.waiting);
	worker.now = 1000 * CLOCK_SECOND;
	granted_most = REQS;
	/* Each has the message that its lease began with. */
	for (unsigned i = 0; i < LINKS; i++) {
		links[i] = (struct link){.given = 1, .inside = 1, .since = worker.now};
		TAILQ_INSERT_TAIL(&program.held, &links[i], entry);
	}
}

/* So many more wait. */
static void
wait_too(unsigned count)
{
	static unsigned last;

	for (; count > 0; count--, last++) {
		reqs[last].ticket.arrival = 100 + last;
		TAILQ_INSERT_TAIL(&program.waiting, &reqs[last], in_handler);
		program.waiting_count++;
	}
}

/* The end of a turn in which so many more came. */
static void
turn(unsigned count)
{
	wait_too(count);
	program_send_later(&program);
	program_send_due();
}

static void
assert_given(unsigned first, unsigned second, unsigned third)
{
	ck_assert_uint_eq(links[0].given, first);
	ck_assert_uint_eq(links[1].given, second);
	ck_assert_uint_eq(links[2].given, third);
	ck_assert_uint_eq(atomic_load(&row.counters[COUNTER_ahead]), next_req);
}

/* ---- a fixed number ---- */

START_TEST(test_in_turns)
{
	conf.concurrency = 4;
	turn(1);
	assert_given(2, 1, 1);
	turn(1); /* not to the first again, although it has room */
	assert_given(2, 2, 1);
	turn(1);
	assert_given(2, 2, 2);
	turn(3); /* as many as one may have: then it is the next one's turn */
	assert_given(4, 3, 2);
	turn(2);
	assert_given(4, 3, 4);
	turn(5); /* whatever stays waits for a reply */
	assert_given(4, 4, 4);
	ck_assert_uint_eq(program.waiting_count, 4);
}
END_TEST

/* Wary is only who guesses. */
START_TEST(test_a_fixed_number_is_kept_to)
{
	conf.concurrency = 3;
	hungry = true;
	broke = worker.now;
	turn(2);
	assert_given(3, 1, 1);
	granted_most = 1; /* the pool may have less to give than was asked for */
	turn(2);
	assert_given(3, 2, 2);
	ck_assert_uint_eq(program.waiting_count, 0);
}
END_TEST

START_TEST(test_many_at_once)
{
	conf.concurrency = 1000;
	wait_too(70);
	program_send_ahead(&program, &links[0]);
	ck_assert_uint_eq(asked, 64);
	assert_given(65, 1, 1);
	program_send_ahead(&program, &links[0]);
	assert_given(71, 1, 1);
}
END_TEST

START_TEST(test_one_at_a_time)
{
	conf.concurrency = 1;
	turn(3);
	assert_given(1, 1, 1);
}
END_TEST

/* ---- auto ---- */

static void
be_cheap(void)
{
	conf.concurrency = CONF_CONCURRENCY_AUTO;
	program.pace = (struct pace){.mean = 10000, .known = 64};
}

/* Of ten instances one is this worker's now, and has been answered: its part is a tenth, at least
 * one. */
START_TEST(test_part)
{
	be_cheap();
	program.pace.mean = 100000; /* two of them in a quarter of a millisecond */
	program.instances = 10;
	TAILQ_INIT(&program.held);
	links[0].inside = 0;
	wait_too(21);
	program_send_ahead(&program, &links[0]);
	assert_given(4, 1, 1);
	while (program.waiting_count > 1) {
		program_stop_waiting(&program, TAILQ_FIRST(&program.waiting));
		next_req++;
	}
	links[0].inside = 0;
	program_send_ahead(&program, &links[0]);
	ck_assert_uint_eq(links[0].given, 5);
	ck_assert_uint_eq(program.waiting_count, 0);
	/* Before it was told of any instance it does not divide by none. */
	be_cheap();
	program.instances = 0;
	wait_too(9);
	links[0].inside = 0;
	program_send_ahead(&program, &links[0]);
	ck_assert_uint_eq(links[0].given, 14);
}
END_TEST

/* What is done in a moment is not divided. */
START_TEST(test_bundle)
{
	be_cheap();
	program.instances = 10;
	TAILQ_INIT(&program.held);
	links[0].inside = 0;
	wait_too(21);
	program_send_ahead(&program, &links[0]);
	assert_given(22, 1, 1);
}
END_TEST

/* Where one more instance may be started, what waits is what calls it. */
START_TEST(test_hungry)
{
	be_cheap();
	hungry = true;
	turn(3);
	assert_given(1, 1, 1);
	hungry = false;
	turn(0);
	ck_assert_uint_eq(program.waiting_count, 0);
}
END_TEST

START_TEST(test_after_a_break)
{
	be_cheap();
	broke = worker.now;
	turn(3);
	assert_given(1, 1, 1);
	worker.now += 10 * CLOCK_SECOND - 1;
	for (unsigned i = 0; i < LINKS; i++)
		links[i].since = worker.now;
	turn(0);
	assert_given(1, 1, 1);
	worker.now++;
	turn(0);
	ck_assert_uint_eq(program.waiting_count, 0);
}
END_TEST

/* What has run for long already is given nothing more. */
START_TEST(test_running)
{
	be_cheap();
	links[0].since = worker.now - CLOCK_MS;
	turn(1);
	assert_given(1, 2, 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ahead");
	TCase *cases = tcase_create("ahead");

	tcase_add_checked_fixture(cases, setup, NULL);
	tcase_add_test(cases, test_in_turns);
	tcase_add_test(cases, test_a_fixed_number_is_kept_to);
	tcase_add_test(cases, test_many_at_once);
	tcase_add_test(cases, test_one_at_a_time);
	tcase_add_test(cases, test_part);
	tcase_add_test(cases, test_bundle);
	tcase_add_test(cases, test_hungry);
	tcase_add_test(cases, test_after_a_break);
	tcase_add_test(cases, test_running);
	suite_add_tcase(suite, cases);
	return help_run(suite);
}
