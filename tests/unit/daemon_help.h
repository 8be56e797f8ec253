/* What the tests of the master's parts share. Everything is static: each test is one program. */
#ifndef TESTS_DAEMON_HELP_H
#define TESTS_DAEMON_HELP_H

#include "common/clock.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELP_DEADLINE (10 * CLOCK_SECOND)

/* Looks at the condition again and again; fails the test when it never comes true. */
#define help_wait_for(condition)                                                                   \
	do {                                                                                       \
		uint64_t help_end = clock_now() + HELP_DEADLINE;                                   \
		while (!(condition)) {                                                             \
			ck_assert_msg(clock_now() < help_end, "never true: %s", #condition);       \
			poll(NULL, 0, 2);                                                          \
		}                                                                                  \
	} while (0)

/* Whether the process runs; a zombie does not. */
static inline bool
help_runs(pid_t pid)
{
	char path[64], line[512], state = 'X';
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fgets(line, sizeof(line), file) != NULL && (end = strrchr(line, ')')) != NULL)
		sscanf(end + 1, " %c", &state);
	fclose(file);
	return state != 'Z' && state != 'X';
}

/* Reads to the end of the input; the deadline is the test case's own. The caller frees it. */
static inline char *
help_read_all(int fd)
{
	size_t length = 0, room = 65536;
	char *text = malloc(room + 1);

	for (;;) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t n;

		ck_assert_int_ge(poll(&ready, 1, 10000), 1);
		n = read(fd, text + length, room - length);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		ck_assert_int_ge(n, 0);
		if (n == 0)
			break;
		length += (size_t)n;
		ck_assert_uint_lt(length, room);
	}
	text[length] = '\0';
	return text;
}

static inline int
help_count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Standard error goes to a file from now on; help_log() reads what is in it. */
static inline int
help_catch_log(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
	return fd;
}

static inline char *
help_log(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc((size_t)size + 1, 1);

	ck_assert_int_eq(pread(fd, text, (size_t)size, 0), size);
	return text;
}

/* A folder for the test's files; the caller removes what it puts there. */
static inline char *
help_folder(void)
{
	char *folder = strdup("/tmp/hostler-check-XXXXXX");

	ck_assert_ptr_nonnull(mkdtemp(folder));
	return folder;
}

#endif
