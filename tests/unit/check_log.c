/*
 * What a line of the log looks like, whatever is in it. Each test is a process of its own (Check
 * forks), so that it may do with its standard error what it likes. Where the lines go is in
 * check_log_sink.c and check_log_file.c.
 */
#include "common/escape.h"
#include "tests/unit/log_help.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

START_TEST(lines_as_agreed)
{
	static struct caught caught;

	catch_pipe(&caught);
	log_open("master", LOG_LEVEL_DEBUG);
	log_info("ready: %d workers", 2);
	errno = EADDRINUSE;
	log_error("cannot bind");
	ck_assert_int_eq(errno, EADDRINUSE);
	log_errorx("e");
	errno = ENOENT;
	log_warn("%s", "w");
	log_warnx("x");
	log_debug("d");
	log_program("upper", 124, "Traceback:\tx", 12);
	ck_assert_int_eq(errno, ENOENT);
	catch_all(&caught);
	/* clang-format off */
	catch_matches(&caught,
	    "^" TIME "info  master: ready: 2 workers\n"
	    TIME "error master: cannot bind: Address already in use\n"
	    TIME "error master: e\n"
	    TIME "warn  master: w: No such file or directory\n"
	    TIME "warn  master: x\n"
	    TIME "debug master: d\n"
	    TIME "info  upper/124: Traceback:\\\\x09x\n$");
	/* clang-format on */
}
END_TEST

START_TEST(levels_hide_what_is_below)
{
	static struct caught caught;

	catch_pipe(&caught);
	log_open("m", LOG_LEVEL_WARN);
	ck_assert_int_eq(log_get_level(), LOG_LEVEL_WARN);
	log_info("hidden");
	log_debug("hidden");
	log_warnx("seen");
	log_set_level(LOG_LEVEL_ERROR);
	log_warnx("hidden");
	log_program("s", 1, "always", 6);
	catch_all(&caught);
	catch_matches(&caught, "^" TIME "warn  m: seen\n" TIME "info  s/1: always\n$");
}
END_TEST

START_TEST(before_opening_lines_go_to_descriptor_two)
{
	static struct caught caught;

	catch_pipe(&caught);
	ck_assert_int_eq(log_fd(), -1);
	log_errorx("no role yet");
	catch_all(&caught);
	catch_matches(&caught, "^" TIME "error no role yet\n$");
}
END_TEST

static const struct {
	const char *text, *escaped;
} escapes[] = {
    {"plain ~ text", "plain ~ text"},
    {"a\nb\r\tc", "a\\x0ab\\x0d\\x09c"},
    {"\x1b[31m\x7f\x01", "\\x1b[31m\\x7f\\x01"},
    {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb4",
	"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb4"},
    {"\xc2\x9b", "\\xc2\\x9b"},          /* U+009B, a terminal's CSI */
    {"\xc2\xa0", "\xc2\xa0"},            /* U+00A0, the first that is not control */
    {"\xff\xfe\x80", "\\xff\\xfe\\x80"}, /* never UTF-8 */
    {"\xc3", "\\xc3"},                   /* ends too early */
    {"\xc3(", "\\xc3("},
    {"\xe2\x82", "\\xe2\\x82"},
    {"\xf0\x9f\x90x", "\\xf0\\x9f\\x90x"},
    {"\xc0\x8a", "\\xc0\\x8a"},          /* LF in two bytes */
    {"\xe0\x80\x8a", "\\xe0\\x80\\x8a"}, /* LF in three bytes */
    {"\xe0\xa0\x80", "\xe0\xa0\x80"},    /* U+0800 */
    {"\xf0\x80\x80\x8a", "\\xf0\\x80\\x80\\x8a"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},      /* a surrogate */
    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"}, /* U+10FFFF */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
};

START_TEST(escapes_keep_one_line)
{
	const char *text = escapes[_i].text;
	char *exact = malloc(strlen(text));
	char to[200];
	size_t length;

	memcpy(exact, text, strlen(text));
	length = escape_text(to, exact, strlen(text));
	to[length] = '\0';
	ck_assert_str_eq(to, escapes[_i].escaped);
	free(exact);
}
END_TEST

