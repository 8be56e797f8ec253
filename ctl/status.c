/*
 * `hostlerctl status` and its parts, `services`, `workers` and `instances`: what a reply must have,
 * and what is printed of it. Owns nothing; the tables are those of status_table.c.
 */
#include "ctl/status.h"

#include "common/mem.h"
#include "ctl/generations.h"
#include "ctl/status_table.h"
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
    {"path", REPLY_TEXT_OR_NULL, NULL},
    {"host", REPLY_TEXT_OR_NULL, NULL},
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
    {"generation", REPLY_COUNT, NULL},
    {"id", REPLY_COUNT, NULL},
    {"pid", REPLY_COUNT_OR_NULL, NULL},
    {"state", REPLY_TEXT, NULL},
    {"age", REPLY_SECONDS, NULL},
    {"connections", REPLY_COUNT, NULL},
    {"starts", REPLY_COUNT, NULL},
    {"last_exit", REPLY_TEXT_OR_NULL, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_reload[] = {
    {"state", REPLY_TEXT, NULL},
    {"count", REPLY_COUNT, NULL},
    {"failed", REPLY_COUNT, NULL},
    {"last_error", REPLY_TEXT_OR_NULL, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_upgrade[] = {
    {"state", REPLY_TEXT, NULL},
    {"binary", REPLY_TEXT_OR_NULL, NULL},
    {"count", REPLY_COUNT, NULL},
    {"failed", REPLY_COUNT, NULL},
    {"last_error", REPLY_TEXT_OR_NULL, NULL},
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
    {"event_backend", REPLY_TEXT, NULL},
    {"max_connections", REPLY_COUNT, NULL},
    {"generation", REPLY_COUNT, NULL},
    {"generations", REPLY_OBJECTS, generations_one},
    {"reload", REPLY_OBJECT, status_reload},
    {"upgrade", REPLY_OBJECT, status_upgrade},
    {"services", REPLY_OBJECTS, status_service},
    {"workers", REPLY_OBJECTS, status_worker},
    {"guardian", REPLY_OBJECT, status_guardian},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_services[] = {
    {"services", REPLY_OBJECTS, status_service},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_workers[] = {
    {"workers", REPLY_OBJECTS, status_worker},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_owner[] = {
    {"service", REPLY_TEXT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field status_instances[] = {
    {"instances", REPLY_OBJECTS, status_instance},
    {"instances", REPLY_OBJECTS, status_owner},
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
	const char *backend = reply_text(reply, "event_backend", "");
	char number[REPLY_NUMBER_MAX], age[TEXT_DURATION_MAX];
	char *label;

	status_head_part(&head, "hostlerd ", reply_text(reply, "version", ""));
	status_head_part(&head, "pid ", reply_count_text(reply, "pid", number));
	/* Only these two states are as old as the daemon. */
	label = mem_printf("%s%s for ", state,
	    strcmp(state, "running") == 0 || strcmp(state, "starting") == 0 ? "" : ", up");
	status_head_part(&head, label, text_duration(reply_seconds(reply, "uptime"), age));
	free(label);
	if (strcmp(backend, "epoll") != 0) /* the usual one is not worth a word */
		status_head_part(&head, "event_backend ", backend);
	status_head_part(&head, "generation ", reply_count_text(reply, "generation", number));
	status_head_part(&head, "control socket ", reply_text(reply, "control", ""));
	if (file != NULL)
		status_head_part(&head, "file ", file);
	putchar('\n');
}

static void
status_print_sentence(char *text, unsigned width)
{
	char *clean = text_columns(text);

	text_wrap(stdout, clean, 0, width);
	free(clean);
	free(text);
}

/* What a reload has left behind: its error, and generations beside the current one. */
static void
status_print_reload(const json_t *reply, unsigned width)
{
	const char *error = reply_text(json_object_get(reply, "reload"), "last_error", NULL);
	const char *other = reply_text(json_object_get(reply, "upgrade"), "last_error", NULL);
	const json_t *generations = json_object_get(reply, "generations");

	if (error != NULL)
		status_print_sentence(mem_printf("the last reload failed: %s", error), width);
	if (other != NULL)
		status_print_sentence(mem_printf("the last upgrade failed: %s", other), width);
	if (json_array_size(generations) < 2)
		return;
	putchar('\n');
	generations_print(generations, width);
}

static void
status_print(const struct command_line *line, const json_t *reply)
{
	const json_t *services = json_object_get(reply, "services");

	status_print_head(reply, line->width);
	status_print_reload(reply, line->width);
	putchar('\n');
	status_table_services(services, line->width);
	putchar('\n');
	status_table_workers(json_object_get(reply, "workers"), line->width);
	status_table_all_instances(services, line->width);
}

static void
status_print_services(const struct command_line *line, const json_t *reply)
{
	status_table_services(json_object_get(reply, "services"), line->width);
}

static void
status_print_workers(const struct command_line *line, const json_t *reply)
{
	status_table_workers(json_object_get(reply, "workers"), line->width);
}

static void
status_print_instances(const struct command_line *line, const json_t *reply)
{
	status_table_instances(json_object_get(reply, "instances"), line->width);
}

enum command_exit
status_run(const struct command_line *line)
{
	return command_show(line, "status", status_reply, status_print);
}

enum command_exit
status_run_services(const struct command_line *line)
{
	return command_show(line, "services", status_services, status_print_services);
}

enum command_exit
status_run_workers(const struct command_line *line)
{
	return command_show(line, "workers", status_workers, status_print_workers);
}

enum command_exit
status_run_instances(const struct command_line *line)
{
	return command_show(line, "instances", status_instances, status_print_instances);
}
