/*
 * The preparation of load_expect.h. Owns nothing beyond its calls: the texts go to the run.
 */
#include "ctl/load_expect.h"

#include "common/clock.h"
#include "common/mem.h"
#include "ctl/load_answers.h"
#include "ctl/load_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define LOAD_EXPECT_BYTES (16u << 20) /* of the messages that are made for a command */

static uint64_t
load_expect_seed(void)
{
	uint64_t seed;

	/* A poor seed would do too: it only has to differ from run to run. */
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = clock_now();
	return seed;
}

/* Messages for a command, no two alike. */
static void
load_expect_make(struct load_run *run)
{
	const struct load_message *message = &run->check.message;
	size_t count = LOAD_EXPECT_BYTES / (message->size + 1) + 1, length = 0;
	char *bytes;

	if (count > LOAD_EXPECT_MADE)
		count = LOAD_EXPECT_MADE;
	bytes = mem_alloc(count, message->size + 1);
	for (size_t i = 0; i < count; i++) {
		length += load_message_write(message, 0, i, bytes + length);
		bytes[length++] = '\n';
	}
	load_texts_take(&run->texts, bytes, length, count);
}

static int
load_expect_read(struct load_run *run)
{
	const char *path = run->options->lines;
	char why[256];

	if (load_texts_read(&run->texts, path, LOAD_MESSAGE_MAX, why, sizeof(why)))
		return 0;
	fprintf(stderr, "hostler-load run: --lines %s: %s\n", path, why);
	return -1;
}

/* Asks the command. */
static int
load_expect_ask(struct load_run *run)
{
	uint64_t began = clock_now();
	size_t length = 0, found = 0;
	char why[256];
	char *bytes = load_answers(run->options->expect_command, run->texts.bytes,
	    run->texts.length, &length, why, sizeof(why));

	if (bytes && load_texts_answer(&run->texts, bytes, length, &found)) {
		run->expecting = clock_now() - began;
		return 0;
	}
	if (bytes)
		snprintf(why, sizeof(why), "it printed %zu lines for %zu requests", found,
		    run->texts.count);
	fprintf(stderr, "hostler-load run: --expect '%s': %s\n", run->options->expect_command, why);
	free(bytes);
	return -1;
}

static void
load_expect_open_check(struct load_run *run)
{
	const struct load_options *options = run->options;
	struct load_check *check = &run->check;

	load_check_open(check, options->connections, options->depth, options->size,
	    options->expect == LOAD_EXPECT_UPPER, options->timeout, load_expect_seed());
	check->any = options->expect == LOAD_EXPECT_ANY;
	load_message_vary(&check->message, options->size_least);
	if (options->rate.count > 0)
		load_check_schedule(check);
}

int
load_expect_open(struct load_run *run)
{
	const struct load_options *options = run->options;

	load_expect_open_check(run);
	if (!options->lines && options->expect != LOAD_EXPECT_COMMAND)
		return 0;
	if (options->lines && load_expect_read(run) == -1)
		return -1;
	if (!options->lines)
		load_expect_make(run);
	if (options->expect == LOAD_EXPECT_UPPER)
		load_texts_capitals(&run->texts);
	if (options->expect == LOAD_EXPECT_COMMAND && load_expect_ask(run) == -1)
		return -1;
	load_message_use(&run->check.message, &run->texts, options->connections);
	return 0;
}
