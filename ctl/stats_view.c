/*
 * The verb `stats`. Owns the newest reply and, while it watches, the one before: rates and
 * percentiles of an interval are the difference of the two.
 */
#include "ctl/stats_view.h"

#include "common/clock.h"
#include "common/mem.h"
#include "ctl/stats_print.h"
#include "ctl/stats_screen.h"
#include "ctl/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct reply_field stats_view_times[] = {
    {"count", REPLY_COUNT, NULL},
    {"sum", REPLY_COUNT, NULL},
    {"max", REPLY_COUNT, NULL},
    {"p50", REPLY_COUNT, NULL},
    {"p90", REPLY_COUNT, NULL},
    {"p99", REPLY_COUNT, NULL},
    {"p999", REPLY_COUNT, NULL},
    {"buckets", REPLY_PAIRS, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field stats_view_outcome[] = {
    {"outcome", REPLY_TEXT, NULL},
    {"count", REPLY_COUNT, NULL},
    {"queue", REPLY_OBJECT, stats_view_times},
    {"run", REPLY_OBJECT, stats_view_times},
    {"whole", REPLY_OBJECT, stats_view_times},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field stats_view_instances[] = {
    {"all", REPLY_COUNT, NULL},
    {"busy", REPLY_COUNT, NULL},
    {"idle", REPLY_COUNT, NULL},
    {"starting", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field stats_view_now[] = {
    {"connections", REPLY_COUNT, NULL},
    {"max_connections", REPLY_COUNT, NULL},
    {"under_way", REPLY_COUNT, NULL},
    {"waiting", REPLY_COUNT, NULL},
    {"queue", REPLY_COUNT, NULL},
    {"violations", REPLY_COUNT, NULL},
    {"instances", REPLY_OBJECT, stats_view_instances},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field stats_view_service[] = {
    {"name", REPLY_TEXT, NULL},
    {"counters", REPLY_COUNTS, NULL},
    {"now", REPLY_OBJECT, stats_view_now},
    {"outcomes", REPLY_OBJECTS, stats_view_outcome},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field stats_view_reply[] = {
    {"time", REPLY_COUNT, NULL},
    {"started", REPLY_COUNT, NULL},
    {"services", REPLY_OBJECTS, stats_view_service},
    {NULL, REPLY_TEXT, NULL},
};

static const json_t *
stats_view_find(const json_t *reply, const char *name)
{
	return reply_find(json_object_get(reply, "services"), "name", name);
}

/* Only the named service is left; false and a complaint where there is none. */
static bool
stats_view_keep(json_t *reply, const char *name)
{
	const json_t *service = stats_view_find(reply, name);
	json_t *list;
	char *text;

	if (service != NULL) {
		list = json_array();
		json_array_append(list, (json_t *)(uintptr_t)service);
		json_object_set_new(reply, "services", list);
		return true;
	}
	text = mem_printf("there is no service '%s'", name);
	command_complain(text);
	free(text);
	return false;
}

static enum command_exit
stats_view_ask(const struct command_line *line, json_t **reply)
{
	enum command_exit result = command_ask(line, "stats", stats_view_reply, reply);

	if (result != COMMAND_OK || line->word_count == 0 ||
	    stats_view_keep(*reply, line->words[0]))
		return result;
	json_decref(*reply);
	return COMMAND_REFUSED;
}

/* ---- showing ---- */

/* The same service in the reply before; NULL where its counts began anew, or there was none. */
static const json_t *
stats_view_before(const json_t *service, const json_t *before)
{
	const json_t *then =
	    before != NULL ? stats_view_find(before, reply_text(service, "name", "")) : NULL;
	json_int_t requests = reply_count(json_object_get(service, "counters"), "requests");

	if (then == NULL || requests < reply_count(json_object_get(then, "counters"), "requests"))
		return NULL;
	return then;
}

static double
stats_view_seconds(const json_t *reply, json_int_t since)
{
	json_int_t time = reply_count(reply, "time");

	return time > since ? (double)(time - since) / CLOCK_SECOND : 0;
}

static void
stats_view_print(
    FILE *out, const struct stats_style *style, const json_t *reply, const json_t *before)
{
	double age = stats_view_seconds(reply, reply_count(reply, "started"));
	double seconds = age;
	char text[TEXT_DURATION_MAX];
	size_t index;
	json_t *service;

	if (before != NULL && reply_count(before, "started") != reply_count(reply, "started"))
		before = NULL; /* another daemon */
	if (before != NULL)
		seconds = stats_view_seconds(reply, reply_count(before, "time"));
	if (before != NULL)
		fprintf(out, "The last %.1fs; up %s\n", seconds, text_duration(age, text));
	else
		fprintf(out, "Since the start %s ago\n", text_duration(age, text));
	json_array_foreach(json_object_get(reply, "services"), index, service)
	{
		fputc('\n', out);
		stats_print_service(
		    out, style, service, stats_view_before(service, before), seconds);
	}
}

/* ---- watching ---- */

static void
stats_view_draw(const struct command_line *line, struct stats_screen *screen, const json_t *reply,
    const json_t *before)
{
	struct stats_style style = {.width = line->width, .color = stats_screen_has_color()};
	char *text = NULL;
	size_t size = 0;
	FILE *out;

	if (line->wants_json) {
		json_dumpf(reply, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
		fflush(stdout);
		return;
	}
	out = open_memstream(&text, &size);
	if (out != NULL) {
		stats_view_print(out, &style, reply, before);
		fclose(out);
		stats_screen_draw(screen, text);
	}
	free(text);
}

/* Keeps to the beat: a slow answer does not put off those that follow. */
static enum command_exit
stats_view_watch(const struct command_line *line, struct stats_screen *screen)
{
	uint64_t next = clock_now();
	json_t *before = NULL, *reply;
	enum command_exit result;

	for (;;) {
		result = stats_view_ask(line, &reply);
		if (result != COMMAND_OK)
			break;
		stats_view_draw(line, screen, reply, before);
		json_decref(before);
		before = reply;
		while (next <= clock_now())
			next += line->watch;
		if (ferror(stdout) || !stats_screen_wait(screen, next))
			break;
	}
	json_decref(before);
	return result;
}

enum command_exit
stats_view_run(const struct command_line *line)
{
	struct stats_style style = {.width = line->width, .color = stats_screen_has_color()};
	struct stats_screen *screen;
	enum command_exit result;
	json_t *reply;

	if (line->watch > 0) {
		screen = stats_screen_open();
		if (screen == NULL) {
			command_complain(strerror(errno));
			return COMMAND_REFUSED;
		}
		result = stats_view_watch(line, screen);
		stats_screen_close(screen);
		return result;
	}
	result = stats_view_ask(line, &reply);
	if (result != COMMAND_OK)
		return result;
	if (line->wants_json)
		command_print_json(reply);
	else
		stats_view_print(stdout, &style, reply, NULL);
	json_decref(reply);
	return COMMAND_OK;
}
