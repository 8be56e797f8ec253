/*
 * The pool under violence, with real processes: kill -9 at each injected point, at machine
 * instructions, and at random under full speed; SIGSTOP of the lock's holder; a worker that
 * scribbles over the shared memory. What a crash may cost is what the dead worker held, no more.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_crew.h"
#include "tests/unit/pool_drill.h"
#include "tests/unit/pool_world.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS        150
#define KILL_TIME    (8 * CLOCK_SECOND)
#define STEP_KILLS   4   /* of each drill */
#define SCRIBBLES    150 /* of each kind */
#define HUNG_AFTER   20  /* s: alarm(2) of a child on scribbled memory */
#define SCRIBBLE_OPS 400

static uint64_t seed;

static void
must(const char *wrong)
{
	ck_assert_msg(wrong == NULL, "%s (HOSTLER_SEED=%llu)", wrong, (unsigned long long)seed);
}

/* ---- killed inside an operation ---- */

START_TEST(test_killed_at_each_point)
{
	unsigned drill = (unsigned)_i, points = drill_points(drill);

	ck_assert_msg(points > 0, "%s passes no point", drill_name(drill));
	for (unsigned point = 1; point <= points; point++) {
		for (unsigned way = 0; way < DRILL_WAYS; way++) {
			const char *wrong = drill_kill(drill, point, 0, way);

			ck_assert_msg(wrong == NULL, "%s: point %u of %u, way %u: %s",
			    drill_name(drill), point, points, way, wrong);
		}
	}
}
END_TEST

START_TEST(test_repair_killed_too)
{
	unsigned drill = (unsigned)_i, points = drill_points(drill);

	for (unsigned point = 1; point <= points; point++) {
		unsigned repairs = drill_repair_points(drill, point);

		for (unsigned repair = 1 + point % 3; repair <= repairs; repair += 3) {
			unsigned way = (point + repair) % DRILL_WAYS;
			const char *wrong = drill_kill(drill, point, repair, way);

			ck_assert_msg(wrong == NULL, "%s: point %u, repair %u, way %u: %s",
			    drill_name(drill), point, repair, way, wrong);
		}
	}
}
END_TEST

/* Between two points lie many instructions: some of them, other ones each time. */
START_TEST(test_killed_at_an_instruction)
{
	unsigned drill = (unsigned)_i;
	unsigned long steps = drill_steps(drill);
	uint64_t random = seed + drill;

	for (int i = 0; i < STEP_KILLS && steps > 0; i++) {
		unsigned long step = crew_random(&random) % steps;
		const char *wrong = drill_kill_step(drill, step, (unsigned)(step % DRILL_WAYS));

		ck_assert_msg(wrong == NULL, "%s: instruction %lu of %lu: %s", drill_name(drill),
		    step, steps, wrong);
	}
}
END_TEST

/* ---- killed at random ---- */

struct violence {
	struct crew *crew;
	uint64_t random;
	unsigned kills;
};

static void
violence_start(struct violence *v, const struct pool_shape *shape, unsigned workers)
{
	v->random = seed;
	v->kills = 0;
	v->crew = crew_new(shape, seed);
	crew_replace(v->crew);
	for (unsigned i = 0; i < workers; i++)
		ck_assert_int_ge(crew_start(v->crew), 0);
}

/* Kills one of the living, now and then one more, and starts others with ids that are free. */
static void
violence_kill(struct violence *v, unsigned workers)
{
	unsigned victims = crew_random(&v->random) % 10 == 0 ? 2 : 1, alive = 0;

	while (victims > 0) {
		unsigned id = (unsigned)(crew_random(&v->random) % v->crew->shape.workers);

		if (v->crew->pids[id] == 0)
			continue;
		crew_kill(v->crew, id);
		v->kills++;
		victims--;
	}
	for (unsigned id = 0; id < v->crew->shape.workers; id++)
		alive += v->crew->pids[id] != 0;
	while (alive < workers && crew_start(v->crew) >= 0)
		alive++;
	ck_assert_uint_gt(alive, 0);
}

