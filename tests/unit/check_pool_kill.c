/*
 * The pool under violence, with real processes: kill -9 at each injected point, at machine
 * instructions, and at random under full speed; SIGSTOP of the lock's holder. What a crash may cost
 * is what the dead worker held, no more.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_crew.h"
#include "tests/unit/pool_drill.h"
#include "tests/unit/pool_world.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS      150
#define KILL_TIME  (8 * CLOCK_SECOND)
#define STEP_KILLS 4 /* of each drill */

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
		else if (crew_random(&v->random) % 2 == 0)
			crew_retire(
			    v->crew, (unsigned)(crew_random(&v->random) % v->crew->shape.slots));
		violence_kill(v, workers);
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
	must(crew_end(v.crew, 10));
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

int
main(void)
{
	Suite *suite = suite_create("pool_kill");
	TCase *inside = tcase_create("inside"), *random = tcase_create("random");
	TCase *stopped = tcase_create("stopped");
	const char *given = getenv("HOSTLER_SEED");
	int status;

	seed = given != NULL && *given != '\0' ? strtoull(given, NULL, 10) : clock_now() | 1;
	tcase_set_timeout(inside, 60);
	tcase_add_loop_test(inside, test_killed_at_each_point, 0, (int)drill_count());
	tcase_add_loop_test(inside, test_repair_killed_too, 0, (int)drill_count());
	tcase_add_loop_test(inside, test_killed_at_an_instruction, 0, (int)drill_count());

	tcase_set_timeout(random, 60);
	tcase_add_loop_test(random, test_killed_at_random, 0, 2);

	tcase_set_timeout(stopped, 30);
	tcase_add_loop_test(stopped, test_lock_holder_is_stopped, 0, 4);

	suite_add_tcase(suite, inside);
	suite_add_tcase(suite, random);
	suite_add_tcase(suite, stopped);
	status = help_run(suite);
	if (status != EXIT_SUCCESS)
		fprintf(stderr, "HOSTLER_SEED=%llu\n", (unsigned long long)seed);
	return status;
}
