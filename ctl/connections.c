/*
 * `hostlerctl connections`: who is connected, and in what state, the oldest of each worker first.
 * Owns a table while it prints.
 */
#include "ctl/connections.h"

#include "ctl/table.h"
#include "ctl/text.h"

#include <stdio.h>

static const struct reply_field connections_one[] = {
    {"worker", REPLY_COUNT, NULL},
    {"generation", REPLY_COUNT, NULL},
    {"service", REPLY_TEXT, NULL},
    {"peer", REPLY_TEXT, NULL},
    {"state", REPLY_TEXT, NULL},
    {"age", REPLY_SECONDS, NULL},
    {"requests", REPLY_COUNT, NULL},
    {"under_way", REPLY_COUNT, NULL},
    {"in", REPLY_COUNT, NULL},
    {"out", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field connections_missing[] = {
    {"worker", REPLY_COUNT, NULL},
    {"generation", REPLY_COUNT, NULL},
    {"pid", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field connections_reply[] = {
    {"total", REPLY_COUNT, NULL},
    {"shown", REPLY_COUNT, NULL},
    {"connections", REPLY_OBJECTS, connections_one},
    {"missing", REPLY_OBJECTS, connections_missing},
    {NULL, REPLY_TEXT, NULL},
};

static void
connections_add(struct table *table, const json_t *connection)
{
	static const char *const counts[] = {"requests", "under_way", "in", "out"};
	char number[REPLY_NUMBER_MAX], age[TEXT_DURATION_MAX];

	table_cell(table, "%s", reply_text(connection, "service", ""));
	table_cell(table, "%s", reply_count_text(connection, "worker", number));
	table_cell(table, "%s", reply_text(connection, "peer", ""));
	table_cell(table, "%s", reply_text(connection, "state", ""));
	table_cell(table, "%s", text_duration(reply_seconds(connection, "age"), age));
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		table_cell(table, "%s", reply_count_text(connection, counts[i], number));
}

/* What the table does not have. */
static void
connections_note(struct table *table, const json_t *reply)
{
	json_int_t total = reply_count(reply, "total");
	json_int_t shown = reply_count(reply, "shown");
	char worker[REPLY_NUMBER_MAX], pid[REPLY_NUMBER_MAX];
	size_t index;
	json_t *missing;

	if (total > shown)
		table_note(table, "%lld of %lld connections are shown", (long long)shown,
		    (long long)total);
	json_array_foreach(json_object_get(reply, "missing"), index, missing)
	    table_note(table, "worker %s (pid %s) does not answer",
		reply_count_text(missing, "worker", worker), reply_count_text(missing, "pid", pid));
}

static const struct table_column connections_columns[] = {
    {"SERVICE", TABLE_SHRINK},
    {"WORKER", TABLE_RIGHT},
    {"PEER", TABLE_SHRINK},
    {"STATE", TABLE_LEFT},
    {"AGE", TABLE_RIGHT},
    {"REQUESTS", TABLE_RIGHT},
    {"NOW", TABLE_RIGHT},
    {"IN", TABLE_RIGHT},
    {"OUT", TABLE_RIGHT},
    {NULL, TABLE_LEFT},
};

static void
connections_print(const struct command_line *line, const json_t *reply)
{
	struct table *table = table_new();
	size_t index;
	json_t *connection;

	table_columns(table, connections_columns);
	json_array_foreach(json_object_get(reply, "connections"), index, connection)
	    connections_add(table, connection);
	connections_note(table, reply);
	table_print(table, stdout, line->width);
	table_free(table);
}

enum command_exit
connections_run(const struct command_line *line)
{
	return command_show(line, "connections", connections_reply, connections_print);
}