static void
violence_run(struct violence *v, unsigned workers)
{
	uint64_t end = clock_now() + KILL_TIME;
	struct pollfd wake = {.fd = v->crew->master_wake, .events = POLLIN};

	while (v->kills < KILLS && clock_now() < end) {
		uint64_t next = clock_now() + crew_random(&v->random) % (40 * CLOCK_MS);
		eventfd_t count;

		while (clock_now() < next) {
			poll(&wake, 1, 1);
			eventfd_read(wake.fd, &count);
			crew_replace(v->crew);
			must(crew_trouble(v->crew));
		}
		if (crew_random(&v->random) % 4 == 0)
			crew_doom(
			    v->crew, (unsigned)(crew_random(&v->random) % v->crew->shape.slots));
		violence_kill(v, workers);
	}
}

static void
violence_end(struct violence *v)
{
	struct pool_figures figures;

	must(crew_drain(v->crew, 10));
	must(crew_stop(v->crew));
	must(world_whole(v->crew->pool));
	must(world_in_order(v->crew->pool));
	pool_figures(v->crew->pool, &figures);
	ck_assert_uint_eq(figures.violations, 0);
	ck_assert_uint_eq(figures.waiting, 0);
	for (unsigned i = 0; i < v->crew->shape.slots; i++) {
		struct pool_view view;

		ck_assert(pool_peek(v->crew->pool, i, &view));
		ck_assert_msg(view.state == POOL_FREE, "slot %u ends in state %d", i, view.state);
		ck_assert_int_eq(v->crew->shared->used_by[i], 0);
	}
}

static const struct pool_shape shapes[] = {
    {.slots = 4, .queue = 12, .batch = 1, .workers = 18, .lease_time = CLOCK_SECOND},
    {.slots = 2, .queue = 40, .batch = 4, .workers = 18, .lease_time = CLOCK_SECOND},
};

START_TEST(test_killed_at_random)
{
	struct violence v;
	struct pool_figures figures;
	unsigned workers = _i == 0 ? 5 : 4;

	violence_start(&v, &shapes[_i], workers);
	violence_run(&v, workers);
	pool_figures(v.crew->pool, &figures);
	/* the test must have done what it says */
	ck_assert_uint_ge(v.kills, KILLS / 3);
	ck_assert_uint_gt(figures.rebuilds, 0);
	ck_assert_uint_gt(figures.grants, 1000);
	ck_assert_uint_gt(v.crew->shared->left, 0);
	ck_assert_uint_gt(v.crew->shared->again, 0);
	ck_assert(v.crew->shape.batch == 1 || v.crew->shared->ahead > 0);
	violence_end(&v);
	crew_free(v.crew);
}
END_TEST

/* ---- the lock's holder is stopped ---- */

static unsigned stop_at;
static int stop_pipe[2];

static void
stop_on_point(int point)
{
	(void)point;
	if (--stop_at == 0)
		raise(SIGSTOP);
}

static void
stop_on_stuck(void *arg)
{
	uint64_t now = clock_now();

	(void)arg;
	if (write(stop_pipe[1], &now, sizeof(now)) != sizeof(now))
		_exit(4);
}

static pid_t
stop_fork_holder(struct world *world, unsigned point)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stop_at = point;
		pool_point = stop_on_point;
		world_enter(world, 0);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert_msg(WIFSTOPPED(status), "the holder passed fewer points than thought");
	return pid;
}

static pid_t
stop_fork_other(struct world *world, unsigned worker)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		world->as[worker]->hooks.stuck = stop_on_stuck;
		for (int i = 0; i < 20; i++) {
			struct world_ticket *t = world_enter(world, worker);
			struct pool_grant next;

			if (t != NULL && t->fate == WORLD_WAITS)
				pool_leave(world->as[worker], &t->ticket);
			else if (t != NULL)
				pool_give(world->as[worker], &t->grant, world->now,
				    POOL_REASON_NONE, &next);
		}
		_exit(0);
	}
	return pid;
}

/* Reports come about every 200 ms: never at once, and never late by much. */
static void
stop_expect_reports(unsigned count)
{
	uint64_t last = clock_now(), report;

	for (unsigned i = 0; i < count; i++) {
		struct pollfd wait = {.fd = stop_pipe[0], .events = POLLIN};

		ck_assert_msg(poll(&wait, 1, 5000) == 1, "nobody reports that the lock is stuck");
		ck_assert_int_eq(read(stop_pipe[0], &report, sizeof(report)), sizeof(report));
		ck_assert_msg(report - last >= 100 * CLOCK_MS || i == 0, "two reports in %llu ms",
		    (unsigned long long)((report - last) / CLOCK_MS));
		last = report;
	}
}

