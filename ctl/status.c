/*
 * `hostlerctl status`: the daemon, its services with their real addresses, its workers and its
 * instances, each with pid, state and the reason of its last end. Owns the reply while it prints.
 */
#include "ctl/status.h"

#include "common/mem.h"
#include "ctl/table.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct reply_field status_instance[] = {
    {"slot", REPLY_COUNT, NULL},
    {"incarnation", REPLY_COUNT, NULL},
    {"pid", REPLY_COUNT_OR_NULL, NULL},
    {"state", REPLY_TEXT, NULL},
    {"age", REPLY_SECONDS, NULL},
    {"requests", REPLY_COUNT, NULL},
    {"served", REPLY_COUNT, NULL},
    {"starts", REPLY_COUNT, NULL},
    {"recycled", REPLY_COUNT, NULL},
    {"last_exit", REPLY_TEXT_OR_NULL, NULL},
    {"last_stderr", REPLY_TEXT_OR_NULL, NULL},
    {"rss", REPLY_COUNT_OR_NULL, NULL},
    {"pss", REPLY_COUNT_OR_NULL, NULL},
    {"cpu", REPLY_SECONDS_OR_NULL, NULL},
    {"descriptors", REPLY_COUNT_OR_NULL, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_service[] = {
    {"name", REPLY_TEXT, NULL},
    {"protocol", REPLY_TEXT, NULL},
    {"handler", REPLY_TEXT, NULL},
    {"listen", REPLY_TEXTS, NULL},
    {"command", REPLY_TEXT_OR_NULL, NULL},
    {"state", REPLY_TEXT, NULL},
    {"backoff", REPLY_SECONDS, NULL},
    {"connections", REPLY_COUNT, NULL},
    {"max_connections", REPLY_COUNT, NULL},
    {"waiting", REPLY_COUNT, NULL},
    {"queue", REPLY_COUNT, NULL},
    {"grants", REPLY_COUNT, NULL},
    {"refused", REPLY_COUNT, NULL},
    {"violations", REPLY_COUNT, NULL},
    {"rebuilds", REPLY_COUNT, NULL},
    {"counters", REPLY_COUNTS, NULL},
    {"wanted", REPLY_COUNT, NULL},
    {"least", REPLY_COUNT, NULL},
    {"most", REPLY_COUNT, NULL},
    {"recycled", REPLY_COUNT, NULL},
    {"instances", REPLY_OBJECTS, status_instance},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_worker[] = {
    {"worker", REPLY_COUNT, NULL},
    {"id", REPLY_COUNT, NULL},
    {"pid", REPLY_COUNT_OR_NULL, NULL},
    {"state", REPLY_TEXT, NULL},
    {"age", REPLY_SECONDS, NULL},
    {"connections", REPLY_COUNT, NULL},
    {"starts", REPLY_COUNT, NULL},
    {"last_exit", REPLY_TEXT_OR_NULL, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_guardian[] = {
    {"pid", REPLY_COUNT_OR_NULL, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_reply[] = {
    {"version", REPLY_TEXT, NULL},
    {"pid", REPLY_COUNT, NULL},
    {"uptime", REPLY_SECONDS, NULL},
    {"state", REPLY_TEXT, NULL},
    {"file", REPLY_TEXT_OR_NULL, NULL},
    {"control", REPLY_TEXT, NULL},
    {"services", REPLY_OBJECTS, status_service},
    {"workers", REPLY_OBJECTS, status_worker},
    {"guardian", REPLY_OBJECT, status_guardian},
    {NULL, REPLY_TEXT, NULL},
};

/* The head: parts of a sentence, on as many lines as they need; a path is never cut. */
struct status_head {
	unsigned width;
	size_t column;
};

static void
status_head_part(struct status_head *head, const char *label, const char *value)
{
	char *text = mem_printf("%s%s", label, value);
	char *clean = text_clean(text);
	size_t length = strlen(clean);

	/* One column stays free for the comma of the next part. */
	if (head->column > 0 && head->column + 2 + length >= head->width) {
		printf(",\n");
		head->column = 0;
	}
	head->column += (size_t)printf("%s%s", head->column > 0 ? ", " : "", clean);
	free(clean);
	free(text);
}

static void
status_print_head(const json_t *reply, unsigned width)
{
	struct status_head head = {.width = width};
	const char *state = reply_text(reply, "state", "");
	const char *file = reply_text(reply, "file", NULL);
	char number[REPLY_NUMBER_MAX], age[TEXT_DURATION_MAX];
	char *label;

	status_head_part(&head, "hostlerd ", reply_text(reply, "version", ""));
	status_head_part(&head, "pid ", reply_count_text(reply, "pid", number));
	label = mem_printf("%s for ", state);
	status_head_part(&head, label, text_duration(reply_seconds(reply, "uptime"), age));
	free(label);
	status_head_part(&head, "control socket ", reply_text(reply, "control", ""));
	if (file != NULL)
		status_head_part(&head, "file ", file);
	putchar('\n');
}

/* "backing off" says until when. */
static char *
status_service_state(const json_t *service)
{
	const char *state = reply_text(service, "state", "");
	double backoff = reply_seconds(service, "backoff");
	char time[TEXT_DURATION_MAX];

	if (backoff <= 0)
		return mem_strdup(state);
	return mem_printf("%s %s", state, text_duration(backoff, time));
}

static const char *
status_listen(const json_t *service, size_t index)
{
	const char *listen =
	    json_string_value(json_array_get(json_object_get(service, "listen"), index));

	return listen != NULL ? listen : "-";
}

/* Every further address has a row of its own. */
static void
status_add_service(struct table *table, const json_t *service)
{
	size_t listens = json_array_size(json_object_get(service, "listen"));
	char number[REPLY_NUMBER_MAX];
	char *state = status_service_state(service);

	table_cell(table, "%s", reply_text(service, "name", ""));
	table_cell(table, "%s", reply_text(service, "protocol", ""));
	table_cell(table, "%s", reply_text(service, "handler", ""));
	table_cell(table, "%s", status_listen(service, 0));
	table_cell(table, "%s", reply_count_text(service, "connections", number));
	table_cell(table, "%s", reply_count_text(service, "waiting", number));
	table_cell(table, "%s", state);
	free(state);
	for (size_t i = 1; i < listens; i++) {
		for (unsigned column = 0; column < 7; column++)
			table_cell(table, "%s", column == 3 ? status_listen(service, i) : "");
	}
}

static void
status_print_services(const json_t *services, unsigned width)
{
	struct table *table = table_new();
	size_t index;
	json_t *service;

	table_column(table, "SERVICE", TABLE_SHRINK);
	table_column(table, "PROTOCOL", TABLE_LEFT);
	table_column(table, "HANDLER", TABLE_LEFT);
	table_column(table, "LISTEN", TABLE_SHRINK);
	table_column(table, "CONNS", TABLE_RIGHT);
	table_column(table, "WAITING", TABLE_RIGHT);
	table_column(table, "STATE", TABLE_LEFT);
	json_array_foreach(services, index, service) status_add_service(table, service);
	table_print(table, stdout, width);
	table_free(table);
}

static void
status_add_worker(struct table *table, const json_t *worker)
{
	char number[REPLY_NUMBER_MAX], age[TEXT_DURATION_MAX];

	table_cell(table, "%s", reply_count_text(worker, "worker", number));
	table_cell(table, "%s", reply_count_text(worker, "pid", number));
	table_cell(table, "%s", reply_text(worker, "state", ""));
	table_cell(table, "%s", text_duration(reply_seconds(worker, "age"), age));
	table_cell(table, "%s", reply_count_text(worker, "connections", number));
	table_cell(table, "%s", reply_count_text(worker, "starts", number));
	table_cell(table, "%s", reply_text(worker, "last_exit", "-"));
}

static void
status_print_workers(const json_t *workers, unsigned width)
{
	struct table *table = table_new();
	size_t index;
	json_t *worker;

	table_column(table, "WORKER", TABLE_RIGHT);
	table_column(table, "PID", TABLE_RIGHT);
	table_column(table, "STATE", TABLE_LEFT);
	table_column(table, "AGE", TABLE_RIGHT);
	table_column(table, "CONNS", TABLE_RIGHT);
	table_column(table, "STARTS", TABLE_RIGHT);
	table_column(table, "LAST EXIT", TABLE_SHRINK);
	json_array_foreach(workers, index, worker) status_add_worker(table, worker);
	table_print(table, stdout, width);
	table_free(table);
}

/* The reason of the last end; with what the program said, where that cannot be the next one's. */
static char *
status_last_exit(const json_t *instance)
{
	const char *reason = reply_text(instance, "last_exit", NULL);
	const char *said = reply_text(instance, "last_stderr", NULL);

	if (reason == NULL)
		return mem_strdup("-");
	if (said == NULL || !json_is_null(json_object_get(instance, "pid")))
		return mem_strdup(reason);
	return mem_printf("%s: %s", reason, said);
}

static void
status_add_instance(struct table *table, const char *service, const json_t *instance)
{
	char number[REPLY_NUMBER_MAX], age[TEXT_DURATION_MAX];
	char *last_exit = status_last_exit(instance);

	table_cell(table, "%s", service);
	table_cell(table, "%s", reply_count_text(instance, "slot", number));
	table_cell(table, "%s", reply_count_text(instance, "pid", number));
	table_cell(table, "%s", reply_text(instance, "state", ""));
	table_cell(table, "%s", text_duration(reply_seconds(instance, "age"), age));
	table_cell(table, "%s", reply_count_text(instance, "served", number));
	table_cell(table, "%s", reply_count_text(instance, "starts", number));
	table_cell(table, "%s", last_exit);
	free(last_exit);
}

/* One table for the instances of all services; nothing where no service has any. */
static void
status_print_instances(const json_t *services, unsigned width)
{
	struct table *table = table_new();
	size_t index, slot, count = 0;
	json_t *service, *instance;

	table_column(table, "SERVICE", TABLE_SHRINK);
	table_column(table, "SLOT", TABLE_RIGHT);
	table_column(table, "PID", TABLE_RIGHT);
	table_column(table, "STATE", TABLE_LEFT);
	table_column(table, "AGE", TABLE_RIGHT);
	table_column(table, "SERVED", TABLE_RIGHT);
	table_column(table, "STARTS", TABLE_RIGHT);
	table_column(table, "LAST EXIT", TABLE_SHRINK);
	json_array_foreach(services, index, service)
	{
		const char *name = reply_text(service, "name", "");

		json_array_foreach(json_object_get(service, "instances"), slot, instance)
		{
			status_add_instance(table, name, instance);
			count++;
		}
	}
	if (count > 0) {
		putchar('\n');
		table_print(table, stdout, width);
	}
	table_free(table);
}

static void
status_print(const json_t *reply, unsigned width)
{
	const json_t *services = json_object_get(reply, "services");

	status_print_head(reply, width);
	putchar('\n');
	status_print_services(services, width);
	putchar('\n');
	status_print_workers(json_object_get(reply, "workers"), width);
	status_print_instances(services, width);
}

enum command_exit
status_run(const struct command_line *line)
{
	enum command_exit result;
	json_t *reply;

	result = command_ask(line, "status", status_reply, &reply);
	if (result != COMMAND_OK)
		return result;
	if (line->wants_json)
		command_print_json(reply);
	else
		status_print(reply, line->width);
	json_decref(reply);
	return COMMAND_OK;
}
