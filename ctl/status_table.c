/*
 * The tables of services, workers and instances. Owns a table while it prints; the reasons of last
 * ends, which may be long, stand below the table and are never cut.
 */
#include "ctl/status_table.h"

#include "common/mem.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "backing off" says until when. */
static char *
status_table_state(const json_t *service)
{
	const char *state = reply_text(service, "state", "");
	double backoff = reply_seconds(service, "backoff");
	char time[TEXT_DURATION_MAX];

	if (backoff <= 0)
		return mem_strdup(state);
	return mem_printf("%s %s", state, text_duration(backoff, time));
}

/* Behind HTTP services share addresses: "127.0.0.1:80/api (shop.example)". The caller frees it. */
static char *
status_table_address(const json_t *service, size_t index)
{
	const char *listen =
	    json_string_value(json_array_get(json_object_get(service, "listen"), index));
	const char *path = reply_text(service, "path", "/");
	const char *host = reply_text(service, "host", NULL);

	if (listen == NULL)
		return mem_strdup("-");
	if (strcmp(path, "/") == 0)
		path = "";
	return host == NULL ? mem_printf("%s%s", listen, path)
			    : mem_printf("%s%s (%s)", listen, path, host);
}

/* A row, or rows, for each of the objects. */
static void
status_table_print(const struct table_column *columns, const json_t *objects,
    void (*add)(struct table *table, const json_t *object), unsigned width)
{
	struct table *table = table_new();
	size_t index;
	json_t *object;

	table_columns(table, columns);
	json_array_foreach(objects, index, object) add(table, object);
	table_print(table, stdout, width);
	table_free(table);
}

/* Every further address has a row of its own. */
static void
status_table_add_service(struct table *table, const json_t *service)
{
	size_t listens = json_array_size(json_object_get(service, "listen"));
	char number[REPLY_NUMBER_MAX];
	char *state = status_table_state(service), *address = status_table_address(service, 0);

	table_cell(table, "%s", reply_text(service, "name", ""));
	table_cell(table, "%s", reply_text(service, "protocol", ""));
	table_cell(table, "%s", reply_text(service, "handler", ""));
	table_cell(table, "%s", address);
	table_cell(table, "%s", reply_count_text(service, "connections", number));
	table_cell(table, "%s", reply_count_text(service, "waiting", number));
	table_cell(table, "%s", state);
	free(state);
	free(address);
	for (size_t i = 1; i < listens; i++) {
		address = status_table_address(service, i);
		for (unsigned column = 0; column < 7; column++)
			table_cell(table, "%s", column == 3 ? address : "");
		free(address);
	}
}

static const struct table_column status_table_service_columns[] = {
    {"SERVICE", TABLE_SHRINK},
    {"PROTOCOL", TABLE_LEFT},
    {"HANDLER", TABLE_LEFT},
    {"LISTEN", TABLE_SHRINK},
    {"CONNS", TABLE_RIGHT},
    {"WAITING", TABLE_RIGHT},
    {"STATE", TABLE_LEFT},
    {NULL, TABLE_LEFT},
};

void
status_table_services(const json_t *services, unsigned width)
{
	status_table_print(status_table_service_columns, services, status_table_add_service, width);
}

static void
status_table_add_worker(struct table *table, const json_t *worker)
{
	const char *reason = reply_text(worker, "last_exit", NULL);
	char number[REPLY_NUMBER_MAX], age[TEXT_DURATION_MAX];

	table_cell(table, "%s", reply_count_text(worker, "worker", number));
	table_cell(table, "%s", reply_count_text(worker, "generation", number));
	table_cell(table, "%s", reply_count_text(worker, "pid", number));
	table_cell(table, "%s", reply_text(worker, "state", ""));
	table_cell(table, "%s", text_duration(reply_seconds(worker, "age"), age));
	table_cell(table, "%s", reply_count_text(worker, "connections", number));
	table_cell(table, "%s", reply_count_text(worker, "starts", number));
	if (reason != NULL)
		table_note(table, "worker %s ended: %s", reply_count_text(worker, "worker", number),
		    reason);
}

static const struct table_column status_table_worker_columns[] = {
    {"WORKER", TABLE_RIGHT},
    {"GENERATION", TABLE_RIGHT},
    {"PID", TABLE_RIGHT},
    {"STATE", TABLE_LEFT},
    {"AGE", TABLE_RIGHT},
    {"CONNS", TABLE_RIGHT},
    {"STARTS", TABLE_RIGHT},
    {NULL, TABLE_LEFT},
};

