/*
 * The log in files: one can be moved away and opened anew, and no line is lost or torn on the way
 * from one place to another. What a line looks like is in check_log.c and check_log_json.c.
 */
#include "tests/unit/daemon_help.h"
#include "tests/unit/log_help.h"

#include <sys/stat.h>
#include <sys/wait.h>

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

int
main(void)
{
	Suite *suite = suite_create("log_file");
	TCase *files = tcase_create("files");

	tcase_add_test(files, a_file_is_made_and_appended_to);
	tcase_add_test(files, a_fork_keeps_the_file);
	tcase_add_test(files, moved_away_and_reopened);
	tcase_add_test(files, what_waits_goes_over_whole);
	tcase_add_test(files, a_fifo_without_a_reader);
	tcase_add_test(files, errors_of_the_start_are_seen);
	suite_add_tcase(suite, files);
	return help_run(suite);
}
