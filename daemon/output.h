/*
 * What an instance writes to its standard error: line by line into the log, never blocking, and the
 * last line is kept to explain a death.
 */
#ifndef DAEMON_OUTPUT_H
#define DAEMON_OUTPUT_H

#include <event2/event.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define OUTPUT_LINE_MAX 16384 /* bytes of a line that is logged whole */
#define OUTPUT_LAST_MAX 256   /* bytes of the last line that are kept, with the NUL */
#define OUTPUT_TURN_MAX 65536 /* bytes read in one turn of the loop */

struct output {
	const char *service; /* borrows */
	pid_t pid;
	int fd;              /* owns; -1 when closed */
	struct event *event; /* owns */
	char *line;          /* owns; the unfinished line; NULL when there is none */
	size_t length;
	char last[OUTPUT_LAST_MAX]; /* the newest line that was not empty; "" when there was none */
};

/* Takes the descriptor over; it is non-blocking. Clears what an earlier process said. */
void output_open(
    struct output *output, struct event_base *base, int fd, const char *service, pid_t pid);
/* Reads what the dead left in the pipe, 64 KiB at most, then closes. */
void output_finish(struct output *output);
/* The pure part: bytes in, log lines out. */
void output_feed(struct output *output, const char *bytes, size_t length);
/* Logs an unfinished line as it is. */
void output_flush(struct output *output);

#endif