void
status_table_workers(const json_t *workers, unsigned width)
{
	status_table_print(status_table_worker_columns, workers, status_table_add_worker, width);
}

/*
 * Why the last process in the slot ended; with what it said, where that cannot be the next one's.
 * `is_talkative`: also what the present one says, where none has ended.
 */
static void
status_table_note(
    struct table *table, const char *service, const json_t *instance, bool is_talkative)
{
	const char *reason = reply_text(instance, "last_exit", NULL);
	const char *said = reply_text(instance, "last_stderr", NULL);
	bool is_alive = !json_is_null(json_object_get(instance, "pid"));
	char slot[REPLY_NUMBER_MAX];

	reply_count_text(instance, "slot", slot);
	if (reason != NULL && said != NULL && !is_alive)
		table_note(table, "%s %s ended: %s: %s", service, slot, reason, said);
	else if (reason != NULL)
		table_note(table, "%s %s ended: %s", service, slot, reason);
	if (said != NULL && is_alive && (is_talkative || reason != NULL))
		table_note(table, "%s %s said: %s", service, slot, said);
}

static struct table *
status_table_new(void)
{
	struct table *table = table_new();

	table_column(table, "SERVICE", TABLE_SHRINK);
	table_column(table, "SLOT", TABLE_RIGHT);
	table_column(table, "PID", TABLE_RIGHT);
	table_column(table, "STATE", TABLE_LEFT);
	table_column(table, "AGE", TABLE_RIGHT);
	table_column(table, "SERVED", TABLE_RIGHT);
	table_column(table, "STARTS", TABLE_RIGHT);
	return table;
}

static void
status_table_add_instance(
    struct table *table, const char *service, const json_t *instance, bool is_talkative)
{
	char number[REPLY_NUMBER_MAX], age[TEXT_DURATION_MAX];

	table_cell(table, "%s", service);
	table_cell(table, "%s", reply_count_text(instance, "slot", number));
	table_cell(table, "%s", reply_count_text(instance, "pid", number));
	table_cell(table, "%s", reply_text(instance, "state", ""));
	table_cell(table, "%s", text_duration(reply_seconds(instance, "age"), age));
	table_cell(table, "%s", reply_count_text(instance, "requests", number));
	table_cell(table, "%s", reply_count_text(instance, "starts", number));
	status_table_note(table, service, instance, is_talkative);
}

/* What it uses. PSS says more than RSS, where it may be read. */
static void
status_table_add_use(struct table *table, const json_t *instance)
{
	const char *memory = json_is_null(json_object_get(instance, "pss")) ? "rss" : "pss";
	char number[REPLY_NUMBER_MAX], text[TEXT_SIZE_MAX], time[TEXT_DURATION_MAX];

	if (json_is_null(json_object_get(instance, memory)))
		table_cell(table, "-");
	else
		table_cell(table, "%s", text_size((uint64_t)reply_count(instance, memory), text));
	if (json_is_null(json_object_get(instance, "cpu")))
		table_cell(table, "-");
	else
		table_cell(table, "%s", text_duration(reply_seconds(instance, "cpu"), time));
	table_cell(table, "%s", reply_count_text(instance, "descriptors", number));
}

void
status_table_instances(const json_t *instances, unsigned width)
{
	struct table *table = status_table_new();
	json_t *instance;
	size_t index;

	table_column(table, "MEMORY", TABLE_RIGHT);
	table_column(table, "CPU", TABLE_RIGHT);
	table_column(table, "FDS", TABLE_RIGHT);
	json_array_foreach(instances, index, instance)
	{
		status_table_add_instance(
		    table, reply_text(instance, "service", ""), instance, true);
		status_table_add_use(table, instance);
	}
	table_print(table, stdout, width);
	table_free(table);
}

void
status_table_all_instances(const json_t *services, unsigned width)
{
	struct table *table = status_table_new();
	size_t index, slot, count = 0;
	json_t *service, *instance;

	json_array_foreach(services, index, service)
	{
		const char *name = reply_text(service, "name", "");

		json_array_foreach(json_object_get(service, "instances"), slot, instance)
		{
			status_table_add_instance(table, name, instance, false);
			count++;
		}
	}
	if (count > 0) {
		putchar('\n');
		table_print(table, stdout, width);
	}
	table_free(table);
}
