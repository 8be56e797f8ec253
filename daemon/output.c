/*
 * Cuts a stream of bytes into log lines, and bounds them: what repeats is counted, and what is too
 * much in a second is left out. Holds memory only while a line is unfinished, and at most one line
 * of it; never waits for the program or for the log.
 */
#include "daemon/output.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_MARK " [...]" /* ends a piece of a line that is longer than OUTPUT_LINE_MAX */

/* ---- what is not written ---- */

static void
output_tell_repeated(struct output *output)
{
	char text[64];

	if (output->repeated == 0)
		return;
	snprintf(text, sizeof(text), "[last line repeated %lu time%s]", output->repeated,
	    output->repeated == 1 ? "" : "s");
	log_program(output->service, output->pid, text, strlen(text));
	output->repeated = 0;
}

static void
output_tell_lost(struct output *output)
{
	char text[96];

	if (output->lost_lines == 0)
		return;
	snprintf(text, sizeof(text), "[%lu line%s, %llu bytes left out]", output->lost_lines,
	    output->lost_lines == 1 ? "" : "s", (unsigned long long)output->lost_bytes);
	log_program(output->service, output->pid, text, strlen(text));
	output->lost_lines = 0;
	output->lost_bytes = 0;
}

void
output_tick(struct output *output, uint64_t now)
{
	if (output->repeated > 0 && now >= output->said_at + CLOCK_SECOND) {
		output_tell_repeated(output);
		output->said_at = now;
	}
	if (output->lost_lines > 0 && now >= output->window + CLOCK_SECOND)
		output_tell_lost(output);
}

/* FNV-1a: whoever makes two lines collide on purpose hides nothing but his own. */
static uint64_t
output_hash(const char *line, size_t length)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)line[i]) * UINT64_C(1099511628211);
	return hash;
}

/* Whether it is the newest line once more, and counted as that. */
static bool
output_repeats(struct output *output, const char *line, size_t length, uint64_t now)
{
	uint64_t hash = output_hash(line, length);

	output_tick(output, now);
	if (output->said_at != 0 && now < output->said_at + CLOCK_SECOND &&
	    hash == output->said_hash && length == output->said_length) {
		output->repeated++;
		return true;
	}
	output_tell_repeated(output);
	output->said_hash = hash;
	output->said_length = length;
	output->said_at = now;
	return false;
}

/* Whether there is room for the line in this second; else it is counted as lost. */
static bool
output_may_say(struct output *output, size_t length, uint64_t now)
{
	if (now >= output->window + CLOCK_SECOND) {
		output_tell_lost(output);
		output->window = now;
		output->spent = 0;
	}
	if (output->spent + length + OUTPUT_LINE_COST <= OUTPUT_BYTES_MAX) {
		output->spent += length + OUTPUT_LINE_COST;
		return true;
	}
	output->lost_lines++;
	output->lost_bytes += length;
	output->said_at = 0; /* what is not there cannot be repeated */
	return false;
}

/* ---- lines ---- */

static void
output_remember(struct output *output, const char *line, size_t length)
{
	size_t kept = length < OUTPUT_LAST_MAX ? length : OUTPUT_LAST_MAX - 1;

	if (length == 0)
		return;
	memcpy(output->last, line, kept);
	output->last[kept] = '\0';
	/* It is told as text. */
	for (size_t i = 0; i < kept; i++)
		if (output->last[i] == '\0')
			output->last[i] = ' ';
}

static void
output_say(struct output *output, const char *line, size_t length, uint64_t now)
{
	output_remember(output, line, length);
	if (!output_repeats(output, line, length, now) && output_may_say(output, length, now))
		log_program(output->service, output->pid, line, length);
}