/* Everything that comes from outside is escaped: the text, the role, the service. */
START_TEST(nothing_breaks_a_line)
{
	static struct caught caught;

	catch_pipe(&caught);
	log_open("ro\nle", LOG_LEVEL_INFO);
	log_info("a\nb%c", 7);
	log_program("se\nrvice", 1, "x\0y", 3);
	catch_all(&caught);
	catch_matches(&caught, "^" TIME "info  ro\\\\x0ale: a\\\\x0ab\\\\x07\n" TIME
			       "info  se\\\\x0arvice/1: x\\\\x00y\n$");
}
END_TEST

START_TEST(long_lines_are_whole_up_to_16_KiB)
{
	static struct caught caught;
	char text[16384 + 2];
	const char *start;

	catch_pipe(&caught);
	log_open("m", LOG_LEVEL_INFO);
	memset(text, 'x', sizeof(text));
	log_program("s", 1, text, 16384);
	catch_all(&caught);
	start = strstr(caught.text, "s/1: ") + 5;
	ck_assert_uint_eq(strspn(start, "x"), 16384);
	ck_assert_str_eq(start + 16384, "\n");

	caught.length = 0;
	log_program("s", 1, text, 16385);
	catch_all(&caught);
	start = strstr(caught.text, "s/1: ") + 5;
	ck_assert_str_eq(start + strspn(start, "x"), "...\n");
	ck_assert_uint_eq(strlen(start), 16384 + 1);

	caught.length = 0;
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	catch_all(&caught);
	start = strstr(caught.text, "m: ") + 3;
	ck_assert_str_eq(start + strspn(start, "x"), "...\n");
	ck_assert_uint_eq(strlen(start), 16384 + 1);

	/* The worst: each byte becomes four. */
	caught.length = 0;
	memset(text, 1, sizeof(text));
	log_program("s", 1, text, 16384);
	catch_all(&caught);
	start = strstr(caught.text, "s/1: ") + 5;
	ck_assert_uint_eq(strlen(start), 4 * 16384 + 1);
}
END_TEST

START_TEST(the_journal_gets_priorities)
{
	static struct caught caught;
	struct stat error;
	char stream[100];

	catch_socket(&caught);
	ck_assert_int_eq(fstat(STDERR_FILENO, &error), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)error.st_dev,
	    (unsigned long long)error.st_ino + (_i ? 1 : 0));
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("m", LOG_LEVEL_DEBUG);
	log_errorx("e");
	log_warnx("w");
	log_info("i");
	log_debug("d");
	catch_all(&caught);
	/* The variable may be inherited by somebody whose standard error is elsewhere. */
	ck_assert_str_eq(log_error_prefix(), _i ? "" : "<3>");
	if (_i)
		catch_matches(&caught, "^" TIME "error m: e\n");
	else
		ck_assert_str_eq(caught.text, "<3>m: e\n<4>m: w\n<6>m: i\n<7>m: d\n");
}
END_TEST

/* The last words are written, then the exit status is 1. */
START_TEST(fatal_ends_with_one)
{
	static struct caught caught;
	int status;
	pid_t pid;

	catch_pipe(&caught);
	log_open("m", LOG_LEVEL_ERROR);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		errno = EMFILE;
		if (_i)
			fatal("no %s", "way");
		fatalx("no %s", "way");
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	catch_all(&caught);
	catch_matches(&caught, _i ? "^" TIME "error m: no way: Too many open files\n$"
				  : "^" TIME "error m: no way\n$");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *text = tcase_create("text");

	tcase_add_test(text, lines_as_agreed);
	tcase_add_test(text, levels_hide_what_is_below);
	tcase_add_test(text, before_opening_lines_go_to_descriptor_two);
	tcase_add_loop_test(
	    text, escapes_keep_one_line, 0, (int)(sizeof(escapes) / sizeof(escapes[0])));
	tcase_add_test(text, nothing_breaks_a_line);
	tcase_add_test(text, long_lines_are_whole_up_to_16_KiB);
	tcase_add_loop_test(text, the_journal_gets_priorities, 0, 2);
	tcase_add_loop_test(text, fatal_ends_with_one, 0, 2);
	suite_add_tcase(suite, text);
	return help_run(suite);
}
