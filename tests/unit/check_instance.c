/*
 * What is known of an instance: when it is worn out, and what the kernel tells of its process. The
 * instances here are figures in memory; the processes are this test and its children.
 */
#include "daemon/instance.h"
#include "daemon/procfs.h"
#include "daemon/service.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define NOW (100000 * CLOCK_SECOND)

/* ---- worn out ---- */

struct bench {
	struct conf_service conf;
	struct service service;
	struct instance instance;
};

static void
on_wake(void *arg, unsigned worker)
{
	(void)arg;
	(void)worker;
}

static void
on_trouble(void *arg)
{
	(void)arg;
}

/* One instance in a pool of its own, in which this process is the only worker. */
static void
bench_open(struct bench *bench)
{
	static const struct pool_hooks hooks = {
	    .wake = on_wake, .wake_master = on_trouble, .stuck = on_trouble, .damaged = on_trouble};
	struct pool_shape shape = {
	    .slots = 1, .queue = 1, .batch = 1, .workers = 1, .lease_time = CLOCK_SECOND};

	*bench = (struct bench){.service.conf = &bench->conf};
	bench->service.pool = pool_new(&shape);
	ck_assert_ptr_nonnull(bench->service.pool);
	pool_attach(bench->service.pool, 0, &hooks);
	bench->instance =
	    (struct instance){.service = &bench->service, .pid = getpid(), .since = NOW};
}

static void
bench_serve(struct bench *bench, unsigned times)
{
	struct pool_grant grant = {.slot = 0};

	for (unsigned i = 0; i < times; i++)
		pool_count_served(bench->service.pool, &grant);
}

START_TEST(test_never_worn)
{
	struct bench bench;

	bench_open(&bench);
	bench_serve(&bench, 100000);
	bench.instance.rss = INT64_MAX;
	ck_assert_ptr_null(instance_worn(&bench.instance, UINT64_MAX - 1));
	ck_assert_uint_eq(instance_worn_time(&bench.instance), UINT64_MAX);
	pool_free(bench.service.pool);
}
END_TEST

START_TEST(test_worn_by_requests)
{
	static const struct {
		unsigned limit, jitter, first;
	} rows[] = {{100, 0, 100}, {100, 1000, 90}, {100, 500, 95}, {1, 1000, 1}, {5, 1000, 5},
	    {10, 1000, 9}, {20000, 1000, 18000}, {20000, 0, 20000}, {12345, 1000, 11345}};
	struct bench bench;

	bench_open(&bench);
	bench.conf.max_requests = rows[_i].limit;
	bench.instance.jitter = rows[_i].jitter;
	/* Those of a process before it in the same place do not count. */
	bench_serve(&bench, 7);
	bench.instance.served_before = 7;
	bench_serve(&bench, rows[_i].first - 1);
	ck_assert_uint_eq(instance_requests(&bench.instance), rows[_i].first - 1);
	ck_assert_ptr_null(instance_worn(&bench.instance, NOW));
	bench_serve(&bench, 1);
	ck_assert_str_eq(instance_worn(&bench.instance, NOW), "max_requests");
	pool_free(bench.service.pool);
}
END_TEST

START_TEST(test_worn_by_age)
{
	static const struct {
		unsigned jitter;
		uint64_t first;
	} rows[] = {
	    {0, 1000 * CLOCK_SECOND}, {1000, 900 * CLOCK_SECOND}, {250, 975 * CLOCK_SECOND}};
	struct bench bench;

	bench_open(&bench);
	bench.conf.max_age = 1000 * CLOCK_SECOND;
	bench.instance.jitter = rows[_i].jitter;
	ck_assert_uint_eq(instance_worn_time(&bench.instance), NOW + rows[_i].first);
	ck_assert_ptr_null(instance_worn(&bench.instance, NOW + rows[_i].first - 1));
	ck_assert_str_eq(instance_worn(&bench.instance, NOW + rows[_i].first), "max_age");
	pool_free(bench.service.pool);
}
END_TEST

START_TEST(test_worn_by_memory)
{
	struct bench bench;

	bench_open(&bench);
	bench.conf.max_memory = 1000000;
	/* Not yet looked at, or not to be known. */
	ck_assert_ptr_null(instance_worn(&bench.instance, NOW));
	bench.instance.rss = PROCFS_UNKNOWN;
	ck_assert_ptr_null(instance_worn(&bench.instance, NOW));
	bench.instance.rss = 1000000;
	ck_assert_ptr_null(instance_worn(&bench.instance, NOW));
	bench.instance.rss++;
	ck_assert_str_eq(instance_worn(&bench.instance, NOW), "max_memory");
	/* This program, whatever it takes, is larger than a page. */
	bench.conf.max_memory = 4096;
	bench.instance.rss = 0;
	instance_weigh(&bench.instance);
	ck_assert_str_eq(instance_worn(&bench.instance, NOW), "max_memory");
	pool_free(bench.service.pool);
}
END_TEST

