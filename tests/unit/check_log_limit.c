/*
 * What repeats in the log: it is held back, told by a notice with the right count, and bounded
 * however many kinds of lines there are.
 */
#include "common/log_limit.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/log_help.h"

#define NOW (1000 * CLOCK_SECOND)

static bool
allows(const char *format, enum log_level level, const char *text, uint64_t now)
{
	return log_limit_allows(format, level, text, strlen(text), now);
}

START_TEST(repeats_are_held_back_and_told)
{
	struct log_limit_notice notice;
	const char *format = "service %s: no";
	unsigned long last = 0;

	for (unsigned long i = 1; i <= 80; i++)
		if (allows(format, LOG_LEVEL_WARN, "service a: no", NOW + i * CLOCK_MS))
			last = i;
	ck_assert_uint_eq(last, LOG_LIMIT_GRAVE);
	/* Another service, another sentence, and debug lines are another matter. */
	ck_assert(allows(format, LOG_LEVEL_WARN, "service b: no", NOW + 90 * CLOCK_MS));
	ck_assert(allows("other %s", LOG_LEVEL_WARN, "service a: no", NOW + 90 * CLOCK_MS));
	for (int i = 0; i < 10000; i++)
		ck_assert(allows("debug", LOG_LEVEL_DEBUG, "debug", NOW));
	ck_assert(!log_limit_tell(NOW + CLOCK_SECOND, &notice));
	ck_assert(log_limit_tell(NOW + CLOCK_SECOND + CLOCK_MS, &notice));
	ck_assert_str_eq(notice.text, "service a: no ... (30 more like this in 0.1 s)");
	ck_assert_uint_eq(notice.length, strlen(notice.text));
	ck_assert_int_eq(notice.level, LOG_LEVEL_WARN);
	ck_assert(!log_limit_tell(NOW + 9 * CLOCK_SECOND, &notice));
	ck_assert(allows(format, LOG_LEVEL_WARN, "service a: no", NOW + 2 * CLOCK_SECOND));
}
END_TEST

/* Births and deaths of a thousand instances in a second are all told. */
START_TEST(life_cycles_are_told_whole)
{
	for (int i = 0; i < LOG_LIMIT_INFO; i++)
		ck_assert(allows("started", LOG_LEVEL_INFO, "started", NOW));
	ck_assert(!allows("started", LOG_LEVEL_INFO, "started", NOW));
}
END_TEST

/* More kinds than there are places: those beyond share one, and nothing that is held is lost. */
START_TEST(many_kinds_are_still_bounded)
{
	static char formats[4 * LOG_LIMIT_KINDS];
	struct log_limit_notice notice;
	unsigned long allowed = 0, told = 0, more;

	for (int i = 0; i < 100 * 4 * LOG_LIMIT_KINDS; i++)
		allowed += allows(&formats[i % (4 * LOG_LIMIT_KINDS)], LOG_LEVEL_ERROR, "e", NOW);
	ck_assert_uint_eq(allowed, LOG_LIMIT_GRAVE * LOG_LIMIT_KINDS);
	while (log_limit_tell(NOW + CLOCK_SECOND, &notice)) {
		ck_assert_int_eq(sscanf(notice.text, "e ... (%lu more like this", &more), 1);
		told += more;
	}
	ck_assert_uint_eq(allowed + told, 100 * 4 * LOG_LIMIT_KINDS);
}
END_TEST

/* The whole way: a flood of warnings becomes some lines and one notice, by the timer's flush. */
START_TEST(a_flood_of_warnings_is_told_in_the_log)
{
	int file = help_catch_log();
	uint64_t begun = clock_now();
	char *log, notice[64];

	log_open("m", LOG_LEVEL_INFO);
	log_started();
	for (int i = 1; i <= 1000; i++)
		log_warnx("flood %d", i);
	log_info("another");
	ck_assert_uint_lt(clock_now() - begun, CLOCK_SECOND);
	snprintf(notice, sizeof(notice), "m: flood 1000 ... (%d more like this in 0.",
	    1000 - LOG_LIMIT_GRAVE);
	for (;;) {
		log_flush();
		log = help_log(file);
		if (count(log, notice) == 1)
			break;
		free(log);
		ck_assert_uint_lt(clock_now() - begun, HELP_DEADLINE);
		poll(NULL, 0, 20);
	}
	ck_assert_int_eq(count(log, "m: flood "), LOG_LIMIT_GRAVE + 1);
	ck_assert_int_eq(count(log, "m: another\n"), 1);
	ck_assert_int_eq(count(log, "\n"), LOG_LIMIT_GRAVE + 2);
	free(log);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log_limit");
	TCase *repeats = tcase_create("repeats");

	tcase_add_test(repeats, repeats_are_held_back_and_told);
	tcase_add_test(repeats, life_cycles_are_told_whole);
	tcase_add_test(repeats, many_kinds_are_still_bounded);
	tcase_add_test(repeats, a_flood_of_warnings_is_told_in_the_log);
	suite_add_tcase(suite, repeats);
	return help_run(suite);
}
