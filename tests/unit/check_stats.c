/* Counters in shared memory, written by real processes; and the table of protocols and handlers. */
#include "common/kinds.h"
#include "common/stats.h"
#include "tests/unit/run_help.h"

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

/* ---- times ---- */

static void
record(
    const struct stats *stats, unsigned worker, enum counter outcome, uint64_t queue, uint64_t run)
{
	const uint64_t spans[STATS_SPANS] = {
	    [STATS_queue] = queue, [STATS_run] = run, [STATS_whole] = queue + run};

	stats_count(stats_row(stats, worker), COUNTER_requests);
	stats_record(stats_row(stats, worker), stats_times(stats, worker), outcome, spans);
}

static struct histogram *
times(const struct stats *stats, enum counter outcome, enum stats_span span)
{
	static struct histogram sum;

	memset(&sum, 0, sizeof(sum));
	stats_read_times(stats, outcome, span, &sum);
	return &sum;
}

START_TEST(times_by_outcome_and_span)
{
	struct stats *stats = stats_new(WORKERS);
	const struct histogram *found;

	for (unsigned i = 0; i < 100; i++)
		record(stats, i % WORKERS, COUNTER_replies, 1000 * i, 1000000);
	record(stats, 1, COUNTER_withdrawn, UINT64_MAX, 0);
	found = times(stats, COUNTER_replies, STATS_queue);
	ck_assert_uint_eq(found->count, 100);
	ck_assert_uint_eq(found->sum, 99 * 100 / 2 * 1000);
	ck_assert_uint_eq(found->max, 99000);
	ck_assert_uint_eq(found->buckets[0], 1); /* nothing to wait for */
	found = times(stats, COUNTER_replies, STATS_run);
	ck_assert_uint_eq(found->buckets[histogram_index(1000000)], 100);
	ck_assert_uint_eq(times(stats, COUNTER_replies, STATS_whole)->max, 1099000);
	ck_assert_uint_eq(times(stats, COUNTER_withdrawn, STATS_queue)->max, UINT64_MAX);
	ck_assert_uint_eq(times(stats, COUNTER_withdrawn, STATS_run)->count, 1);
	ck_assert_uint_eq(times(stats, COUNTER_failed, STATS_run)->count, 0);
	ck_assert_uint_eq(stats_under_way(stats), 0);
	stats_free(stats);
}
END_TEST

static size_t
resident_pages(const struct stats *stats)
{
	size_t size = WORKERS * sizeof(struct stats_times), page = (size_t)sysconf(_SC_PAGESIZE);
	static unsigned char there[64 << 20 >> 12];
	size_t count = 0;

	ck_assert_uint_le(size / page, sizeof(there));
	ck_assert_int_eq(mincore(stats->times, size, there), 0);
	for (size_t i = 0; i < size / page; i++)
		count += there[i] & 1;
	return count;
}

/* Reading must not bring pages into being that nobody wrote. */
START_TEST(only_what_is_used_takes_memory)
{
	struct stats *stats = stats_new(WORKERS);
	size_t written;

	ck_assert_uint_eq(resident_pages(stats), 0);
	for (uint64_t time = 1; time < UINT64_C(1) << 40; time += time / 8 + 1)
		record(stats, 1, COUNTER_timeout, time, 0);
	written = resident_pages(stats);
	ck_assert_uint_gt(written, 0);
	ck_assert_uint_le(written, 3 * (sizeof(struct stats_time) / 4096 + 2));
	for (unsigned i = 0; i < STATS_OUTCOMES; i++)
		for (unsigned span = 0; span < STATS_SPANS; span++)
			times(stats, STATS_OUTCOME_FIRST + i, span);
	ck_assert_uint_eq(resident_pages(stats), written);
	stats_free(stats);
}
END_TEST

/* One is killed at any moment; whoever has its id next goes on where it stopped. */
START_TEST(the_sum_adds_up_over_deaths)
{
	struct stats *stats = stats_new(1);
	uint64_t ended = 0;

	for (int death = 0; death < 20; death++) {
		pid_t pid = fork();
		uint64_t before = stats_total(stats, COUNTER_requests);

		ck_assert_int_ge(pid, 0);
		while (pid == 0)
			record(stats, 0, COUNTER_busy, 5, 0);
		while (stats_total(stats, COUNTER_requests) < before + 1000)
			continue;
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		atomic_store(&stats_row(stats, 0)->open, 7);
		stats_count(stats_row(stats, 0), COUNTER_requests); /* one is surely under way */
		stats_bury(stats, 0);
		ck_assert_uint_eq(stats_open(stats), 0);
		ck_assert_uint_eq(stats_under_way(stats), 0);
	}
	ended = stats_total(stats, COUNTER_busy) + stats_total(stats, COUNTER_lost);
	ck_assert_uint_eq(stats_total(stats, COUNTER_requests), ended);
	ck_assert_uint_ge(stats_total(stats, COUNTER_lost), 20);
	ck_assert_uint_le(stats_total(stats, COUNTER_lost), 40);
	stats_free(stats);
}
END_TEST

