/*
 * The log against pipes that are full, sockets, files and forks. Each test is a process of its own
 * (Check forks), so that it may do with its standard error what it likes. Whatever should not block
 * is found by the time limit of the test case.
 */
#include "tests/unit/log_help.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Nobody else's standard error becomes non-blocking, and no program inherits ours. */
START_TEST(a_description_of_its_own)
{
	static struct caught caught;

	catch_pipe(&caught);
	log_open("m", LOG_LEVEL_INFO);
	ck_assert_int_gt(log_fd(), STDERR_FILENO);
	ck_assert_int_eq(fcntl(log_fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(log_fd(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

/* Numbered lines of `width` bytes of text. */
static void
say_numbered(int first, int last, int width)
{
	for (int number = first; number <= last; number++)
		log_info("n %d %0*d end", number, width, 0);
}

/*
 * Every line is whole, numbers only rise, and each gap is told where it is, with the right count.
 * Returns the last number seen; *lost gets the sum of what was told.
 */
static int
check_numbered(const char *text, int *lost)
{
	int last = 0, told = 0;

	*lost = 0;
	for (const char *line = text, *end; *line; line = end + 1) {
		const char *role = strstr(line, "m: ");
		int number, dropped, used = 0;

		end = strchr(line, '\n');
		ck_assert_msg(end && role && role < end, "no whole line: %.200s", line);
		if (sscanf(role, "m: dropped %d line", &dropped) == 1) {
			ck_assert_int_eq(told, 0);
			told = dropped;
			*lost += dropped;
			continue;
		}
		if (sscanf(role, "m: n %d %*d end%n", &number, &used) != 1 || role + used != end)
			ck_abort_msg("a torn line: %.200s", line);
		if (number != last + 1 + told)
			ck_abort_msg("%d after %d with %d told", number, last, told);
		last = number;
		told = 0;
	}
	return last + told;
}

static void
stalled_reader(struct caught *caught)
{
	const int many = 20000;
	int lost;

	log_open("m", LOG_LEVEL_INFO);
	say_numbered(1, many, 100);
	catch_all(caught);
	ck_assert_int_eq(check_numbered(caught->text, &lost), many);
	/* What waits is bounded, so most was lost; but what fits into the buffer was not. */
	ck_assert_int_gt(lost, many / 2);
	ck_assert_uint_gt(caught->length, 256 * 1024);
	/* And it is as if nothing had happened. */
	say_numbered(many + 1, many + 10, 100);
	catch_all(caught);
	ck_assert_int_eq(check_numbered(caught->text, &lost), many + 10);
}

START_TEST(a_full_pipe_never_blocks)
{
	static struct caught caught;

	catch_pipe(&caught);
	stalled_reader(&caught);
}
END_TEST

START_TEST(a_full_socket_never_blocks)
{
	static struct caught caught;

	catch_socket(&caught);
	stalled_reader(&caught);
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

/* No descriptor is left for an own one: then it is descriptor 2 itself, which blocks. */
START_TEST(a_full_pipe_never_blocks_without_a_descriptor)
{
	struct rlimit none, before;
	static struct caught caught;

	catch_pipe(&caught);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){STDERR_FILENO + 1, before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	stalled_reader(&caught);
	ck_assert_int_eq(log_fd(), -1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0); /* a leak sanitizer needs some */
}
END_TEST

/* Somebody else's pipe may not be opened again: then it is a copy of the shared one. */
START_TEST(a_full_pipe_never_blocks_without_permission)
{
	static struct caught caught;

	if (geteuid() != 0) {
		printf("skipped: a pipe that may not be opened needs root\n");
		return;
	}
	catch_pipe(&caught);
	ck_assert_int_eq(fchmod(STDERR_FILENO, 0600), 0);
	ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	ck_assert_int_lt(open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK), 0);
	stalled_reader(&caught);
	ck_assert_int_gt(log_fd(), STDERR_FILENO);
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

/* Lines larger than a pipe takes at once, and a reader that takes odd bits. */
START_TEST(long_lines_are_never_torn)
{
	static struct caught caught;
	int lost;

	catch_pipe(&caught);
	fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096);
	log_open("m", LOG_LEVEL_INFO);
	for (int number = 1; number <= 300; number++) {
		say_numbered(number, number, number % 3 ? 6000 : 10);
		catch_some(&caught, (size_t)(number % 5) * 1777);
		log_flush();
	}
	catch_all(&caught);
	ck_assert_int_eq(check_numbered(caught.text, &lost), 300);
	ck_assert_int_gt(lost, 0);
}
END_TEST

/* What fits into the buffer is not lost, and it is written by log_flush() alone. */
START_TEST(waiting_lines_come_later)
{
	static struct caught caught;
	int lost;

	catch_pipe(&caught);
	fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096);
	log_open("m", LOG_LEVEL_INFO);
	say_numbered(1, 1000, 100);
	errno = EXDEV;
	log_flush();
	ck_assert_int_eq(errno, EXDEV);
	ck_assert_uint_le(catch_some(&caught, CATCH_MAX), 4096);
	catch_all(&caught);
	ck_assert_int_eq(check_numbered(caught.text, &lost), 1000);
	ck_assert_int_eq(lost, 0);
}
END_TEST

/* The notice does not wait for a next line: a timer's log_flush() is enough. */
START_TEST(the_notice_comes_by_itself)
{
	static struct caught caught;

	catch_pipe(&caught);
	log_open("m", LOG_LEVEL_INFO);
	say_numbered(1, 20000, 100);
	catch_all(&caught);
	catch_matches(&caught, "warn  m: dropped [0-9]+ lines\n$");
}
END_TEST

/* The reader is gone: no signal, no endless loop, and no memory without bound. */
START_TEST(a_closed_socket_does_no_harm)
{
	static struct caught caught;

	catch_socket(&caught);
	signal(SIGPIPE, SIG_DFL);
	log_open("m", LOG_LEVEL_INFO);
	close(caught.fd);
	errno = ENOENT;
	say_numbered(1, 20000, 100);
	log_flush();
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(a_closed_pipe_does_no_harm)
{
	static struct caught caught;

	catch_pipe(&caught);
	if (_i)
		log_open("m", LOG_LEVEL_INFO);
	close(caught.fd);
	if (!_i)
		log_open("m", LOG_LEVEL_INFO);
	say_numbered(1, 20000, 100);
	log_flush();
}
END_TEST

/* A child that opens the log anew says nothing that its parent was about to say. */
START_TEST(a_fork_repeats_nothing)
{
	static struct caught caught;
	int lost, status;
	char *child_line;
	pid_t pid;

	catch_pipe(&caught);
	fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096);
	log_open("m", LOG_LEVEL_INFO);
	say_numbered(1, 500, 100);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct pollfd room = {.fd = log_fd(), .events = POLLOUT};

		log_open("worker 0", LOG_LEVEL_INFO);
		poll(&room, 1, 10000);
		log_flush();
		log_info("child");
		_exit(0);
	}
	/* Room is made while the parent is silent: only the child can write. */
	while (waitpid(pid, &status, WNOHANG) == 0)
		catch_some(&caught, CATCH_MAX);
	ck_assert_int_eq(status, 0);
	catch_some(&caught, CATCH_MAX);
	child_line = strstr(caught.text, "info  worker 0: child\n");
	ck_assert_ptr_nonnull(child_line);
	ck_assert_str_eq(child_line, "info  worker 0: child\n");
	/* Take the child's line out; the rest must be the parent's, each once. */
	while (child_line > caught.text && child_line[-1] != '\n')
		child_line--;
	*child_line = '\0';
	caught.length = (size_t)(child_line - caught.text);
	catch_all(&caught);
	ck_assert_int_eq(check_numbered(caught.text, &lost), 500);
	ck_assert_int_eq(lost, 0);
}
END_TEST

/* Opening again keeps the descriptor while it is right, and follows standard error when it is not.
 */
START_TEST(opening_again)
{
	static struct caught caught, other;
	int fd;

	catch_pipe(&caught);
	log_open("a", LOG_LEVEL_INFO);
	fd = log_fd();
	log_open("b", LOG_LEVEL_INFO);
	ck_assert_int_eq(log_fd(), fd);
	log_info("one");
	catch_all(&caught);
	catch_matches(&caught, "^" TIME "info  b: one\n$");
	catch_pipe(&other);
	log_open("c", LOG_LEVEL_INFO);
	log_info("two");
	catch_all(&other);
	catch_matches(&other, "^" TIME "info  c: two\n$");
	/* Nobody holds the first pipe any more. */
	ck_assert_int_eq(read(caught.fd, other.text, 1), 0);
	/* A descriptor closed and used for something else is not closed again. */
	fd = log_fd();
	ck_assert_int_eq(dup2(caught.fd, fd), fd);
	log_open("d", LOG_LEVEL_INFO);
	ck_assert_int_ne(log_fd(), fd);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
}
END_TEST

START_TEST(files_get_everything)
{
	char path[] = "/tmp/check_log.XXXXXX";
	int fd = mkstemp(path);
	static struct caught caught;
	int lost;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(write(fd, "before\n", 7), 7);
	log_open("m", LOG_LEVEL_INFO);
	say_numbered(1, 20000, 100);
	say_numbered(20001, 20010, 16000);
	caught = (struct caught){.fd = open(path, O_RDONLY), .text = calloc(1, 1)};
	unlink(path);
	catch_some(&caught, CATCH_MAX);
	ck_assert_int_eq(strncmp(caught.text, "before\n", 7), 0);
	ck_assert_int_eq(check_numbered(caught.text + 7, &lost), 20010);
	ck_assert_int_eq(lost, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log_sink");
	TCase *sink = tcase_create("sink");

	tcase_set_timeout(sink, 30);
	tcase_add_test(sink, a_description_of_its_own);
	tcase_add_test(sink, a_full_pipe_never_blocks);
	tcase_add_test(sink, a_full_socket_never_blocks);
	tcase_add_test(sink, a_full_pipe_never_blocks_without_a_descriptor);
	tcase_add_test(sink, a_full_pipe_never_blocks_without_permission);
	tcase_add_test(sink, long_lines_are_never_torn);
	tcase_add_test(sink, waiting_lines_come_later);
	tcase_add_test(sink, the_notice_comes_by_itself);
	tcase_add_test(sink, a_closed_socket_does_no_harm);
	tcase_add_loop_test(sink, a_closed_pipe_does_no_harm, 0, 2);
	tcase_add_test(sink, a_fork_repeats_nothing);
	tcase_add_test(sink, opening_again);
	tcase_add_test(sink, files_get_everything);
	suite_add_tcase(suite, sink);
	return help_run(suite);
}
