/*
 * `hostlerctl trace`: the newest grants of every pool, oldest first. Owns the reply while it
 * prints.
 */
#include "ctl/trace.h"

#include "ctl/table.h"

#include <stdio.h>

static const struct reply_field trace_grant[] = {
    {"arrival", REPLY_COUNT, NULL},
    {"time", REPLY_COUNT, NULL},
    {"slot", REPLY_COUNT, NULL},
    {"incarnation", REPLY_COUNT, NULL},
    {"worker", REPLY_COUNT, NULL},
    {"again", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field trace_service[] = {
    {"name", REPLY_TEXT, NULL},
    {"grants", REPLY_OBJECTS, trace_grant},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field trace_reply[] = {
    {"services", REPLY_OBJECTS, trace_service},
    {NULL, REPLY_TEXT, NULL},
};

/* Times are seconds after the first grant shown of the service. */
static void
trace_add_grant(struct table *table, const char *service, const json_t *grant, json_int_t first)
{
	char number[REPLY_NUMBER_MAX];

	table_cell(table, "%s", service);
	table_cell(table, "%s", reply_count_text(grant, "arrival", number));
	table_cell(table, "%.6f", (double)(reply_count(grant, "time") - first) / 1e9);
	table_cell(table, "%s", reply_count_text(grant, "slot", number));
	table_cell(table, "%s", reply_count_text(grant, "incarnation", number));
	table_cell(table, "%s", reply_count_text(grant, "worker", number));
	table_cell(table, "%s", reply_count_text(grant, "again", number));
}

static void
trace_add_service(struct table *table, const json_t *service)
{
	const json_t *grants = json_object_get(service, "grants");
	json_int_t first = reply_count(json_array_get(grants, 0), "time");
	size_t index;
	json_t *grant;

	json_array_foreach(grants, index, grant)
	    trace_add_grant(table, reply_text(service, "name", ""), grant, first);
}

static const struct table_column trace_columns[] = {
    {"SERVICE", TABLE_SHRINK},
    {"ARRIVAL", TABLE_RIGHT},
    {"TIME", TABLE_RIGHT},
    {"SLOT", TABLE_RIGHT},
    {"INCARNATION", TABLE_RIGHT},
    {"WORKER", TABLE_RIGHT},
    {"AGAIN", TABLE_RIGHT},
    {NULL, TABLE_LEFT},
};

static void
trace_print(const struct command_line *line, const json_t *reply)
{
	const json_t *services = json_object_get(reply, "services");
	struct table *table = table_new();
	size_t index;
	json_t *service;

	table_columns(table, trace_columns);
	json_array_foreach(services, index, service) trace_add_service(table, service);
	table_print(table, stdout, line->width);
	table_free(table);
}

enum command_exit
trace_run(const struct command_line *line)
{
	return command_show(line, "trace", trace_reply, trace_print);
}
