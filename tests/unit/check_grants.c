/*
 * When a worker takes up what it was granted: at the latest before it sleeps. The pool, which tells
 * of each grant once, and the instance are played here.
 */
#include "tests/unit/run_help.h"
#include "workers/conn.h"
#include "workers/program.h"
#include "workers/service.h"

#include <check.h>

static struct conf_service conf;
static struct worker worker;
static struct stats_row row;
static struct service service = {.conf = &conf, .worker = &worker, .stats = &row};
static struct program program;
static struct conn conn;
static struct link link_of_0 = {.incarnation = 1};
static struct link *links[] = {&link_of_0};
static struct req req = {.conn = &conn, .service = &service};

static bool granted;  /* and not told */
static bool told;     /* and not found */
static bool is_awake; /* the pool would wake nobody */
static const struct req *given;

/* ---- the pool ---- */

enum pool_answer
pool_enter(struct pool *pool, uint64_t now, struct pool_ticket *ticket, struct pool_grant *grant)
{
	(void)pool;
	(void)now;
	(void)grant;
	ticket->arrival = 7;
	return POOL_WAITING;
}

enum pool_answer
pool_enter_again(struct pool *pool, uint64_t now, uint64_t arrival, struct pool_ticket *ticket,
    struct pool_grant *grant)
{
	(void)arrival;
	return pool_enter(pool, now, ticket, grant);
}

bool
pool_leave(struct pool *pool, const struct pool_ticket *ticket)
{
	(void)pool;
	(void)ticket;
	return false;
}

bool
pool_give(struct pool *pool, const struct pool_grant *grant, uint64_t now, enum pool_reason reason,
    struct pool_grant *next)
{
	(void)pool;
	(void)grant;
	(void)now;
	(void)reason;
	(void)next;
	return false;
}

void
pool_stay_awake(struct pool *pool)
{
	(void)pool;
	is_awake = true;
}

bool
pool_was_granted(struct pool *pool)
{
	(void)pool;
	if (!granted)
		return false;
	granted = false;
	told = true;
	return true;
}

bool
pool_may_sleep(struct pool *pool)
{
	is_awake = false;
	return !pool_was_granted(pool);
}

bool
pool_next_grant(struct pool *pool, struct pool_grant *grant)
{
	(void)pool;
	if (!told)
		return false;
	told = false;
	*grant = (struct pool_grant){.slot = 0, .incarnation = 1, .arrival = 7};
	return true;
}

void
pool_look(struct pool *pool, uint64_t now)
{
	(void)now;
	(void)pool_was_granted(pool);
}

bool
pool_is_doomed(const struct pool *pool, const struct pool_grant *grant)
{
	(void)pool;
	(void)grant;
	return false;
}

void
pool_count_served(struct pool *pool, const struct pool_grant *grant)
{
	(void)pool;
	(void)grant;
}

/* ---- the instance, and what surrounds the program ---- */

enum pool_reason
link_take(struct link *link, const struct pool_grant *grant, bool quiet)
{
	(void)quiet;
	ck_assert_ptr_eq(link, &link_of_0);
	ck_assert_uint_eq(grant->arrival, 7);
	return POOL_REASON_NONE;
}

void
link_give(struct link *link, struct req *message, bool more)
{
	(void)link;
	(void)more;
	ck_assert_ptr_null(given);
	given = message;
}

bool
program_may_send_ahead(const struct program *asked)
{
	(void)asked;
	return false;
}

void
program_send_later(struct program *asked)
{
	(void)asked;
}

void
deadline_set(struct deadline_line *line, struct deadline *deadline, uint64_t when)
{
	(void)line;
	deadline->when = when;
}

void
deadline_clear(struct deadline *deadline)
{
	deadline->when = 0;
}

/* ---- the tests ---- */

static void
setup(void)
{
	program.service = &service;
	program.links = links;
	program.instances = 1;
	TAILQ_INIT(&program.held);
	TAILQ_INIT(&program.waiting);
	program_enter(&program, &req);
	ck_assert_uint_eq(program.waiting_count, 1);
	ck_assert(is_awake);
	program_take_grants();
	ck_assert_ptr_null(given);
}

START_TEST(nothing_granted_lets_it_sleep)
{
	ck_assert(program_may_sleep());
	ck_assert(!is_awake);
	ck_assert_ptr_null(given);
}
END_TEST

START_TEST(granted_during_the_turn)
{
	granted = true;
	program_take_grants();
	ck_assert_ptr_eq(given, &req);
	ck_assert(program_may_sleep());
}
END_TEST

/* Told on the way to sleep: it does not sleep, and does not forget what it was told. */
START_TEST(granted_on_the_way_to_sleep)
{
	granted = true;
	ck_assert(!program_may_sleep());
	program_take_grants();
	ck_assert_ptr_eq(given, &req);
	ck_assert_uint_eq(program.waiting_count, 0);
	ck_assert(program_may_sleep());
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("grants");
	TCase *test = tcase_create("grants");

	tcase_add_checked_fixture(test, setup, NULL);
	tcase_add_test(test, nothing_granted_lets_it_sleep);
	tcase_add_test(test, granted_during_the_turn);
	tcase_add_test(test, granted_on_the_way_to_sleep);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
