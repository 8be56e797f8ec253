/*
 * Cuts a stream of bytes into log lines. Holds memory only while a line is unfinished, and at most
 * one line of it; never waits for the program or for the log.
 */
#include "daemon/output.h"

#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_MARK " [...]" /* ends a piece of a line that is longer than OUTPUT_LINE_MAX */

static void
output_say(struct output *output, const char *line, size_t length)
{
	size_t kept = length < OUTPUT_LAST_MAX ? length : OUTPUT_LAST_MAX - 1;

	log_program(output->service, output->pid, line, length);
	if (length == 0)
		return;
	memcpy(output->last, line, kept);
	output->last[kept] = '\0';
	/* It is told as text. */
	for (size_t i = 0; i < kept; i++)
		if (output->last[i] == '\0')
			output->last[i] = ' ';
}

/* The buffer is full and more of the line comes: a piece goes out, marked, and the rest stays. */
static void
output_cut(struct output *output)
{
	size_t piece = OUTPUT_LINE_MAX - strlen(OUTPUT_MARK);
	size_t rest = OUTPUT_LINE_MAX - piece;
	char saved[sizeof(OUTPUT_MARK) - 1];

	memcpy(saved, output->line + piece, rest);
	memcpy(output->line + piece, OUTPUT_MARK, rest);
	output_say(output, output->line, OUTPUT_LINE_MAX);
	memcpy(output->line, saved, rest);
	output->length = rest;
}

static void
output_keep(struct output *output, const char *bytes, size_t length)
{
	if (output->line == NULL)
		output->line = mem_alloc(OUTPUT_LINE_MAX, 1);
	while (length > 0) {
		size_t room = OUTPUT_LINE_MAX - output->length;
		size_t taken = length < room ? length : room;

		if (room == 0) {
			output_cut(output);
			continue;
		}
		memcpy(output->line + output->length, bytes, taken);
		output->length += taken;
		bytes += taken;
		length -= taken;
	}
}

void
output_flush(struct output *output)
{
	if (output->line == NULL)
		return;
	output_say(output, output->line, output->length);
	free(output->line);
	output->line = NULL;
	output->length = 0;
}

void
output_feed(struct output *output, const char *bytes, size_t length)
{
	while (length > 0) {
		const char *lf = memchr(bytes, '\n', length);
		size_t part = lf != NULL ? (size_t)(lf - bytes) : length;

		if (lf != NULL && output->line == NULL && part <= OUTPUT_LINE_MAX) {
			output_say(output, bytes, part);
		} else {
			output_keep(output, bytes, part);
			if (lf != NULL)
				output_flush(output);
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
	output_flush(output);
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
	output_feed(output, bytes, (size_t)n);
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

void
output_open(struct output *output, struct event_base *base, int fd, const char *service, pid_t pid)
{
	*output = (struct output){.service = service, .pid = pid, .fd = fd};
	output->event = event_new(base, fd, EV_READ | EV_PERSIST, output_on_readable, output);
	if (output->event == NULL || event_add(output->event, NULL) != 0) {
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