/* The buffer is full and more of the line comes: a piece goes out, marked, and the rest stays. */
static void
output_cut(struct output *output, uint64_t now)
{
	size_t piece = OUTPUT_LINE_MAX - strlen(OUTPUT_MARK);
	size_t rest = OUTPUT_LINE_MAX - piece;
	char saved[sizeof(OUTPUT_MARK) - 1];

	memcpy(saved, output->line + piece, rest);
	memcpy(output->line + piece, OUTPUT_MARK, rest);
	output_remember(output, output->line, OUTPUT_LINE_MAX);
	output_tell_repeated(output);
	output->said_at = 0; /* two pieces of one line may well be the same */
	if (output_may_say(output, OUTPUT_LINE_MAX, now))
		log_program(output->service, output->pid, output->line, OUTPUT_LINE_MAX);
	memcpy(output->line, saved, rest);
	output->length = rest;
}

static void
output_keep(struct output *output, const char *bytes, size_t length, uint64_t now)
{
	if (output->line == NULL)
		output->line = mem_alloc(OUTPUT_LINE_MAX, 1);
	while (length > 0) {
		size_t room = OUTPUT_LINE_MAX - output->length;
		size_t taken = length < room ? length : room;

		if (room == 0) {
			output_cut(output, now);
			continue;
		}
		memcpy(output->line + output->length, bytes, taken);
		output->length += taken;
		bytes += taken;
		length -= taken;
	}
}

/* The line that was gathered is whole. */
static void
output_end_line(struct output *output, uint64_t now)
{
	if (output->line == NULL)
		return;
	output_say(output, output->line, output->length, now);
	free(output->line);
	output->line = NULL;
	output->length = 0;
}

void
output_flush(struct output *output, uint64_t now)
{
	output_end_line(output, now);
	output_tell_repeated(output);
	output_tell_lost(output);
}

void
output_feed(struct output *output, const char *bytes, size_t length, uint64_t now)
{
	while (length > 0) {
		const char *lf = memchr(bytes, '\n', length);
		size_t part = lf != NULL ? (size_t)(lf - bytes) : length;

		if (lf != NULL && output->line == NULL && part <= OUTPUT_LINE_MAX) {
			output_say(output, bytes, part, now);
		} else {
			output_keep(output, bytes, part, now);
			if (lf != NULL)
				output_end_line(output, now);
		}
		part += lf != NULL ? 1 : 0;
		bytes += part;
		length -= part;
	}
}

static void
output_close(struct output *output)
{
	if (output->event != NULL)
		event_free(output->event);
	output->event = NULL;
	if (output->fd >= 0)
		close(output->fd);
	output->fd = -1;
	output_flush(output, clock_now());
}

/* One read; false when there is nothing more to come, or nothing now. */
static bool
output_read(struct output *output, bool *ended)
{
	static char bytes[OUTPUT_TURN_MAX];
	ssize_t n = read(output->fd, bytes, sizeof(bytes));

	*ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (n <= 0)
		return false;
	output_feed(output, bytes, (size_t)n, clock_now());
	return true;
}

static void
output_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct output *output = arg;
	bool ended;

	(void)fd;
	(void)what;
	output_read(output, &ended);
	if (ended)
		output_close(output);
}

bool
output_resume(struct output *output, struct event_base *base)
{
	output->event =
	    event_new(base, output->fd, EV_READ | EV_PERSIST, output_on_readable, output);
	return output->event != NULL && event_add(output->event, NULL) == 0;
}

void
output_open(struct output *output, struct event_base *base, int fd, const char *service, pid_t pid)
{
	*output = (struct output){.service = service, .pid = pid, .fd = fd};
	if (!output_resume(output, base)) {
		log_warnx("service %s: the messages of pid %ld cannot be read", service, (long)pid);
		output_close(output);
	}
}

void
output_finish(struct output *output)
{
	bool ended = false;

	/* A pipe holds 64 KiB unless the program enlarged it; one read may bring less. */
	for (int i = 0; i < 16 && output->fd >= 0 && output_read(output, &ended); i++)
		continue;
	output_close(output);
}
