/*
 * `hostlerctl generations`: what each has open and what an old one waits for; and `generations
 * end`, for who does not want to wait. Owns a table while it prints.
 */
#include "ctl/generations.h"

#include "common/mem.h"
#include "ctl/table.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct reply_field generations_one[] = {
    {"generation", REPLY_COUNT, NULL},
    {"state", REPLY_TEXT, NULL},
    {"age", REPLY_SECONDS, NULL},
    {"workers", REPLY_COUNT, NULL},
    {"connections", REPLY_COUNT, NULL},
    {"under_way", REPLY_COUNT, NULL},
    {"asking", REPLY_COUNT_OR_NULL, NULL},
    {"staying", REPLY_COUNT_OR_NULL, NULL},
    {"moving", REPLY_COUNT_OR_NULL, NULL},
    {"programs", REPLY_COUNT, NULL},
    {"left", REPLY_SECONDS_OR_NULL, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field generations_reply[] = {
    {"generations", REPLY_OBJECTS, generations_one},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field generations_ended[] = {
    {"generation", REPLY_COUNT, NULL},
    {"now", REPLY_BOOL, NULL},
    {"connections", REPLY_COUNT, NULL},
    {"under_way", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

/* ---- the list ---- */

/* "3 connections": the caller frees it. */
static char *
generations_count(json_int_t count, const char *what)
{
	return mem_printf("%lld %s%s", (long long)count, what, count == 1 ? "" : "s");
}

/* Which connections one that drains still has; the caller frees it. */
static char *
generations_connections(const json_t *generation)
{
	static const struct {
		const char *key, *what;
	} kinds[] = {
	    {"asking", "with a request under way"},
	    {"staying", "that cannot move"},
	    {"moving", "about to move"},
	};
	char *text = NULL, *longer;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		json_int_t count = reply_count(generation, kinds[i].key);

		if (count == 0)
			continue;
		if (text == NULL)
			longer = mem_printf("%lld connection%s %s", (long long)count,
			    count == 1 ? "" : "s", kinds[i].what);
		else
			longer = mem_printf("%s, %lld %s", text, (long long)count, kinds[i].what);
		free(text);
		text = longer;
	}
	return text != NULL ? text : mem_strdup("its workers to end");
}

/* The caller frees it; NULL for one that waits for nothing. */
static char *
generations_wait(const json_t *generation)
{
	const char *state = reply_text(generation, "state", "");

	if (strcmp(state, "starting") == 0)
		return mem_strdup("its workers and programs to be ready");
	if (strcmp(state, "ending") == 0)
		return mem_printf("its own programs to end: %lld left",
		    (long long)reply_count(generation, "programs"));
	if (strcmp(state, "draining") != 0)
		return NULL;
	return generations_connections(generation);
}

static void
generations_add(struct table *table, const json_t *generation)
{
	static const char *const counts[] = {"workers", "connections", "under_way"};
	bool is_bound = !json_is_null(json_object_get(generation, "left"));
	char number[REPLY_NUMBER_MAX], time[TEXT_DURATION_MAX];
	char *wait = generations_wait(generation);

	table_cell(table, "%s", reply_count_text(generation, "generation", number));
	table_cell(table, "%s", reply_text(generation, "state", ""));
	table_cell(table, "%s", text_duration(reply_seconds(generation, "age"), time));
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		table_cell(table, "%s", reply_count_text(generation, counts[i], number));
	table_cell(
	    table, "%s", is_bound ? text_duration(reply_seconds(generation, "left"), time) : "-");
	if (wait != NULL)
		table_note(table, "generation %s waits for %s",
		    reply_count_text(generation, "generation", number), wait);
	free(wait);
}

static const struct table_column generations_columns[] = {
    {"GENERATION", TABLE_RIGHT},
    {"STATE", TABLE_LEFT},
    {"AGE", TABLE_RIGHT},
    {"WORKERS", TABLE_RIGHT},
    {"CONNS", TABLE_RIGHT},
    {"NOW", TABLE_RIGHT},
    {"LEFT", TABLE_RIGHT},
    {NULL, TABLE_LEFT},
};

void
generations_print(const json_t *generations, unsigned width)
{
	struct table *table = table_new();
	json_t *generation;
	size_t index;

	table_columns(table, generations_columns);
	json_array_foreach(generations, index, generation) generations_add(table, generation);
	table_print(table, stdout, width);
	table_free(table);
}

static void
generations_print_reply(const struct command_line *line, const json_t *reply)
{
	generations_print(json_object_get(reply, "generations"), line->width);
}

/* ---- the end of one ---- */

static void
generations_print_ended(const struct command_line *line, const json_t *reply)
{
	char *open = generations_count(reply_count(reply, "connections"), "connection");
	char *asked = generations_count(reply_count(reply, "under_way"), "request");
	char number[REPLY_NUMBER_MAX];
	char *text;

	reply_count_text(reply, "generation", number);
	if (json_is_true(json_object_get(reply, "now")))
		text = mem_printf(
		    "generation %s was ended at once: %s cut, %s lost", number, open, asked);
	else
		text = mem_printf(
		    "generation %s ends within a second: %s, %s under way", number, open, asked);
	text_wrap(stdout, text, 0, line->width);
	free(text);
	free(open);
	free(asked);
}

static enum command_exit
generations_end(const struct command_line *line)
{
	struct command_question question = {.fields = generations_ended};
	uint32_t number;

	if (!command_read_count(line->words[1], &number)) {
		command_complain("generations end: expects the number of a generation");
		return COMMAND_USAGE;
	}
	question.request = json_pack("{s:s, s:I, s:b}", "command", "end_generation", "generation",
	    (json_int_t)number, "now", line->is_now);
	return command_run(line, &question, generations_print_ended);
}

enum command_exit
generations_run(const struct command_line *line)
{
	bool is_end = line->word_count > 0 && strcmp(line->words[0], "end") == 0;

	if (is_end && line->word_count == 2)
		return generations_end(line);
	if (line->word_count == 0 && !line->is_now)
		return command_show(
		    line, "generations", generations_reply, generations_print_reply);
	command_complain(
	    is_end ? "generations end: expects the number of a generation"
		   : "generations: expects nothing, or 'end' and the number of a generation");
	return COMMAND_USAGE;
}
