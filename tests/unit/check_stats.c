/* Counters in shared memory, written by real processes; and the table of protocols and handlers. */
#include "common/kinds.h"
#include "common/stats.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 3
#define ROUNDS  100000

static void
count_as_worker(const struct stats *stats, unsigned worker)
{
	struct stats_row *row = stats_row(stats, worker);

	for (int i = 0; i < ROUNDS; i++)
		stats_count(row, COUNTER_requests);
	stats_count(row, COUNTER_fd_pauses);
	atomic_store(&row->open, 10 * (worker + 1));
}

static void
fork_worker(const struct stats *stats, unsigned worker, pid_t *pid)
{
	*pid = fork();
	ck_assert_int_ge(*pid, 0);
	if (*pid == 0) {
		count_as_worker(stats, worker);
		raise(SIGKILL); /* what a dead worker counted stays */
		_exit(1);
	}
}

START_TEST(counts_of_dead_workers_stay)
{
	struct stats *stats = stats_new(WORKERS);
	pid_t pids[WORKERS];

	for (unsigned worker = 0; worker < WORKERS; worker++)
		fork_worker(stats, worker, &pids[worker]);
	for (unsigned worker = 0; worker < WORKERS; worker++)
		ck_assert_int_eq(waitpid(pids[worker], NULL, 0), pids[worker]);
	ck_assert_uint_eq(stats_total(stats, COUNTER_requests), (uint64_t)WORKERS * ROUNDS);
	ck_assert_uint_eq(stats_total(stats, COUNTER_fd_pauses), WORKERS);
	ck_assert_uint_eq(stats_total(stats, COUNTER_replies), 0);
	ck_assert_uint_eq(stats_open(stats), 60);
	stats_free(stats);
}
END_TEST

/* Notes each second for which it was the first; all of them race for the same seconds. */
static void
race_as_worker(const struct stats *stats, atomic_uchar *winners)
{
	for (uint64_t second = 1; second <= ROUNDS; second++)
		if (stats_first_this_second(stats, second))
			atomic_fetch_add(&winners[second], 1);
	_exit(0);
}

START_TEST(one_may_speak_each_second)
{
	struct stats *stats = stats_new(WORKERS);
	atomic_uchar *winners =
	    mmap(NULL, ROUNDS + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[WORKERS];
	int won = 0, doubled = 0;

	ck_assert_ptr_ne(winners, MAP_FAILED);
	for (unsigned worker = 0; worker < WORKERS; worker++) {
		pids[worker] = fork();
		ck_assert_int_ge(pids[worker], 0);
		if (pids[worker] == 0)
			race_as_worker(stats, winners);
	}
	for (unsigned worker = 0; worker < WORKERS; worker++)
		ck_assert_int_eq(waitpid(pids[worker], NULL, 0), pids[worker]);
	/* Nobody twice for a second; a second that somebody else has passed is gone for good. */
	for (int second = 1; second <= ROUNDS; second++) {
		won += winners[second] > 0;
		doubled += winners[second] > 1;
	}
	ck_assert_int_gt(won, 0);
	ck_assert_int_eq(doubled, 0);
	ck_assert(!stats_first_this_second(stats, ROUNDS));
	ck_assert(stats_first_this_second(stats, ROUNDS + 1));
	ck_assert(!stats_first_this_second(stats, ROUNDS + 1));
	munmap(winners, ROUNDS + 1);
	/* The word behind the rows is nobody's counter. */
	ck_assert_uint_eq(stats_open(stats), 0);
	stats_free(stats);
}
END_TEST

START_TEST(rows_share_no_cache_line)
{
	struct stats *stats = stats_new(WORKERS);
	const char *base = (const char *)stats->rows;

	ck_assert_uint_eq((uintptr_t)base % 64, 0);
	ck_assert_uint_eq(_Alignof(struct stats_row), 64); /* and so is its size a multiple */
	for (unsigned worker = 0; worker < WORKERS; worker++)
		ck_assert_ptr_eq((const char *)stats_row(stats, worker),
		    base + worker * sizeof(struct stats_row));
	stats_free(stats);
}
END_TEST

START_TEST(the_last_holder_frees)
{
	struct stats *stats = stats_new(0);

	ck_assert_uint_eq(stats_open(stats), 0);
	ck_assert_ptr_eq(stats_hold(stats), stats);
	stats_free(stats);
	ck_assert_uint_eq(stats_open(stats), 0); /* a sanitizer would complain */
	stats_free(stats);
	stats_free(NULL);
}
END_TEST

START_TEST(counters_have_names)
{
	ck_assert_str_eq(stats_counter_name(COUNTER_accepted), "accepted");
	ck_assert_str_eq(stats_counter_name(COUNTER_COUNT), "unknown");
	ck_assert_str_eq(stats_counter_help(COUNTER_COUNT), "");
	for (unsigned a = 0; a < COUNTER_COUNT; a++) {
		ck_assert_uint_gt(strlen(stats_counter_help((enum counter)a)), 0);
		for (unsigned b = 0; b < a; b++)
			ck_assert_str_ne(stats_counter_name((enum counter)a),
			    stats_counter_name((enum counter)b));
	}
}
END_TEST

/* Written out by hand: the legal pairs of the contract. */
START_TEST(kinds_that_go_together)
{
	static const bool together[PROTOCOL_COUNT][HANDLER_COUNT] = {
	    [PROTOCOL_STREAM] = {[HANDLER_ECHO] = true, [HANDLER_DISCARD] = true},
	    [PROTOCOL_LINE] =
		{[HANDLER_ECHO] = true, [HANDLER_DISCARD] = true, [HANDLER_PROGRAM] = true},
	    [PROTOCOL_FRAME] =
		{[HANDLER_ECHO] = true, [HANDLER_DISCARD] = true, [HANDLER_PROGRAM] = true},
	};

	for (unsigned p = 0; p < PROTOCOL_COUNT; p++)
		for (unsigned h = 0; h < HANDLER_COUNT; h++)
			ck_assert_msg(kinds_go_together((enum protocol_kind)p,
					  (enum handler_kind)h) == together[p][h],
			    "%s and %s", protocol_name((enum protocol_kind)p),
			    handler_name((enum handler_kind)h));
	ck_assert(!kinds_go_together(PROTOCOL_COUNT, HANDLER_ECHO));
	ck_assert(!kinds_go_together(PROTOCOL_LINE, HANDLER_COUNT));
	ck_assert_str_eq(protocol_name(PROTOCOL_FRAME), "frame");
	ck_assert_str_eq(handler_name(HANDLER_PROGRAM), "program");
	ck_assert_str_eq(protocol_name(PROTOCOL_COUNT), "unknown");
	ck_assert_str_eq(handler_name(HANDLER_COUNT), "unknown");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stats");
	TCase *tcase = tcase_create("stats");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, counts_of_dead_workers_stay);
	tcase_add_test(tcase, one_may_speak_each_second);
	tcase_add_test(tcase, rows_share_no_cache_line);
	tcase_add_test(tcase, the_last_holder_frees);
	tcase_add_test(tcase, counters_have_names);
	tcase_add_test(tcase, kinds_that_go_together);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