START_TEST(test_lock_holder_is_stopped)
{
	struct world *world = world_new(2, 6, 1, 4);
	static const unsigned everybody[] = {0, 1, 2};
	bool killed = _i < 3;
	int status;

	world_open(world);
	world_enter(world, 2);
	if (_i > 0)
		world_enter(world, 2);
	ck_assert_int_eq(pipe2(stop_pipe, O_CLOEXEC), 0);
	pid_t holder = stop_fork_holder(world, 1 + 2 * (unsigned)(_i % 3));
	pid_t other = stop_fork_other(world, 1);
	stop_expect_reports(3);
	/* the one who waits is alive, and has done nothing yet */
	ck_assert_int_eq(waitpid(other, &status, WNOHANG), 0);
	if (killed) {
		kill(holder, SIGKILL);
		waitpid(holder, &status, 0);
		pool_bury(world->pool, 0);
		world_forget(world, 0);
	} else {
		/* or it goes on, as if nothing had been */
		kill(holder, SIGCONT);
		waitpid(holder, &status, 0);
		ck_assert_int_eq(status, 0);
		pool_bury(world->pool, 0);
		world_forget(world, 0);
	}
	ck_assert_int_eq(waitpid(other, &status, 0), other);
	ck_assert_int_eq(status, 0);
	world->dead[1] = false;
	pool_look(world->as[2], world->now);
	must(world_whole(world->pool));
	must(world_drain(world));
	world_attach(world, 0);
	must(world_full_load(world, everybody, 3));
	must(world_whole(world->pool));
	world_free(world);
	close(stop_pipe[0]);
	close(stop_pipe[1]);
}
END_TEST

/* ---- a worker gone wild ---- */

enum scribble_kind {
	SCRIBBLE_FEW,        /* some words anywhere but the mutex */
	SCRIBBLE_SMALL,      /* small numbers, which look like indexes */
	SCRIBBLE_BOOKS,      /* all the books but the mutex */
	SCRIBBLE_TRUTH,      /* all slots and cells */
	SCRIBBLE_HEAD,       /* all the master's words */
	SCRIBBLE_ALL,        /* everything but the mutex */
	SCRIBBLE_WITH_MUTEX, /* everything */
	SCRIBBLE_KINDS
};

#define SCRIBBLE_ENDED_DAMAGED 42
#define SCRIBBLE_ENDED_STUCK   43

static void
scribble_range(void *start, size_t bytes, uint64_t *random)
{
	for (size_t i = 0; i + 8 <= bytes; i += 8) {
		uint64_t value = crew_random(random);

		memcpy((char *)start + i, &value, 8);
	}
}

static void
scribble_words(const struct pool *pool, unsigned count, bool small, uint64_t *random)
{
	size_t mutex = (size_t)((char *)pool->books - (char *)pool->head);

	while (count > 0) {
		/* half of them where it hurts: small pools use little of their pages */
		size_t page = crew_random(random) % 2 == 0 ? mutex : 0, at;
		uint64_t value = crew_random(random);

		at = page + crew_random(random) % (page != 0 ? 1024 : pool->size) / 4 * 4;
		if (at + 8 > pool->size || (at + 8 > mutex && at < mutex + sizeof(pthread_mutex_t)))
			continue;
		if (small)
			value %= 64;
		memcpy((char *)pool->head + at, &value, small ? 4 : 8);
		count--;
	}
}

static void
scribble(const struct pool *pool, enum scribble_kind kind, uint64_t *random)
{
	char *books = (char *)pool->books + sizeof(pthread_mutex_t);
	size_t after = pool->size - (size_t)(books - (char *)pool->head);

	switch (kind) {
	case SCRIBBLE_FEW:
	case SCRIBBLE_SMALL:
		scribble_words(
		    pool, 1 + (unsigned)(crew_random(random) % 60), kind == SCRIBBLE_SMALL, random);
		break;
	case SCRIBBLE_BOOKS:
		scribble_range(books, sizeof(*pool->books) - sizeof(pthread_mutex_t), random);
		break;
	case SCRIBBLE_TRUTH:
		scribble_range(pool->slots, pool->shape.slots * sizeof(*pool->slots), random);
		scribble_range(pool->line, pool->cells * sizeof(*pool->line), random);
		break;
	case SCRIBBLE_HEAD:
		scribble_range(pool->head, sizeof(*pool->head), random);
		break;
	case SCRIBBLE_WITH_MUTEX:
		scribble_range(pool->books, sizeof(pthread_mutex_t), random);
		/* fall through */
	default:
		scribble_range(books, after, random);
		scribble_range(pool->head, sizeof(*pool->head), random);
		break;
	}
}

