/*
 * The log against pipes that are full, sockets, files and forks. Each test is a process of its own
 * (Check forks), so that it may do with its standard error what it likes. Whatever should not block
 * is found by the time limit of the test case.
 */
#include "common/escape.h"
#include "common/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CATCH_MAX (64 * 1024 * 1024)

/* What came out of the other end of standard error. Static in each test: it ends with the process.
 */
struct caught {
	int fd;     /* owns; non-blocking */
	char *text; /* owns; NUL-terminated */
	size_t length;
};

static void
catch_with(struct caught *caught, int reader, int writer)
{
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(writer, STDERR_FILENO), STDERR_FILENO);
	close(writer);
	*caught = (struct caught){.fd = reader, .text = calloc(1, 1)};
}

/* Standard error is a blocking pipe from now on. */
static void
catch_pipe(struct caught *caught)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	catch_with(caught, ends[0], ends[1]);
}

static void
catch_socket(struct caught *caught)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	catch_with(caught, ends[0], ends[1]);
}

/* Reads what is there now, at most `most` bytes, and adds it. Returns how many bytes came. */
static size_t
catch_some(struct caught *caught, size_t most)
{
	size_t before = caught->length;
	char piece[16384];
	ssize_t n;

	while (caught->length - before < most) {
		size_t want = most - (caught->length - before);

		n = read(caught->fd, piece, want < sizeof(piece) ? want : sizeof(piece));
		if (n <= 0)
			break;
		ck_assert_uint_lt(caught->length + (size_t)n, CATCH_MAX);
		caught->text = realloc(caught->text, caught->length + (size_t)n + 1);
		memcpy(caught->text + caught->length, piece, (size_t)n);
		caught->length += (size_t)n;
		caught->text[caught->length] = '\0';
	}
	return caught->length - before;
}

/* Flushes and reads in turn until nothing more comes. */
static void
catch_all(struct caught *caught)
{
	do
		log_flush();
	while (catch_some(caught, CATCH_MAX) > 0);
}

static void
catch_matches(const struct caught *caught, const char *pattern)
{
	regex_t regex;

	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&regex, caught->text, 0, NULL, 0) == 0, "\"%s\" is not like %s",
	    caught->text, pattern);
	regfree(&regex);
}

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "

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
	TCase *sink = tcase_create("sink");
	SRunner *runner = srunner_create(suite);
	int failed;

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
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
