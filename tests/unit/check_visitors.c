/*
 * Addresses and what they are counted as: connections of all workers, of one that was killed no
 * more, more addresses than there is room for, and requests within a second that slides.
 */
#include "common/clock.h"
#include "common/stats.h"
#include "tests/unit/run_help.h"

#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define NOW     (1000 * CLOCK_SECOND) /* a whole second */

static struct stats *stats;
static const struct visitors *visitors;

static void
begin(void)
{
	stats = stats_new(WORKERS);
	visitors = &stats->visitors;
}

static void
end(void)
{
	stats_free(stats);
}

static uint64_t
key4(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = (in_port_t)rand()};

	ck_assert_int_eq(inet_pton(AF_INET, text, &address.sin_addr), 1);
	return visitors_key((struct sockaddr *)&address);
}

static uint64_t
key6(const char *text)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = (in_port_t)rand()};

	ck_assert_int_eq(inet_pton(AF_INET6, text, &address.sin6_addr), 1);
	return visitors_key((struct sockaddr *)&address);
}

START_TEST(addresses_are_told_apart)
{
	struct sockaddr unnamed = {.sa_family = AF_UNIX};

	ck_assert_uint_eq(key4("127.0.0.1"), key4("127.0.0.1"));
	ck_assert_uint_ne(key4("127.0.0.1"), key4("127.0.0.2"));
	ck_assert_uint_eq(key4("1.2.3.4"), key6("::ffff:1.2.3.4"));
	ck_assert_uint_eq(key6("2001:db8:1:2::1"), key6("2001:db8:1:2:ffff::"));
	ck_assert_uint_ne(key6("2001:db8:1:2::1"), key6("2001:db8:1:3::1"));
	ck_assert_uint_ne(key6("::1"), 0);
	ck_assert_uint_ne(key6("::1"), key4("0.0.0.1"));
	ck_assert_uint_ne(key4("0.0.0.0"), 0);
	ck_assert_uint_eq(visitors_key(&unnamed), 0);
	ck_assert_uint_eq(visitors_enter(visitors, 0, 0, NOW), VISITORS_NONE);
}
END_TEST

START_TEST(connections_of_all_workers_add_up)
{
	uint16_t cells[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		cells[i] = visitors_enter(visitors, i, 7, NOW);
		ck_assert_uint_eq(visitors_enter(visitors, i, 7, NOW), cells[i]);
		ck_assert_uint_ne(visitors_enter(visitors, i, 8, NOW), cells[i]);
		ck_assert_uint_eq(visitors_open(visitors, 7), 2 * (i + 1));
	}
	visitors_turn_away(visitors, 1, cells[1]);
	ck_assert_uint_eq(visitors_open(visitors, 7), 7);
	ck_assert_uint_eq(visitors_turned_away(visitors, 7), 1);
	visitors_leave(visitors, 1, cells[1], true);
	visitors_leave(visitors, 2, cells[2], false);
	ck_assert_uint_eq(visitors_open(visitors, 7), 6);
	ck_assert_uint_eq(visitors_turned_away(visitors, 7), 0);
	ck_assert_uint_eq(visitors_open(visitors, 8), 4);
	ck_assert_uint_eq(visitors_open(visitors, 9), 0);
}
END_TEST

/* It may be killed wherever it is. */
START_TEST(what_is_killed_gives_its_counts_back)
{
	for (int round = 0; round < 20; round++) {
		pid_t pid = fork();

		if (pid == 0)
			for (uint64_t key = 1;; key = key % 5000 + 1) {
				uint16_t cell = visitors_enter(visitors, 2, key, NOW);

				(void)visitors_ask(visitors, 2, cell, 10, NOW);
			}
		(void)visitors_enter(visitors, 1, 3, NOW);
		usleep(1000);
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		stats_bury(stats, 2);
		ck_assert_uint_eq(visitors_open(visitors, 3), (unsigned)round + 1);
		ck_assert_uint_eq(visitors_open(visitors, 4), 0);
	}
}
END_TEST

/* However many come and go, and whoever sits beside them. */
START_TEST(who_has_left_is_forgotten)
{
	uint64_t now = NOW;

	for (uint64_t key = 1; key <= 1000000; key++) {
		uint16_t cell = visitors_enter(visitors, 0, key, now);

		ck_assert_uint_ne(cell, VISITORS_NONE);
		ck_assert_uint_eq(visitors_open(visitors, key), 1);
		ck_assert(visitors_ask(visitors, 0, cell, 1, now));
		visitors_leave(visitors, 0, cell, false);
		now += CLOCK_SECOND / 3000;
	}
	for (uint64_t key = 1; key <= 1000000; key += 999)
		ck_assert_uint_eq(visitors_open(visitors, key), 0);
}
END_TEST