START_TEST(test_jitter_is_drawn)
{
	struct instance instance = {.slot = 0};
	unsigned least = UINT_MAX, most = 0;

	for (int i = 0; i < 2000; i++) {
		instance_draw_jitter(&instance);
		ck_assert_uint_le(instance.jitter, 1000);
		least = instance.jitter < least ? instance.jitter : least;
		most = instance.jitter > most ? instance.jitter : most;
	}
	ck_assert_uint_lt(least, 100);
	ck_assert_uint_gt(most, 900);
}
END_TEST

/* ---- the kernel's figures ---- */

START_TEST(test_figures)
{
	struct procfs_figures before, after;
	size_t size = 64 << 20;
	char *memory;

	procfs_read(getpid(), UINT64_MAX, &before);
	ck_assert_int_gt(before.rss, 4096);
	ck_assert_int_gt(before.pss, 4096);
	ck_assert_int_le(before.pss, before.rss);
	ck_assert_int_eq(before.descriptors, help_count_fds() + 1); /* and the folder itself */
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	memset(memory, 1, size);
	ck_assert_int_ge(dup(STDERR_FILENO), 0);
	procfs_read(getpid(), UINT64_MAX, &after);
	ck_assert_int_ge(after.rss, before.rss + (60 << 20));
	ck_assert_int_ge(after.pss, before.pss + (60 << 20));
	ck_assert_int_eq(after.descriptors, before.descriptors + 1);
	ck_assert_int_eq(procfs_rss(getpid()) / 1048576, after.rss / 1048576);
	/* All CPU time that clock(3) knows, to the tick. */
	while (clock() < CLOCKS_PER_SEC / 5)
		memset(memory, 2, size);
	procfs_read(getpid(), UINT64_MAX, &after);
	ck_assert_int_ge(after.cpu, 170);
	ck_assert_int_lt(after.cpu, 5000);
	munmap(memory, size);
}
END_TEST

/* Without time there is only what costs none. */
START_TEST(test_figures_without_time)
{
	struct procfs_figures figures;

	procfs_read(getpid(), 0, &figures);
	ck_assert_int_gt(figures.rss, 4096);
	ck_assert_int_ge(figures.cpu, 0);
	ck_assert_int_eq(figures.pss, PROCFS_UNKNOWN);
	ck_assert_int_eq(figures.descriptors, PROCFS_UNKNOWN);
}
END_TEST

/* Nobody there, a zombie, and a name that looks like the end of one. */
START_TEST(test_figures_of_others)
{
	struct procfs_figures figures;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(0);
	help_wait_for(!help_runs(pid));
	procfs_read(pid, UINT64_MAX, &figures);
	ck_assert_int_eq(figures.pss, PROCFS_UNKNOWN);
	waitpid(pid, NULL, 0);
	procfs_read(pid, UINT64_MAX, &figures);
	ck_assert_int_eq(figures.rss, PROCFS_UNKNOWN);
	ck_assert_int_eq(figures.cpu, PROCFS_UNKNOWN);
	ck_assert_int_eq(figures.descriptors, PROCFS_UNKNOWN);
	ck_assert_int_eq(procfs_rss(pid), PROCFS_UNKNOWN);
	prctl(PR_SET_NAME, "a) R 1 (b");
	procfs_read(getpid(), UINT64_MAX, &figures);
	ck_assert_int_ge(figures.cpu, 0);
	ck_assert_int_lt(figures.cpu, 60000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("instance");
	TCase *worn = tcase_create("worn"), *figures = tcase_create("figures");

	tcase_add_test(worn, test_never_worn);
	tcase_add_loop_test(worn, test_worn_by_requests, 0, 9);
	tcase_add_loop_test(worn, test_worn_by_age, 0, 3);
	tcase_add_test(worn, test_worn_by_memory);
	tcase_add_test(worn, test_jitter_is_drawn);
	tcase_add_test(figures, test_figures);
	tcase_add_test(figures, test_figures_without_time);
	tcase_add_test(figures, test_figures_of_others);
	tcase_set_timeout(figures, 30);
	suite_add_tcase(suite, worn);
	suite_add_tcase(suite, figures);
	return help_run(suite);
}
