/* Standard error of programs as log lines: borders, lengths, and whatever comes in pieces. */
#include "daemon/output.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

/* What the log would hold for the line, behind the time. */
static int
count(const char *log, const char *line)
{
	int found = 0;

	for (const char *at = log; (at = strstr(at, line)) != NULL; at++)
		found++;
	return found;
}

#define NOW (1000 * CLOCK_SECOND)

static void
feed(struct output *output, const char *text)
{
	output_feed(output, text, strlen(text), NOW);
}

START_TEST(lines_come_whole_however_they_are_cut)
{
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	int file = help_catch_log();
	char *log;

	feed(&output, "one\ntw");
	feed(&output, "o\n");
	feed(&output, "th");
	feed(&output, "re");
	feed(&output, "e");
	log = help_log(file);
	ck_assert_int_eq(count(log, "upper/7: one\n"), 1);
	ck_assert_int_eq(count(log, "upper/7: two\n"), 1);
	ck_assert_int_eq(count(log, "thre"), 0);
	free(log);
	feed(&output, "\n");
	log = help_log(file);
	ck_assert_int_eq(count(log, "upper/7: three\n"), 1);
	ck_assert_int_eq(count(log, "\n"), 3);
	ck_assert_str_eq(output.last, "three");
	ck_assert_ptr_null(output.line);
	free(log);
}
END_TEST

START_TEST(rest_without_an_end_is_a_line_too)
{
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	int file = help_catch_log();
	char *log;

	feed(&output, "half a");
	output_flush(&output, NOW);
	output_flush(&output, NOW);
	log = help_log(file);
	ck_assert_int_eq(count(log, "upper/7: half a\n"), 1);
	ck_assert_int_eq(count(log, "\n"), 1);
	ck_assert_str_eq(output.last, "half a");
	free(log);
}
END_TEST

START_TEST(empty_lines_are_logged_but_not_remembered)
{
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	int file = help_catch_log();
	char *log;

	feed(&output, "reason\n\n \n");
	log = help_log(file);
	ck_assert_int_eq(count(log, "\n"), 3);
	ck_assert_str_eq(output.last, " ");
	free(log);
	feed(&output, "reason\n\n");
	ck_assert_str_eq(output.last, "reason");
}
END_TEST

/* What the log holds behind "upper/7: ", each line ended by |. */
static char *
said(int file)
{
	char *log = help_log(file), *to = log;

	for (char *at = log; (at = strstr(at, "upper/7: ")) != NULL;) {
		size_t length = strcspn(at += strlen("upper/7: "), "\n");

		memmove(to, at, length);
		to[length] = '|';
		to += length + 1;
		at += length;
	}
	*to = '\0';
	return log;
}

static void
check_said(int file, const char *wanted)
{
	char *log = said(file);

	ck_assert_str_eq(log, wanted);
	free(log);
}

START_TEST(what_repeats_is_counted)
{
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	int file = help_catch_log();

	feed(&output, "a\na\na\n");
	check_said(file, "a|");
	feed(&output, "b\n");
	check_said(file, "a|[last line repeated 2 times]|b|");
	feed(&output, "b\nab\n");
	check_said(file, "a|[last line repeated 2 times]|b|[last line repeated 1 time]|ab|");
	feed(&output, "ab\n");
	output_flush(&output, NOW);
	output_flush(&output, NOW);
	check_said(file, "a|[last line repeated 2 times]|b|[last line repeated 1 time]|ab|"
			 "[last line repeated 1 time]|");
	ck_assert_str_eq(output.last, "ab");
}
END_TEST

/* A heartbeat is no flood: a line that comes again after a second is a line. */
START_TEST(what_repeats_slowly_is_not)
{
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	int file = help_catch_log();

	for (unsigned i = 0; i < 3; i++)
		output_feed(&output, "a\n", 2, NOW + i * CLOCK_SECOND);
	check_said(file, "a|a|a|");
}
END_TEST

/* One that goes on is told once a second, by the timer or by the next line. */
START_TEST(what_repeats_for_long_is_told_meanwhile)
{
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	int file = help_catch_log();

	for (unsigned i = 0; i < 100; i++)
		output_feed(&output, "a\n", 2, NOW + i * CLOCK_SECOND / 40);
	check_said(file, "a|[last line repeated 39 times]|[last line repeated 40 times]|");
	output_tick(&output, NOW + 3 * CLOCK_SECOND - 1);
	check_said(file, "a|[last line repeated 39 times]|[last line repeated 40 times]|");
	output_tick(&output, NOW + 3 * CLOCK_SECOND);
	output_tick(&output, NOW + 9 * CLOCK_SECOND);
	check_said(file, "a|[last line repeated 39 times]|[last line repeated 40 times]|"
			 "[last line repeated 20 times]|");
}
END_TEST

/* Lines beyond the bound are left out, told with lines and bytes, and the next second is open. */
/* Of many lines; strstr(3) of a sanitizer looks at all of the text each time. */
static int
lines(const char *log)
{
	int found = 0;

	for (; *log != '\0'; log++)
		found += *log == '\n';
	return found;
}

START_TEST(too_much_is_left_out)
{
	const unsigned fits = OUTPUT_BYTES_MAX / (8 + OUTPUT_LINE_COST);
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	int file = help_catch_log();
	char line[32], *log;

	for (unsigned i = 0; i < fits + 100; i++) {
		snprintf(line, sizeof(line), "%08u\n", i);
		output_feed(&output, line, 9, NOW + i);
	}
	log = help_log(file);
	ck_assert_int_eq(lines(log), (int)fits);
	ck_assert_int_eq(count(log, "left out"), 0);
	free(log);
	ck_assert_str_eq(output.last, "00058353");
	output_tick(&output, NOW + CLOCK_SECOND - 1);
	ck_assert_uint_eq(output.lost_lines, 100);
	output_tick(&output, NOW + CLOCK_SECOND);
	output_tick(&output, NOW + 2 * CLOCK_SECOND);
	/* The same as the newest, but that is not in the log. */
	output_feed(&output, line, 9, NOW + CLOCK_SECOND);
	log = help_log(file);
	ck_assert_int_eq(count(log, "upper/7: [100 lines, 800 bytes left out]\n"), 1);
	ck_assert_int_eq(count(log, "upper/7: 00058353\n"), 1);
	ck_assert_int_eq(lines(log), (int)fits + 2);
	free(log);
}
END_TEST