static void
scribble_on_damaged(void *arg)
{
	(void)arg;
	_exit(SCRIBBLE_ENDED_DAMAGED);
}

static void
scribble_on_stuck(void *arg)
{
	(void)arg;
	_exit(SCRIBBLE_ENDED_STUCK);
}

static void
scribble_on_wake(void *arg, unsigned worker)
{
	(void)arg;
	if (worker >= 4)
		_exit(5);
}

static void
scribble_on_wake_master(void *arg)
{
	(void)arg;
}

/* One operation of a worker that believes what it read before the memory was scribbled on. */
static void
scribble_work(struct world *world, unsigned worker, uint64_t *random)
{
	struct pool *pool = world->as[worker];
	struct world_ticket *t = &world->tickets[crew_random(random) % world->count];
	struct pool_ticket ticket;
	struct pool_grant grant, next;
	unsigned slots = 0;

	switch (crew_random(random) % 7) {
	case 0:
		pool_look(pool, world->now);
		while (slots++ < 10 && pool_next_grant(pool, &grant)) {
			if (grant.slot >= world->shape.slots)
				_exit(6);
			pool_give(pool, &grant, world->now, POOL_REASON_NONE, &next);
		}
		break;
	case 1:
	case 2:
		if (pool_enter(pool, world->now, &ticket, &grant) != POOL_GRANTED)
			break;
		if (grant.slot >= world->shape.slots)
			_exit(6);
		pool_send_ahead(pool, &grant, &t->ticket, 1);
		pool_set_deadline(pool, &grant, 7);
		pool_count_served(pool, &grant);
		pool_is_doomed(pool, &grant);
		pool_give(pool, &grant, world->now, POOL_REASON_NONE, &next);
		break;
	case 3:
		pool_enter_again(pool, world->now, t->ticket.arrival, &ticket, &grant);
		break;
	case 4:
		pool_leave(pool, &t->ticket);
		break;
	case 5:
		if (t->grant.incarnation != 0)
			pool_give(pool, &t->grant, world->now, POOL_REASON_BABBLE, &next);
		break;
	default:
		pool_attach(pool, worker,
		    &(struct pool_hooks){.wake = scribble_on_wake,
			.wake_master = scribble_on_wake_master,
			.stuck = scribble_on_stuck,
			.damaged = scribble_on_damaged});
		break;
	}
}

static void
scribble_master(struct world *world, uint64_t *random)
{
	static struct pool_trace trace[POOL_TRACE];
	struct pool_figures figures;
	struct pool_view view;
	unsigned slot = (unsigned)(crew_random(random) % world->shape.slots);
	unsigned worker = (unsigned)(crew_random(random) % world->shape.workers);

	pool_figures(world->pool, &figures);
	if (pool_trace(world->pool, trace, 100) > 100)
		_exit(7);
	if (pool_peek(world->pool, slot, &view) &&
	    (view.state == POOL_EMPTY || view.state == POOL_BROKEN)) {
		pool_reason_text(view.reason);
		world_offer(world, slot);
	}
	if (crew_random(random) % 20 == 0)
		pool_doom(world->pool, slot, world->incarnation[slot]);
	if (crew_random(random) % 20 == 0)
		pool_bury(world->pool, worker);
	pool_swept(world->pool, worker);
}

static void
scribble_live_on(struct world *world, uint64_t random)
{
	for (unsigned w = 0; w < 4; w++)
		world->as[w]->hooks = (struct pool_hooks){.wake = scribble_on_wake,
		    .wake_master = scribble_on_wake_master,
		    .stuck = scribble_on_stuck,
		    .damaged = scribble_on_damaged};
	for (unsigned i = 0; i < SCRIBBLE_OPS; i++) {
		scribble_work(world, (unsigned)(crew_random(&random) % 4), &random);
		scribble_master(world, &random);
	}
}