/* ---- the limit of connections ---- */

#define LIMIT 30 /* near enough to be counted sometimes, and to be taken on trust sometimes */

/* Takes places and gives them back; `held` never says more than are really taken. */
static void
come_and_go(const struct stats *stats, unsigned worker, atomic_uint *held, atomic_uint *failures)
{
	struct stats_row *row = stats_row(stats, worker);
	unsigned mine = 0, most = LIMIT * (worker + 1) / WORKERS;

	for (int i = 0; i < ROUNDS; i++) {
		if ((i / (64 * (worker + 1))) % 2 == 0 && mine < most) {
			if (!stats_enter(stats, row, LIMIT))
				continue;
			mine++;
			if (atomic_fetch_add(held, 1) >= LIMIT)
				atomic_fetch_add(failures, 1);
		} else if (mine > 0) {
			mine--;
			atomic_fetch_sub(held, 1);
			stats_leave(stats, row);
		}
	}
	atomic_fetch_sub(held, mine);
	while (mine-- > 0)
		stats_leave(stats, row);
	_exit(0);
}

START_TEST(never_more_than_the_limit)
{
	struct stats *stats = stats_new(WORKERS);
	atomic_uint *words = mmap(
	    NULL, 2 * sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[WORKERS];

	ck_assert_ptr_ne(words, MAP_FAILED);
	for (unsigned worker = 0; worker < WORKERS; worker++) {
		pids[worker] = fork();
		ck_assert_int_ge(pids[worker], 0);
		if (pids[worker] == 0)
			come_and_go(stats, worker, &words[0], &words[1]);
	}
	for (unsigned worker = 0; worker < WORKERS; worker++)
		ck_assert_int_eq(waitpid(pids[worker], NULL, 0), pids[worker]);
	ck_assert_uint_eq(words[1], 0);
	ck_assert_uint_eq(words[0], 0);
	ck_assert_uint_eq(stats_open(stats), 0);
	ck_assert_uint_eq(stats_open_about(stats), 0);
	munmap(words, 2 * sizeof(*words));
	stats_free(stats);
}
END_TEST

START_TEST(every_place_can_be_had)
{
	struct stats *stats = stats_new(WORKERS);

	for (unsigned i = 0; i < LIMIT; i++)
		ck_assert(stats_enter(stats, stats_row(stats, i % WORKERS), LIMIT));
	ck_assert(!stats_enter(stats, stats_row(stats, 0), LIMIT));
	ck_assert_uint_eq(stats_open(stats), LIMIT);
	stats_leave(stats, stats_row(stats, 1));
	ck_assert(stats_enter(stats, stats_row(stats, 0), LIMIT));
	stats_free(stats);
}
END_TEST

#define MANY 500 /* rows, so that it takes a while to add them up */

/* A full house whose guest goes from room to room: it has the next one before it leaves its own. */
static void
wander(const struct stats *stats, const atomic_uint *over)
{
	unsigned at = 0;

	while (atomic_load(over) == 0) {
		unsigned to = MANY - 1 - at;

		stats_enter(stats, stats_row(stats, to), UINT64_MAX);
		stats_depart(stats);
		stats_leave(stats, stats_row(stats, at));
		at = to;
	}
	_exit(0);
}

START_TEST(nobody_comes_in_because_somebody_moves)
{
	struct stats *stats = stats_new(MANY);
	atomic_uint *over =
	    mmap(NULL, sizeof(*over), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned came = 0;
	pid_t pid;

	ck_assert_ptr_ne(over, MAP_FAILED);
	ck_assert(stats_enter(stats, stats_row(stats, 0), 1));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		wander(stats, over);
	for (int i = 0; i < ROUNDS; i++)
		came += stats_enter(stats, stats_row(stats, 1), 1);
	atomic_store(over, 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(came, 0);
	munmap(over, sizeof(*over));
	stats_free(stats);
}
END_TEST

/* Killed between any two steps: what it held can be had again, and never more than that. */
START_TEST(the_dead_leave_their_places)
{
	struct stats *stats = stats_new(WORKERS);

	for (int death = 0; death < 50; death++) {
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		while (pid == 0) {
			for (unsigned i = 0; i < LIMIT; i++)
				stats_enter(stats, stats_row(stats, 1), LIMIT);
			for (unsigned i = 0; i < LIMIT; i++)
				stats_leave(stats, stats_row(stats, 1));
		}
		usleep(500 + 10 * (unsigned)death);
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		stats_bury(stats, 1);
		ck_assert_uint_eq(stats_open(stats), 0);
		ck_assert_uint_le(stats_open_about(stats), 2 * WORKERS);
	}
	for (unsigned i = 0; i < LIMIT; i++)
		ck_assert(stats_enter(stats, stats_row(stats, 0), LIMIT));
	ck_assert(!stats_enter(stats, stats_row(stats, 0), LIMIT));
	stats_free(stats);
}
END_TEST

/* The shared word is wrong, or a row is: who dies next, of whatever, puts it right. */
START_TEST(a_scribbled_count_is_mended)
{
	struct stats *stats = stats_new(WORKERS);
	struct stats_row *row = stats_row(stats, 1);

	ck_assert(stats_enter(stats, row, LIMIT));
	for (int i = 0; i < 3; i++) {
		atomic_store(&stats->shared->open, i == 0 ? 5000 : i == 1 ? UINT64_MAX - 9 : 0);
		atomic_store(&stats_row(stats, 0)->open, i == 2 ? 5000 : 0);
		stats_bury(stats, 0);
		ck_assert_uint_eq(stats_open(stats), 1);
		ck_assert_uint_ge(stats_open_about(stats), 1);
		ck_assert_uint_le(stats_open_about(stats), 1 + 2 * WORKERS);
	}
	stats_free(stats);
}
END_TEST

/* ---- the rest ---- */

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
	/* The words behind the rows are nobody's counters. */
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

/* They are one word each, and what the other writers do is beside them. */
START_TEST(the_staff_is_the_masters)
{
	struct stats *stats = stats_new(WORKERS);

	for (unsigned i = 0; i < STAFF_COUNT; i++)
		stats_set_staff(stats, (enum stats_staff)i, 10 + i);
	stats_count_staff(stats, STAFF_starts);
	stats_count_staff(stats, STAFF_starts);
	for (unsigned i = 0; i < STAFF_COUNT; i++)
		ck_assert_uint_eq(
		    stats_staff(stats, (enum stats_staff)i), 10 + i + (i == STAFF_starts ? 2 : 0));
	ck_assert_uint_eq(stats_open(stats) + stats_open_about(stats), 0);
	ck_assert_uint_gt(stats->shared->began, 0);
	stats_free(stats);
}
END_TEST

START_TEST(counters_have_names)
{
	static const char *const outcomes[] = {"replies", "silent", "busy", "timeout", "failed",
	    "bad", "limited", "too_large", "withdrawn"};

	ck_assert_uint_eq(STATS_OUTCOMES, sizeof(outcomes) / sizeof(outcomes[0]));
	for (unsigned i = 0; i < STATS_OUTCOMES; i++)
		ck_assert_str_eq(stats_counter_name(STATS_OUTCOME_FIRST + i), outcomes[i]);
	ck_assert_str_eq(stats_span_name(STATS_whole), "whole");
	ck_assert_str_eq(stats_span_name(STATS_SPANS), "unknown");
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
	    [PROTOCOL_STREAM] =
		{[HANDLER_ECHO] = true, [HANDLER_DISCARD] = true, [HANDLER_COLLECT] = true},
	    [PROTOCOL_LINE] = {[HANDLER_ECHO] = true,
		[HANDLER_DISCARD] = true,
		[HANDLER_COLLECT] = true,
		[HANDLER_PROGRAM] = true},
	    [PROTOCOL_FRAME] = {[HANDLER_ECHO] = true,
		[HANDLER_DISCARD] = true,
		[HANDLER_COLLECT] = true,
		[HANDLER_PROGRAM] = true},
	    [PROTOCOL_HTTP] = {[HANDLER_ECHO] = true,
		[HANDLER_PROGRAM] = true,
		[HANDLER_STATIC] = true,
		[HANDLER_STATUS] = true},
	    [PROTOCOL_WEBSOCKET] = {[HANDLER_ECHO] = true, [HANDLER_PROGRAM] = true},
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

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, counts_of_dead_workers_stay);
	tcase_add_test(tcase, times_by_outcome_and_span);
	tcase_add_test(tcase, only_what_is_used_takes_memory);
	tcase_add_test(tcase, the_sum_adds_up_over_deaths);
	tcase_add_test(tcase, never_more_than_the_limit);
	tcase_add_test(tcase, nobody_comes_in_because_somebody_moves);
	tcase_add_test(tcase, every_place_can_be_had);
	tcase_add_test(tcase, the_dead_leave_their_places);
	tcase_add_test(tcase, a_scribbled_count_is_mended);
	tcase_add_test(tcase, one_may_speak_each_second);
	tcase_add_test(tcase, rows_share_no_cache_line);
	tcase_add_test(tcase, the_last_holder_frees);
	tcase_add_test(tcase, the_staff_is_the_masters);
	tcase_add_test(tcase, counters_have_names);
	tcase_add_test(tcase, kinds_that_go_together);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