/* However short the lines or long the pieces, a second brings a bounded log. */
START_TEST(a_flood_is_bounded)
{
	static const char *const floods[] = {"\na\n", "x\ny\n", "no end "};
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	const char *flood = floods[_i];
	int file = help_catch_log();
	char *log;

	for (unsigned i = 0; i < (16u << 20) / strlen(flood); i++)
		feed(&output, flood);
	output_flush(&output, NOW);
	log = help_log(file);
	ck_assert_int_eq(count(log, " left out]\n"), 1);
	ck_assert_uint_lt(strlen(log), 2 * OUTPUT_BYTES_MAX);
	ck_assert_uint_gt(strlen(log), OUTPUT_BYTES_MAX / 4);
	free(log);
}
END_TEST

/* Up to 16 KiB whole, one byte more in marked pieces of which no byte is lost. */
START_TEST(long_lines_are_cut_in_marked_pieces)
{
	size_t lengths[] = {OUTPUT_LINE_MAX, OUTPUT_LINE_MAX + 1, 3 * OUTPUT_LINE_MAX + 5};
	size_t parts[] = {OUTPUT_LINE_MAX - 1, 100000, 777};
	int lines[] = {1, 2, 4};

	for (int i = 0; i < 3; i++) {
		struct output output = {.service = "upper", .pid = 7, .fd = -1};
		int file = help_catch_log();
		char *text = malloc(lengths[i] + 1), *log;
		size_t letters = 0;

		memset(text, 'z', lengths[i]);
		text[lengths[i]] = '\n';
		for (size_t at = 0; at < lengths[i] + 1; at += parts[i])
			output_feed(&output, text + at,
			    lengths[i] + 1 - at < parts[i] ? lengths[i] + 1 - at : parts[i], NOW);
		log = help_log(file);
		ck_assert_int_eq(count(log, "\n"), lines[i]);
		ck_assert_int_eq(count(log, " [...]\n"), lines[i] - 1);
		for (const char *at = log; *at != '\0'; at++)
			letters += *at == 'z';
		ck_assert_uint_eq(letters, lengths[i]);
		ck_assert_ptr_null(output.line);
		free(log);
		free(text);
		close(file);
	}
}
END_TEST

START_TEST(last_words_are_bounded_text)
{
	struct output output = {.service = "upper", .pid = 7, .fd = -1};
	char line[1000];

	help_catch_log();
	output_feed(&output, "a\0b\n", 4, NOW);
	ck_assert_str_eq(output.last, "a b");
	memset(line, 'y', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	output_feed(&output, line, sizeof(line), NOW);
	ck_assert_uint_eq(strlen(output.last), OUTPUT_LAST_MAX - 1);
}
END_TEST

/* A grandchild may hold the pipe open: what is there is taken, and nobody waits for more. */
START_TEST(the_dead_leave_no_wait)
{
	struct event_base *base = event_base_new();
	struct output output;
	int ends[2], file = help_catch_log();
	char *log;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	output_open(&output, base, ends[0], "upper", 7);
	ck_assert_int_eq(write(ends[1], "last\nwords", 10), 10);
	output_finish(&output);
	log = help_log(file);
	ck_assert_int_eq(count(log, "upper/7: last\n"), 1);
	ck_assert_int_eq(count(log, "upper/7: words\n"), 1);
	ck_assert_int_eq(output.fd, -1);
	ck_assert_str_eq(output.last, "words");
	event_base_free(base);
	free(log);
}
END_TEST

START_TEST(the_loop_reads_and_ends_with_the_pipe)
{
	struct event_base *base = event_base_new();
	struct output output;
	int ends[2], file = help_catch_log();
	char *log;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	output_open(&output, base, ends[0], "upper", 7);
	ck_assert_int_eq(write(ends[1], "hello\nyou", 9), 9);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_str_eq(output.last, "hello");
	close(ends[1]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_int_eq(output.fd, -1);
	ck_assert_ptr_null(output.event);
	log = help_log(file);
	ck_assert_int_eq(count(log, "upper/7: you\n"), 1);
	event_base_free(base);
	free(log);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("output");
	TCase *tests = tcase_create("output");

	tcase_set_timeout(tests, 30); /* megabytes of lines, with a sanitizer */
	tcase_add_test(tests, lines_come_whole_however_they_are_cut);
	tcase_add_test(tests, rest_without_an_end_is_a_line_too);
	tcase_add_test(tests, empty_lines_are_logged_but_not_remembered);
	tcase_add_test(tests, what_repeats_is_counted);
	tcase_add_test(tests, what_repeats_slowly_is_not);
	tcase_add_test(tests, what_repeats_for_long_is_told_meanwhile);
	tcase_add_test(tests, too_much_is_left_out);
	tcase_add_loop_test(tests, a_flood_is_bounded, 0, 3);
	tcase_add_test(tests, long_lines_are_cut_in_marked_pieces);
	tcase_add_test(tests, last_words_are_bounded_text);
	tcase_add_test(tests, the_dead_leave_no_wait);
	tcase_add_test(tests, the_loop_reads_and_ends_with_the_pipe);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