static void
scribble_round(enum scribble_kind kind, uint64_t random)
{
	struct world *world = world_new(3, 8, 2, 4);
	static const unsigned everybody[] = {0, 1, 2, 3};
	int status;

	world_open(world);
	for (unsigned i = 0; i < 9; i++)
		world_enter(world, i % 4);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(HUNG_AFTER);
		scribble(world->pool, kind, &random);
		scribble_live_on(world, random);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 0 ||
					       WEXITSTATUS(status) == SCRIBBLE_ENDED_DAMAGED ||
					       WEXITSTATUS(status) == SCRIBBLE_ENDED_STUCK),
	    "status 0x%x after scribble %d with %llu", (unsigned)status, kind,
	    (unsigned long long)random);
	/* everybody is dead: the master starts over */
	pool_reset(world->pool);
	for (unsigned w = 0; w < 4; w++)
		world_attach(world, w);
	for (unsigned i = 0; i < world->shape.slots; i++)
		world->incarnation[i] += 1000;
	world->count = 0;
	must(world_drain(world));
	must(world_full_load(world, everybody, 4));
	must(world_whole(world->pool));
	world_free(world);
}

START_TEST(test_scribbled_memory)
{
	uint64_t random = seed + (uint64_t)_i * 7919;

	for (int i = 0; i < SCRIBBLES; i++)
		scribble_round((enum scribble_kind)_i, crew_random(&random));
}
END_TEST

/* Every worker still gets on, or says that it cannot. */
static const char *
scribble_wait_for_beats(struct crew *crew, const uint64_t *before)
{
	uint64_t end = clock_now() + 5 * CLOCK_SECOND;

	for (;;) {
		unsigned silent = 0;
		const char *wrong = crew_trouble(crew);

		for (unsigned id = 0; id < crew->shape.workers; id++)
			silent += crew->pids[id] != 0 && crew->shared->beats[id] < before[id] + 3;
		if (wrong != NULL || silent == 0)
			return wrong;
		if (clock_now() > end)
			return "a worker hangs in scribbled memory";
		crew_replace(crew);
		crew_wake_all(crew);
		poll(NULL, 0, 1);
	}
}

/* A fork that scribbles for a while beside the others, at full speed. */
static void
scribble_beside(struct crew *crew, uint64_t random)
{
	uint64_t end = clock_now() + 50 * CLOCK_MS;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (clock_now() < end)
			scribble(crew->pool, SCRIBBLE_FEW, &random);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(test_scribbler_beside_workers)
{
	struct violence v;
	uint64_t beats[CREW_IDS];

	for (unsigned round = 0; round < 8; round++) {
		violence_start(&v, &shapes[round % 2], 3);
		atomic_store(&v.crew->shared->lawless, true);
		scribble_beside(v.crew, crew_random(&v.random) + round);
		for (unsigned id = 0; id < CREW_IDS; id++)
			beats[id] = v.crew->shared->beats[id];
		must(scribble_wait_for_beats(v.crew, beats));
		crew_reset(v.crew);
		for (int i = 0; i < 3; i++)
			ck_assert_int_ge(crew_start(v.crew), 0);
		poll(NULL, 0, 50);
		violence_end(&v);
		crew_free(v.crew);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_kill");
	TCase *inside = tcase_create("inside"), *random = tcase_create("random");
	TCase *stopped = tcase_create("stopped"), *wild = tcase_create("wild");
	const char *given = getenv("HOSTLER_SEED");

	seed = given != NULL ? strtoull(given, NULL, 10) : clock_now() | 1;
	tcase_set_timeout(inside, 60);
	tcase_add_loop_test(inside, test_killed_at_each_point, 0, (int)drill_count());
	tcase_add_loop_test(inside, test_repair_killed_too, 0, (int)drill_count());
	tcase_add_loop_test(inside, test_killed_at_an_instruction, 0, (int)drill_count());

	tcase_set_timeout(random, 60);
	tcase_add_loop_test(random, test_killed_at_random, 0, 2);

	tcase_set_timeout(stopped, 30);
	tcase_add_loop_test(stopped, test_lock_holder_is_stopped, 0, 4);

	tcase_set_timeout(wild, 60);
	tcase_add_loop_test(wild, test_scribbled_memory, 0, SCRIBBLE_KINDS);
	tcase_add_test(wild, test_scribbler_beside_workers);

	suite_add_tcase(suite, inside);
	suite_add_tcase(suite, random);
	suite_add_tcase(suite, stopped);
	suite_add_tcase(suite, wild);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (failed > 0)
		fprintf(stderr, "HOSTLER_SEED=%llu\n", (unsigned long long)seed);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
