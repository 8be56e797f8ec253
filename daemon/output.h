/*
 * What an instance writes to its standard error: line by line into the log, never blocking, and the
 * last line is kept to explain a death.
 *
 * A line that is the same as the one before it and comes within a second is only counted, and told
 * as "[last line repeated N times]", once a second while that goes on. Beyond OUTPUT_BYTES_MAX in a
 * second lines are dropped, and told as "[N lines, M bytes left out]".
 */
#ifndef DAEMON_OUTPUT_H
#define DAEMON_OUTPUT_H

#include <event2/event.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OUTPUT_LINE_MAX 16384 /* bytes of a line that is logged whole */
#define OUTPUT_LAST_MAX 256   /* bytes of the last line that are kept, with the NUL */
#define OUTPUT_TURN_MAX 65536 /* bytes read in one turn of the loop */

#define OUTPUT_BYTES_MAX (4 << 20) /* of one instance in a second that go to the log */
#define OUTPUT_LINE_COST 64        /* bytes that a line counts beside its own */

struct output {
	const char *service; /* borrows */
	pid_t pid;
	int fd;              /* owns; -1 when closed */
	struct event *event; /* owns */
	char *line;          /* owns; the unfinished line; NULL when there is none */
	size_t length;
	char last[OUTPUT_LAST_MAX]; /* the newest line that was not empty; "" when there was none */

	uint64_t said_hash; /* of the newest line in the log ... */
	size_t said_length;
	uint64_t said_at;       /* ... and when it or its count was told; 0: nothing to compare */
	unsigned long repeated; /* since then */
	uint64_t window;        /* when the second began ... */
	size_t spent;           /* ... in which so much was said */
	unsigned long lost_lines;
	uint64_t lost_bytes;
};

/* Takes the descriptor over; it is non-blocking. Clears what an earlier process said. */
void output_open(
    struct output *output, struct event_base *base, int fd, const char *service, pid_t pid);
/* The same with all that the struct says already, of a process that another image started. */
bool output_resume(struct output *output, struct event_base *base);
/* Reads what the dead left in the pipe, 64 KiB at most, then closes. */
void output_finish(struct output *output);
/* Tells what was counted, when its second is over. Call it from a timer, with clock_now(). */
void output_tick(struct output *output, uint64_t now);
/* The pure part: bytes in, log lines out. */
void output_feed(struct output *output, const char *bytes, size_t length, uint64_t now);
/* Logs an unfinished line as it is, and what was counted. */
void output_flush(struct output *output, uint64_t now);

#endif
