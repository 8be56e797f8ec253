/* For the tests of the log: standard error is caught at its other end, and lines are counted. */
#ifndef TESTS_UNIT_LOG_HELP_H
#define TESTS_UNIT_LOG_HELP_H

#include "common/log.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CATCH_MAX (64 * 1024 * 1024)
#define TIME      "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "

/* How often the part is in the text, without overlaps. */
static inline int
count(const char *text, const char *part)
{
	int found = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
		found++;
	return found;
}

/* What came out of the other end of standard error. Static in each test: it ends with the process.
 */
struct caught {
	int fd;     /* owns; non-blocking */
	char *text; /* owns; NUL-terminated */
	size_t length;
};

static inline void
catch_with(struct caught *caught, int reader, int writer)
{
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(writer, STDERR_FILENO), STDERR_FILENO);
	close(writer);
	*caught = (struct caught){.fd = reader, .text = calloc(1, 1)};
}

/* Standard error is a blocking pipe from now on. */
static inline void
catch_pipe(struct caught *caught)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	catch_with(caught, ends[0], ends[1]);
}

static inline void
catch_socket(struct caught *caught)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	catch_with(caught, ends[0], ends[1]);
}

/* Reads what is there now, at most `most` bytes, and adds it. Returns how many bytes came. */
static inline size_t
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
static inline void
catch_all(struct caught *caught)
{
	do
		log_flush();
	while (catch_some(caught, CATCH_MAX) > 0);
}

static inline void
catch_matches(const struct caught *caught, const char *pattern)
{
	regex_t regex;

	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&regex, caught->text, 0, NULL, 0) == 0, "\"%s\" is not like %s",
	    caught->text, pattern);
	regfree(&regex);
}

#endif