START_TEST(who_finds_no_room_is_not_counted)
{
	unsigned nowhere = 0, wrong = 0;

	for (uint64_t key = 1; key <= 2 * VISITORS_CELLS; key++)
		nowhere += visitors_enter(visitors, 0, key, NOW) == VISITORS_NONE;
	/* All cells are used, or nearly. */
	ck_assert_uint_ge(nowhere, VISITORS_CELLS);
	ck_assert_uint_le(nowhere, VISITORS_CELLS + VISITORS_CELLS / 50);
	for (uint64_t key = 1; key <= 2 * VISITORS_CELLS; key++)
		wrong += visitors_open(visitors, key) > 1;
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

static unsigned
ask(unsigned worker, uint16_t cell, unsigned rate, uint64_t now, unsigned times)
{
	unsigned allowed = 0;

	while (times-- > 0)
		allowed += visitors_ask(visitors, worker, cell, rate, now);
	return allowed;
}

START_TEST(requests_within_a_second)
{
	uint16_t first = visitors_enter(visitors, 0, 7, NOW);
	uint16_t second = visitors_enter(visitors, 1, 7, NOW);
	uint16_t other = visitors_enter(visitors, 1, 8, NOW);

	ck_assert_uint_eq(ask(0, first, 10, NOW, 6), 6);
	ck_assert_uint_eq(ask(1, second, 10, NOW + CLOCK_SECOND - 1, 6), 4);
	ck_assert_uint_eq(ask(0, first, 10, NOW + CLOCK_SECOND - 1, 6), 0);
	ck_assert_uint_eq(ask(1, other, 10, NOW, 20), 10);
	/* A higher rate counts what there was. */
	ck_assert_uint_eq(ask(0, first, 12, NOW, 20), 2);
	/* They leave with the second in which they came. */
	ck_assert_uint_eq(ask(0, first, 12, NOW + CLOCK_SECOND, 20), 0);
	ck_assert_uint_eq(ask(0, first, 12, NOW + CLOCK_SECOND + CLOCK_SECOND / 2, 20), 6);
	ck_assert_uint_eq(ask(1, second, 12, NOW + 2 * CLOCK_SECOND + CLOCK_SECOND / 2, 20), 9);
	ck_assert_uint_eq(ask(1, second, 12, NOW + 10 * CLOCK_SECOND, 20), 12);
	ck_assert_uint_eq(
	    ask(0, first, VISITORS_RATE_MAX, NOW + 20 * CLOCK_SECOND, VISITORS_RATE_MAX + 5),
	    VISITORS_RATE_MAX);
}
END_TEST

/* Who never stops asking gets what he may have, all the time. */
START_TEST(a_steady_stream_gets_the_rate)
{
	uint16_t cell = visitors_enter(visitors, 0, 7, NOW);
	unsigned allowed = 0;

	for (uint64_t now = NOW; now < NOW + 20 * CLOCK_SECOND; now += CLOCK_SECOND / 5000)
		allowed += visitors_ask(visitors, 0, cell, 100, now);
	ck_assert_uint_ge(allowed, 20 * 90);
	ck_assert_uint_le(allowed, 21 * 100);
}
END_TEST

/* Four at once, each of which lets another one in wherever it may: never one too many. */
START_TEST(a_limit_holds_between_processes)
{
	enum { LIMIT = 5, TIMES = 20000 };
	_Atomic uint64_t *inside = &stats_row(stats, 0)->counters[COUNTER_collected];
	_Atomic uint64_t *taken = &stats_row(stats, 0)->counters[COUNTER_syncs];
	int status;
	pid_t pids[WORKERS];

	for (unsigned worker = 0; worker < WORKERS; worker++) {
		pids[worker] = fork();
		if (pids[worker] != 0)
			continue;
		for (int i = 0; i < TIMES; i++) {
			unsigned got = 0;
			uint16_t cell;

			while (got < LIMIT) {
				cell = visitors_enter(visitors, worker, 7, NOW);
				if (visitors_open(visitors, 7) > LIMIT) {
					visitors_leave(visitors, worker, cell, false);
					break;
				}
				got++;
				if (atomic_fetch_add(inside, 1) >= LIMIT)
					_exit(100);
			}
			atomic_fetch_add(taken, got);
			for (cell = visitors_enter(visitors, worker, 7, NOW); got > 0; got--) {
				atomic_fetch_sub(inside, 1);
				visitors_leave(visitors, worker, cell, false);
			}
			visitors_leave(visitors, worker, cell, false);
		}
		_exit(0);
	}
	for (unsigned worker = 0; worker < WORKERS; worker++) {
		ck_assert_int_eq(waitpid(pids[worker], &status, 0), pids[worker]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(visitors_open(visitors, 7), 0);
	ck_assert_uint_ge(atomic_load(taken), LIMIT);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("visitors");
	TCase *tcase = tcase_create("visitors");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, addresses_are_told_apart);
	tcase_add_test(tcase, connections_of_all_workers_add_up);
	tcase_add_test(tcase, what_is_killed_gives_its_counts_back);
	tcase_add_test(tcase, who_has_left_is_forgotten);
	tcase_add_test(tcase, who_finds_no_room_is_not_counted);
	tcase_add_test(tcase, requests_within_a_second);
	tcase_add_test(tcase, a_steady_stream_gets_the_rate);
	tcase_add_test(tcase, a_limit_holds_between_processes);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
