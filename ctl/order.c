/*
 * The verbs that order something and print a sentence about what was begun: `rebalance`, `reopen`,
 * `stop`, `verbose`, `scale`. Owns nothing beyond a call.
 */
#include "ctl/order.h"

#include "ctl/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct reply_field order_nothing[] = {
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field order_rebalance[] = {
    {"moving", REPLY_COUNT, NULL},
    {"connections", REPLY_COUNT, NULL},
    {"workers", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field order_stop[] = {
    {"quick", REPLY_BOOL, NULL},
    {"connections", REPLY_COUNT, NULL},
    {"timeout", REPLY_SECONDS, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field order_verbose[] = {
    {"level", REPLY_TEXT, NULL},
    {"was", REPLY_TEXT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field order_scale[] = {
    {"from", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

/* ---- rebalance ---- */

static void
order_print_rebalance(const struct command_line *line, const json_t *reply)
{
	json_int_t moving = reply_count(reply, "moving");

	(void)line;
	if (moving == 0)
		printf("the workers are even already\n");
	else
		printf("moving %lld of %lld connections between %lld workers\n", (long long)moving,
		    (long long)reply_count(reply, "connections"),
		    (long long)reply_count(reply, "workers"));
}

enum command_exit
order_run_rebalance(const struct command_line *line)
{
	return command_show(line, "rebalance", order_rebalance, order_print_rebalance);
}

/* ---- reopen ---- */

static void
order_print_reopen(const struct command_line *line, const json_t *reply)
{
	(void)line;
	(void)reply;
	printf("logs and collected files were opened again\n");
}

enum command_exit
order_run_reopen(const struct command_line *line)
{
	return command_show(line, "reopen", order_nothing, order_print_reopen);
}

/* ---- stop ---- */

static void
order_print_stop(const struct command_line *line, const json_t *reply)
{
	json_int_t count = reply_count(reply, "connections");
	char time[TEXT_DURATION_MAX];

	(void)line;
	if (json_is_true(json_object_get(reply, "quick")))
		printf("stopping at once; %lld connection%s open\n", (long long)count,
		    count == 1 ? " was" : "s were");
	else
		printf("stopping: %lld connection%s drain%s for up to %s\n", (long long)count,
		    count == 1 ? "" : "s", count == 1 ? "s" : "",
		    text_duration(reply_seconds(reply, "timeout"), time));
}

enum command_exit
order_run_stop(const struct command_line *line)
{
	const struct command_question question = {
	    .request = json_pack("{s:s, s:b}", "command", "stop", "quick", line->is_quick),
	    .fields = order_stop};

	return command_run(line, &question, order_print_stop);
}

/* ---- verbose ---- */

static void
order_print_verbose(const struct command_line *line, const json_t *reply)
{
	char *level = text_clean(reply_text(reply, "level", ""));
	char *was = text_clean(reply_text(reply, "was", ""));

	(void)line;
	printf("log level %s (was %s) until the next reload\n", level, was);
	free(level);
	free(was);
}

enum command_exit
order_run_verbose(const struct command_line *line)
{
	struct command_question question = {
	    .request = json_pack("{s:s}", "command", "verbose"), .fields = order_verbose};

	/* What is no UTF-8 is no level either; without one it would be debug. */
	if (line->word_count > 0 &&
	    json_object_set_new(question.request, "level", json_string(line->words[0])) != 0) {
		json_decref(question.request);
		command_complain("verbose: the level must be error, warn, info or debug");
		return COMMAND_USAGE;
	}
	return command_run(line, &question, order_print_verbose);
}

/* ---- scale ---- */

static void
order_print_scale(const struct command_line *line, const json_t *reply)
{
	char *name = text_clean(line->words[0]);
	char from[REPLY_NUMBER_MAX];

	reply_count_text(reply, "from", from);
	if (strcmp(line->words[0], "workers") == 0)
		printf("workers: %s -> %s until the next reload\n", from, line->words[1]);
	else
		printf("instances of %s: %s -> %s until the next reload\n", name, from,
		    line->words[1]);
	free(name);
}

enum command_exit
order_run_scale(const struct command_line *line)
{
	struct command_question question = {.fields = order_scale};
	const char *what = line->words[0];
	uint32_t count;

	if (!command_read_count(line->words[1], &count)) {
		command_complain("scale: the second word must be a whole number");
		return COMMAND_USAGE;
	}
	if (strcmp(what, "workers") == 0)
		question.request =
		    json_pack("{s:s, s:I}", "command", "scale", "workers", (json_int_t)count);
	else
		question.request = json_pack("{s:s, s:s, s:I}", "command", "scale", "service", what,
		    "instances", (json_int_t)count);
	return command_run(line, &question, order_print_scale);
}
