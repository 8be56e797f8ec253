/*
 * The course of a call (load_call.h): texts one after another, retries with their pauses, what is
 * printed. Owns the connection for the time of the call. Never asks again what may have been
 * executed, unless --retry-all says that this does no harm.
 */
#include "ctl/load_call.h"

#include "common/clock.h"
#include "common/codec.h"
#include "ctl/load_ask.h"
#include "ctl/load_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LOAD_CALL_BACKOFF_MAX (10 * CLOCK_SECOND) /* the longest pause */
#define LOAD_CALL_SHOWN       40                  /* bytes of a text in a message */

enum { LOAD_CALL_ANSWERED = 0, LOAD_CALL_FAILED = 1, LOAD_CALL_UNREACHABLE = 3 };

/* Says what the attempt came to, and what is done about it. */
static void
load_call_say(const struct load_ask *ask, const char *text, size_t length, const char *then)
{
	fprintf(stderr, "hostler-load call: '%.*s%s': %s%s\n",
	    (int)(length < LOAD_CALL_SHOWN ? length : LOAD_CALL_SHOWN), text,
	    length > LOAD_CALL_SHOWN ? "..." : "", ask->why, then);
}

/* Twice as long each time, and from half of that to all of it, so that clients do not march in
 * step. */
static uint64_t
load_call_pause(uint64_t backoff, unsigned attempt)
{
	uint64_t pause = backoff, random = 0;

	while (attempt-- > 0 && pause < LOAD_CALL_BACKOFF_MAX)
		pause *= 2;
	if (pause > LOAD_CALL_BACKOFF_MAX)
		pause = LOAD_CALL_BACKOFF_MAX;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = clock_now();
	return pause / 2 + random % (pause / 2 + 1);
}

static void
load_call_wait(uint64_t nanoseconds)
{
	struct timespec left = {
	    .tv_sec = (time_t)(nanoseconds / CLOCK_SECOND),
	    .tv_nsec = (long)(nanoseconds % CLOCK_SECOND),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		continue;
}

/* Whether asking again can execute nothing twice. */
static bool
load_call_is_safe(enum load_asked how)
{
	return how == LOAD_ASKED_UNREACHABLE || how == LOAD_ASKED_UNSENT || how == LOAD_ASKED_BUSY;
}

/* What the server said goes to standard output, an error too, so that lines stay in step. */
static void
load_call_print(const struct load_ask *ask, enum load_asked how)
{
	if (ask->reply) {
		fwrite(ask->reply, 1, ask->length, stdout);
		if (ask->length == 0 || ask->reply[ask->length - 1] != '\n' ||
		    !ask->options->protocol->http)
			putchar('\n');
	} else if (how == LOAD_ASKED_ERROR || how == LOAD_ASKED_BUSY) {
		puts(ask->why); /* with ids an error has no text of its own */
	}
	fflush(stdout);
}

/* How it ended: an exit status. */
static int
load_call_end(const struct load_ask *ask, const char *text, size_t length, enum load_asked how)
{
	load_call_print(ask, how);
	if (how == LOAD_ASKED_REPLY)
		return LOAD_CALL_ANSWERED;
	if (how == LOAD_ASKED_LOST)
		load_call_say(ask, text, length,
		    ask->options->retries > 0 && !ask->options->retry_all
			? "; it may have been executed, so it is not asked again (--retry-all)"
			: "; it may have been executed");
	else if (ask->options->protocol->http || how == LOAD_ASKED_UNREACHABLE ||
		 how == LOAD_ASKED_UNSENT)
		load_call_say(ask, text, length, "");
	return how == LOAD_ASKED_UNREACHABLE ? LOAD_CALL_UNREACHABLE : LOAD_CALL_FAILED;
}

/* One text, to its end. */
static int
load_call_text(struct load_ask *ask, const char *text, size_t length)
{
	const struct load_call_options *options = ask->options;
	enum load_asked how = load_ask(ask, text, length);
	char then[64];
	uint64_t pause;

	for (unsigned retry = 0; retry < options->retries && how != LOAD_ASKED_REPLY; retry++) {
		if (!load_call_is_safe(how) && !options->retry_all)
			break;
		pause = load_call_pause(options->backoff, retry);
		snprintf(then, sizeof(then), "; retry %u of %u in %.0f ms", retry + 1,
		    options->retries, (double)pause / (double)CLOCK_MS);
		load_call_say(ask, text, length, then);
		load_call_wait(pause);
		how = load_ask(ask, text, length);
	}
	return load_call_end(ask, text, length, how);
}

/* Whether the text can be a request at all. */
static bool
load_call_can_ask(const struct load_call_options *options, const char *text, size_t length)
{
	bool good = length <= LOAD_MESSAGE_MAX;

	if (options->protocol->http && !options->path) {
		good = good && length > 0 && text[0] == '/';
		for (size_t i = 0; i < length; i++)
			good = good && text[i] > ' ' && text[i] < 0x7f && text[i] != '#';
	} else if (!options->protocol->http && !options->protocol->websocket) {
		good = good && codec_can_carry(options->protocol->codec, text, length);
	}
	if (good)
		return true;
	fprintf(stderr, "hostler-load call: '%.*s' cannot be asked by protocol %s\n",
	    (int)(length < LOAD_CALL_SHOWN ? length : LOAD_CALL_SHOWN), text,
	    options->protocol->name);
	return false;
}

/* The worst so far; without a server there is no use in going on. */
static bool
load_call_next(struct load_ask *ask, const char *text, size_t length, int *status)
{
	int one = LOAD_CALL_FAILED;

	if (load_call_can_ask(ask->options, text, length))
		one = load_call_text(ask, text, length);
	if (one > *status)
		*status = one;
	return one != LOAD_CALL_UNREACHABLE;
}

static int
load_call_lines(struct load_ask *ask)
{
	int status = LOAD_CALL_ANSWERED;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while ((length = getline(&line, &room, stdin)) != -1) {
		if (length > 0 && line[length - 1] == '\n')
			length--;
		if (!load_call_next(ask, line, (size_t)length, &status))
			break;
	}
	if (ferror(stdin)) {
		perror("hostler-load call: standard input");
		status = status > LOAD_CALL_FAILED ? status : LOAD_CALL_FAILED;
	}
	free(line);
	return status;
}

int
load_call(const struct load_call_options *options)
{
	struct load_ask ask;
	int status = LOAD_CALL_ANSWERED;

	load_ask_open(&ask, options);
	if (options->count == 0)
		status = load_call_lines(&ask);
	for (size_t i = 0; i < options->count; i++) {
		if (!load_call_next(&ask, options->texts[i], strlen(options->texts[i]), &status))
			break;
	}
	load_ask_close(&ask);
	if (ferror(stdout)) {
		fputs("hostler-load call: cannot write to standard output\n", stderr);
		status = status > LOAD_CALL_FAILED ? status : LOAD_CALL_FAILED;
	}
	return status;
}
