/*
 * Shared memory that is mapped again by its descriptor, as a new image of the master does: it finds
 * what is there, refuses what is laid out in another way, and in a trial nobody sees what it does.
 */
#include "common/stats.h"
#include "ipc/pool_layout.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKERS 5

static const struct pool_shape shape = {
    .slots = 3, .queue = 10, .batch = 4, .workers = WORKERS, .lease_time = 1000000000};

static int
copy(int fd)
{
	int copied = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	ck_assert_int_ge(copied, 0);
	return copied;
}

START_TEST(counters_go_on)
{
	struct stats *stats = stats_new(WORKERS), *again;

	stats_count(stats_row(stats, 2), COUNTER_requests);
	again = stats_attach(copy(stats->fd), WORKERS, false);
	ck_assert_ptr_nonnull(again);
	ck_assert_uint_eq(stats_total(again, COUNTER_requests), 1);
	stats_record(stats_row(again, 4), stats_times(again, 4), COUNTER_replies,
	    (const uint64_t[STATS_SPANS]){1, 2, 3});
	ck_assert_uint_eq(stats_total(stats, COUNTER_replies), 1);
	stats_free(stats);
	ck_assert_uint_eq(stats_total(again, COUNTER_requests), 1);
	stats_free(again);
}
END_TEST

START_TEST(counters_of_a_trial_are_its_own)
{
	struct stats *stats = stats_new(WORKERS);
	struct stats *trial = stats_attach(copy(stats->fd), WORKERS, true);

	stats_count(stats_row(stats, 0), COUNTER_requests);
	ck_assert_uint_eq(stats_total(trial, COUNTER_requests), 1);
	stats_count(stats_row(trial, 0), COUNTER_requests);
	stats_set_serving(trial, 7);
	ck_assert_uint_eq(stats_total(stats, COUNTER_requests), 1);
	ck_assert_uint_eq(stats_serving(stats), 0);
	stats_free(trial);
	stats_free(stats);
}
END_TEST

static void
expect_no_counters(int fd, unsigned workers, int why)
{
	errno = 0;
	ck_assert_ptr_null(stats_attach(fd, workers, false));
	ck_assert_int_eq(errno, why);
}

START_TEST(other_counters_are_refused)
{
	struct stats *stats = stats_new(WORKERS);
	uint64_t layout, another;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	expect_no_counters(stats->fd, WORKERS + 1, EPROTO);
	expect_no_counters(ends[0], WORKERS, EPROTO);
	expect_no_counters(-1, WORKERS, EBADF);
	ck_assert_int_eq(pread(stats->fd, &layout, sizeof(layout), 0), sizeof(layout));
	another = layout + 1;
	ck_assert_int_eq(pwrite(stats->fd, &another, sizeof(another), 0), sizeof(another));
	expect_no_counters(stats->fd, WORKERS, EPROTO);
	/* The descriptor is still ours. */
	ck_assert_int_eq(pwrite(stats->fd, &layout, sizeof(layout), 0), sizeof(layout));
	stats_free(stats_attach(copy(stats->fd), WORKERS, false));
	stats_free(stats);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

static const struct pool_hooks hooks = {0};

START_TEST(a_pool_goes_on)
{
	struct pool *pool = pool_new(&shape), *again;
	struct pool_shape found;
	struct pool_ticket ticket;
	struct pool_grant grant;
	struct pool_view view;

	pool_attach(pool, 1, &hooks);
	pool_offer(pool, 2, 1);
	ck_assert_int_eq(pool_enter(pool, 1, &ticket, &grant), POOL_GRANTED);
	ck_assert_int_eq(pool_enter(pool, 1, &ticket, &grant), POOL_WAITING);
	again = pool_open(copy(pool_memory(pool, &found)), &found, false);
	ck_assert_ptr_nonnull(again);
	ck_assert_uint_eq(found.slots, shape.slots);
	ck_assert_uint_eq(found.lease_time, shape.lease_time);
	ck_assert(pool_peek(again, 2, &view));
	ck_assert_int_eq(view.state, POOL_LEASED);
	ck_assert_uint_eq(view.owner, 1);
	pool_attach(again, 1, &hooks);
	ck_assert(pool_waits(again, &ticket));
	/* Both handles share the lock and the line. */
	ck_assert(pool_leave(again, &ticket));
	ck_assert(!pool_waits(pool, &ticket));
	pool_free(pool);
	pool_free(again);
}
END_TEST

START_TEST(a_pool_of_a_trial_is_its_own)
{
	struct pool *pool = pool_new(&shape);
	struct pool *trial =
	    pool_open(copy(pool_memory(pool, &(struct pool_shape){0})), &shape, true);
	struct pool_view view;

	ck_assert_ptr_nonnull(trial);
	pool_set_queue(trial, 1);
	pool_offer(trial, 0, 1);
	pool_attach(trial, 1, &hooks);
	ck_assert(pool_peek(trial, 0, &view));
	ck_assert_int_eq(view.state, POOL_FREE);
	pool_attach(pool, 2, &hooks);
	ck_assert(pool_peek(pool, 0, &view));
	ck_assert_int_eq(view.state, POOL_EMPTY);
	pool_free(trial);
	pool_free(pool);
}
END_TEST

static void
expect_no_pool(int fd, struct pool_shape asked)
{
	errno = 0;
	ck_assert_ptr_null(pool_open(fd, &asked, false));
	ck_assert_int_eq(errno, EPROTO);
}

START_TEST(other_pools_are_refused)
{
	struct pool *pool = pool_new(&shape);
	struct pool_shape found;
	uint32_t layout = POOL_LAYOUT + 1;
	int fd = pool_memory(pool, &found);

	for (unsigned i = 0; i < 6; i++) {
		struct pool_shape bad = found;

		bad.slots = i == 0 ? 0 : i == 1 ? POOL_SLOTS_MAX + 1 : i == 2 ? 2 : bad.slots;
		bad.queue = i == 3 ? UINT32_MAX : bad.queue;
		bad.batch = i == 4 ? 0 : bad.batch;
		bad.workers = i == 5 ? POOL_WORKERS_MAX + 1 : bad.workers;
		bad.queue += i == 2 ? POOL_QUEUE_MAX / 2 : 0;
		expect_no_pool(fd, bad);
	}
	ck_assert_int_eq(pwrite(fd, &layout, sizeof(layout), offsetof(struct pool_head, layout)),
	    sizeof(layout));
	expect_no_pool(fd, found);
	pool_free(pool);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("memory");
	TCase *tcase = tcase_create("memory");

	tcase_add_test(tcase, counters_go_on);
	tcase_add_test(tcase, counters_of_a_trial_are_its_own);
	tcase_add_test(tcase, other_counters_are_refused);
	tcase_add_test(tcase, a_pool_goes_on);
	tcase_add_test(tcase, a_pool_of_a_trial_is_its_own);
	tcase_add_test(tcase, other_pools_are_refused);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
