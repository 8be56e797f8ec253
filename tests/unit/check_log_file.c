/*
 * The log in files and as JSON: every line is one valid object whatever comes, a file can be moved
 * away and opened anew, and what repeats is held back and told.
 */
#include "common/escape.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <jansson.h>
#include <regex.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int
count(const char *text, const char *part)
{
	int found = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
		found++;
	return found;
}

/* All of a file; the caller frees it. */
static char *
contents(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;

	ck_assert_msg(fd >= 0, "%s cannot be opened", path);
	text = help_log(fd);
	close(fd);
	return text;
}

static void
check_count(const char *path, const char *part, int wanted)
{
	char *text = contents(path);

	ck_assert_msg(count(text, part) == wanted, "not %d x \"%s\" in:\n%s", wanted, part, text);
	free(text);
}

/* ---- JSON ---- */

static const struct {
	const char *text, *escaped;
} escapes[] = {
    {"plain ~ text", "plain ~ text"},
    {"say \"a\\b\"", "say \\\"a\\\\b\\\""},
    {"a\nb\tc\x1b[31m\x7f", "a\\u000ab\\u0009c\\u001b[31m\\u007f"},
    {"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb4", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb4"},
    {"\xc2\x9b\xc2\xa0", "\\u009b\xc2\xa0"}, /* a terminal's CSI; the first that is not control */
    {"\xff\x80\xc3", "\\\\xff\\\\x80\\\\xc3"},
    {"\xed\xa0\x80\xc0\x8a", "\\\\xed\\\\xa0\\\\x80\\\\xc0\\\\x8a"},
};

START_TEST(json_escapes)
{
	const char *text = escapes[_i].text;
	size_t length = strlen(text);
	char *exact = malloc(length), *to = malloc(ESCAPE_JSON_MOST * length + 1);

	memcpy(exact, text, length);
	to[escape_json(to, exact, length)] = '\0';
	ck_assert_str_eq(to, escapes[_i].escaped);
	free(exact);
	free(to);
}
END_TEST

/* The n-th line of the log as an object; the caller frees it. */
static json_t *
object(int file, int number)
{
	char *log = help_log(file), *line = log, *end;
	json_error_t error;
	json_t *root;

	while (number-- > 0)
		line = strchr(line, '\n') + 1;
	end = strchr(line, '\n');
	ck_assert_ptr_nonnull(end);
	root = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(json_is_object(root), "%s: %.*s", error.text, (int)(end - line), line);
	free(log);
	return root;
}

static const char *
field(const json_t *root, const char *key)
{
	const char *value = json_string_value(json_object_get(root, key));

	ck_assert_msg(value != NULL, "there is no %s", key);
	return value;
}

START_TEST(json_lines_as_agreed)
{
	int file = help_catch_log();
	json_t *root;
	regex_t time;

	log_open("worker 3", LOG_LEVEL_INFO);
	log_set_format(LOG_FORMAT_JSON);
	errno = ENOENT;
	log_warn("cannot \"open\"");
	log_program("upper", 124, "Traceback:\tx", 12);
	root = object(file, 0);
	ck_assert_int_eq(
	    regcomp(&time, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$",
		REG_EXTENDED | REG_NOSUB),
	    0);
	ck_assert_int_eq(regexec(&time, field(root, "time"), 0, NULL, 0), 0);
	regfree(&time);
	ck_assert_str_eq(field(root, "level"), "warn");
	ck_assert_str_eq(field(root, "process"), "worker 3");
	ck_assert_str_eq(field(root, "message"), "cannot \"open\": No such file or directory");
	ck_assert_int_eq(json_integer_value(json_object_get(root, "pid")), getpid());
	ck_assert_uint_eq(json_object_size(root), 5);
	json_decref(root);
	root = object(file, 1);
	ck_assert_str_eq(field(root, "level"), "info");
	ck_assert_str_eq(field(root, "service"), "upper");
	ck_assert_str_eq(field(root, "message"), "Traceback:\tx");
	ck_assert_int_eq(json_integer_value(json_object_get(root, "pid")), 124);
	ck_assert_ptr_null(json_object_get(root, "process"));
	json_decref(root);
}
END_TEST

/* UTC, whatever the time is here. */
START_TEST(json_times_are_utc)
{
	int file = help_catch_log();
	time_t now = time(NULL);
	char wanted[32];
	json_t *root;

	setenv("TZ", "AAA-13:37", 1);
	tzset();
	log_open("m", LOG_LEVEL_INFO);
	log_info("text first");
	log_set_format(LOG_FORMAT_JSON);
	log_info("then JSON");
	root = object(file, 1);
	strftime(wanted, sizeof(wanted), "%FT%H", gmtime(&now));
	if (time(NULL) / 3600 == now / 3600)
		ck_assert_int_eq(strncmp(field(root, "time"), wanted, strlen(wanted)), 0);
	json_decref(root);
}
END_TEST

/* Every byte, every pair of bytes that begins a character, and the longest line of the worst. */
START_TEST(json_is_valid_whatever_comes)
{
	static char text[65536 * 2];
	int file = help_catch_log(), lines = 0;

	log_open("m", LOG_LEVEL_INFO);
	log_set_format(LOG_FORMAT_JSON);
	for (unsigned i = 0; i < 65536; i++) {
		text[2 * i] = (char)(i >> 8);
		text[2 * i + 1] = (char)i;
	}
	for (size_t at = 0; at < sizeof(text); at += 512, lines++)
		log_program("s", 1, text + at, 512);
	memset(text, 1, sizeof(text));
	log_program("s", 1, text, 16384);
	log_program("s", 1, text, 16385);
	for (int i = 0; i < lines + 2; i++)
		json_decref(object(file, i));
}
END_TEST

/* ---- files ---- */

struct place {
	char *folder, path[128], moved[128];
};

static void
place_open(struct place *place)
{
	place->folder = help_folder();
	snprintf(place->path, sizeof(place->path), "%s/log", place->folder);
	snprintf(place->moved, sizeof(place->moved), "%s/log.1", place->folder);
}

static void
place_close(struct place *place)
{
	unlink(place->path);
	unlink(place->moved);
	ck_assert_int_eq(rmdir(place->folder), 0);
	free(place->folder);
}

START_TEST(a_file_is_made_and_appended_to)
{
	struct place place;
	struct stat st;
	int fd, other;

	umask(0);
	help_catch_log();
	place_open(&place);
	log_open("m", LOG_LEVEL_INFO);
	fd = log_open_file(place.path);
	ck_assert_int_gt(fd, STDERR_FILENO);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	other = log_fd();
	log_adopt(fd);
	ck_assert_int_eq(log_fd(), fd);
	ck_assert_int_eq(fcntl(other, F_GETFD), -1);
	log_info("one");
	log_adopt(log_open_file(place.path));
	log_info("two");
	check_count(place.path, " m: one\n", 1);
	check_count(place.path, " m: two\n", 1);
	ck_assert_int_eq(log_open_file(place.folder), -1);
	ck_assert_int_eq(errno, EISDIR);
	place_close(&place);
}
END_TEST

/* A worker is born after the log went to a file: it keeps to it. */
START_TEST(a_fork_keeps_the_file)
{
	int file = help_catch_log(), status;
	struct place place;
	char *log;
	pid_t pid;

	place_open(&place);
	log_open("m", LOG_LEVEL_INFO);
	log_adopt(log_open_file(place.path));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		log_open("worker 0", LOG_LEVEL_INFO);
		log_info("child");
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	check_count(place.path, " worker 0: child\n", 1);
	log = help_log(file);
	ck_assert_str_eq(log, "");
	free(log);
	place_close(&place);
}
END_TEST

START_TEST(moved_away_and_reopened)
{
	struct place place;

	help_catch_log();
	place_open(&place);
	log_open("m", LOG_LEVEL_INFO);
	ck_assert(log_reopen()); /* standard error: nothing to do */
	log_adopt(log_open_file(place.path));
	log_set_path(place.path);
	log_info("before");
	ck_assert_int_eq(rename(place.path, place.moved), 0);
	log_info("meanwhile");
	ck_assert(log_reopen());
	log_info("after");
	check_count(place.moved, "\n", 2);
	check_count(place.path, "\n", 1);
	check_count(place.path, " m: after\n", 1);
	/* What cannot be opened changes nothing, and is told where it can be read. */
	ck_assert_int_eq(unlink(place.path), 0);
	ck_assert_int_eq(mkdir(place.path, 0700), 0);
	log_adopt(log_open_file(place.moved));
	ck_assert(!log_reopen());
	log_info("still here");
	check_count(place.moved, "cannot reopen the log ", 1);
	check_count(place.moved, ": Is a directory\n", 1);
	check_count(place.moved, " m: still here\n", 1);
	ck_assert_int_eq(rmdir(place.path), 0);
	place_close(&place);
}
END_TEST

/* A stalled pipe, half a line in it, and then a file: whole lines follow, the torn one is told. */
START_TEST(what_waits_goes_over_whole)
{
	int ends[2], last = 0, numbers = 0;
	struct place place;
	char *text;

	place_open(&place);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	log_open("m", LOG_LEVEL_INFO);
	/* Longer than the pipe: it is written in part. */
	log_info("n 1 %06000d end", 0);
	for (int i = 2; i <= 11; i++)
		log_info("n %d %0900d end", i, 0);
	log_adopt(log_open_file(place.path));
	log_info("n 12 %d end", 0);
	text = contents(place.path);
	for (char *line = text, *end; *line != '\0'; line = end + 1) {
		int number, used = 0;

		end = strchr(line, '\n');
		ck_assert_ptr_nonnull(end);
		if (strstr(line, "dropped 1 line\n") != NULL && last == 11)
			continue;
		ck_assert_int_eq(
		    sscanf(strstr(line, "m: "), "m: n %d %*d end%n", &number, &used), 1);
		ck_assert_msg(strstr(line, "m: ") + used == end, "a torn line: %.80s", line);
		ck_assert_int_gt(number, last);
		last = number;
		numbers++;
	}
	ck_assert_int_eq(last, 12);
	ck_assert_int_eq(numbers, 11); /* all but the first */
	ck_assert_int_eq(count(text, "m: dropped 1 line\n"), 1);
	free(text);
	place_close(&place);
}
END_TEST

/* Nobody reads it yet: nothing waits, and who comes later finds what was said. */
START_TEST(a_fifo_without_a_reader)
{
	struct place place;
	char text[100];
	int reader, fd;
	ssize_t n;

	help_catch_log();
	place_open(&place);
	ck_assert_int_eq(mkfifo(place.path, 0600), 0);
	log_open("m", LOG_LEVEL_INFO);
	fd = log_open_file(place.path);
	ck_assert_int_ge(fd, 0);
	log_adopt(fd);
	log_info("hello");
	reader = open(place.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	n = read(reader, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_int_eq(count(text, " m: hello\n"), 1);
	for (int i = 0; i < 20000; i++)
		log_info("%0100d", i);
	place_close(&place);
}
END_TEST

/* Whoever starts a daemon by hand sees why it does not start, though it logs to a file. */
START_TEST(errors_of_the_start_are_seen)
{
	int file = help_catch_log(), status;
	struct place place;
	char *log;
	pid_t pid;

	place_open(&place);
	log_open("m", LOG_LEVEL_INFO);
	log_adopt(log_open_file(place.path));
	log_info("an info");
	for (int i = 0; i < 200; i++)
		log_errorx("an error");
	pid = fork();
	if (pid == 0)
		fatalx("the end");
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	log_started();
	log_errorx("a later error");
	log = help_log(file);
	ck_assert_int_eq(count(log, "\n"), 201);
	ck_assert_int_eq(count(log, " m: an error\n"), 200);
	ck_assert_int_eq(count(log, " m: the end\n"), 1);
	free(log);
	check_count(place.path, "\n", 203);
	place_close(&place);
}
END_TEST

/* ---- what repeats ---- */

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
	Suite *suite = suite_create("log_file");
	TCase *json = tcase_create("json");
	TCase *files = tcase_create("files");
	TCase *repeats = tcase_create("repeats");

	tcase_add_loop_test(json, json_escapes, 0, (int)(sizeof(escapes) / sizeof(escapes[0])));
	tcase_add_test(json, json_lines_as_agreed);
	tcase_add_test(json, json_times_are_utc);
	tcase_add_test(json, json_is_valid_whatever_comes);
	suite_add_tcase(suite, json);
	tcase_add_test(files, a_file_is_made_and_appended_to);
	tcase_add_test(files, a_fork_keeps_the_file);
	tcase_add_test(files, moved_away_and_reopened);
	tcase_add_test(files, what_waits_goes_over_whole);
	tcase_add_test(files, a_fifo_without_a_reader);
	tcase_add_test(files, errors_of_the_start_are_seen);
	suite_add_tcase(suite, files);
	tcase_add_test(repeats, repeats_are_held_back_and_told);
	tcase_add_test(repeats, life_cycles_are_told_whole);
	tcase_add_test(repeats, many_kinds_are_still_bounded);
	tcase_add_test(repeats, a_flood_of_warnings_is_told_in_the_log);
	suite_add_tcase(suite, repeats);
	return help_run(suite);
}
