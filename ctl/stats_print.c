/*
 * Lays out the figures of one service: bars for what is so now, a table of outcomes with counts,
 * rates and percentiles. Owns nothing; knows nothing of sockets and terminals but whether colours
 * are wanted.
 */
#include "ctl/stats_print.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/stats.h"
#include "ctl/reply.h"
#include "ctl/stats_times.h"
#include "ctl/table.h"
#include "ctl/text.h"

#include <stdlib.h>

#define STATS_PRINT_BAR  24 /* cells of a bar */
#define STATS_PRINT_TEXT 32 /* bytes of a number or a time with its NUL */

/* ---- small texts ---- */

/* Three digits, or nearly so: "0.4us", "12.3ms", "120s". */
static const char *
stats_print_time(uint64_t ns, char text[STATS_PRINT_TEXT])
{
	static const struct {
		double size;
		const char *name;
	} units[] = {{1e3, "us"}, {1e6, "ms"}, {1e9, "s"}};
	double value = (double)ns;
	unsigned unit = ns < CLOCK_MS ? 0 : ns < CLOCK_SECOND ? 1 : 2;

	value /= units[unit].size;
	if (ns < 50) /* the clock did not move */
		snprintf(text, STATS_PRINT_TEXT, "0");
	else
		snprintf(text, STATS_PRINT_TEXT, value < 100 ? "%.1f%s" : "%.0f%s", value,
		    units[unit].name);
	return text;
}

static const char *
stats_print_rate(uint64_t count, double seconds, char text[STATS_PRINT_TEXT])
{
	double rate = seconds > 0 ? (double)count / seconds : 0;

	snprintf(text, STATS_PRINT_TEXT, rate < 1000 ? "%.1f" : "%.0f", rate);
	return text;
}

/* ---- bars ---- */

/* Green, yellow from a half, red where it is nearly full. */
static const char *
stats_print_color(double full)
{
	return full < 0.5 ? "\033[32m" : full < 0.9 ? "\033[33m" : "\033[31m";
}

static void
stats_print_bar(
    FILE *out, const struct stats_style *style, const char *name, json_int_t part, json_int_t whole)
{
	double full = whole > 0 ? (double)part / (double)whole : 0;
	int cells = (int)(full * STATS_PRINT_BAR + 0.5);

	/* A little is not nothing, and nearly full is not full. */
	if (cells == 0 && part > 0)
		cells = 1;
	if (cells >= STATS_PRINT_BAR)
		cells = part < whole ? STATS_PRINT_BAR - 1 : STATS_PRINT_BAR;
	fprintf(out, "  %-11s [%s", name, style->color ? stats_print_color(full) : "");
	for (int i = 0; i < STATS_PRINT_BAR; i++) {
		if (i == cells && style->color)
			fputs("\033[0m", out);
		fputc(i < cells ? '#' : '-', out);
	}
	fprintf(out, "%s]  %lld of %lld", style->color ? "\033[0m" : "", (long long)part,
	    (long long)whole);
}

static void
stats_print_now(FILE *out, const struct stats_style *style, const json_t *now)
{
	const json_t *instances = json_object_get(now, "instances");
	json_int_t all = reply_count(instances, "all");

	stats_print_bar(out, style, "connections", reply_count(now, "connections"),
	    reply_count(now, "max_connections"));
	fputs(" open\n", out);
	if (all == 0)
		return;
	stats_print_bar(out, style, "instances", reply_count(instances, "busy"), all);
	fputs(" busy", out);
	if (reply_count(instances, "starting") > 0)
		fprintf(out, ", %lld starting", (long long)reply_count(instances, "starting"));
	fputs("\n", out);
	stats_print_bar(
	    out, style, "queue", reply_count(now, "waiting"), reply_count(now, "queue"));
	fputs(" waiting\n", out);
}

/* ---- the table ---- */

static uint64_t
stats_print_count(const json_t *service, const json_t *before, const char *counter)
{
	uint64_t now = (uint64_t)reply_count(json_object_get(service, "counters"), counter);
	uint64_t then = before != NULL
			    ? (uint64_t)reply_count(json_object_get(before, "counters"), counter)
			    : 0;

	return now > then ? now - then : 0;
}

static const json_t *
stats_print_find(const json_t *service, const char *outcome)
{
	return reply_find(json_object_get(service, "outcomes"), "outcome", outcome);
}

/* The cells of one kind of time; `outcome` and `before` as in the replies, NULL where never. */
static void
stats_print_times(
    struct table *table, const json_t *outcome, const json_t *before, enum stats_span span)
{
	static const double percents[] = {50, 90, 99, 99.9};
	struct histogram *times = mem_alloc(1, sizeof(*times));
	const char *name = stats_span_name(span);
	char text[STATS_PRINT_TEXT];

	stats_times_read(times, json_object_get(outcome, name), json_object_get(before, name));
	table_cell(table, "%s", name);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		table_cell(table, "%s",
		    times->count > 0
			? stats_print_time(histogram_percentile(times, percents[i]), text)
			: "-");
	table_cell(table, "%s", times->count > 0 ? stats_print_time(times->max, text) : "-");
	free(times);
}

/* One row, and for replies and their like two more. False for an outcome that there was not. */
static bool
stats_print_outcome(struct table *table, const json_t *service, const json_t *before,
    enum counter counter, double seconds)
{
	const char *name = stats_counter_name(counter);
	const json_t *outcome = stats_print_find(service, name);
	const json_t *then = before != NULL ? stats_print_find(before, name) : NULL;
	uint64_t count = stats_print_count(service, before, name);
	char text[STATS_PRINT_TEXT];

	if (count == 0 || outcome == NULL)
		return false;
	table_cell(table, "%s", name);
	table_cell(table, "%llu", (unsigned long long)count);
	table_cell(table, "%s", stats_print_rate(count, seconds, text));
	stats_print_times(table, outcome, then, STATS_whole);
	if (counter != COUNTER_replies)
		return true;
	for (int span = STATS_queue; span <= STATS_run; span++) {
		for (int i = 0; i < 3; i++)
			table_cell(table, "%s", "");
		stats_print_times(table, outcome, then, (enum stats_span)span);
	}
	return true;
}

static bool
stats_print_lost(struct table *table, uint64_t count, double seconds)
{
	char text[STATS_PRINT_TEXT];

	if (count == 0)
		return false;
	table_cell(table, "lost");
	table_cell(table, "%llu", (unsigned long long)count);
	table_cell(table, "%s", stats_print_rate(count, seconds, text));
	for (int i = 0; i < 6; i++)
		table_cell(table, "%s", "");
	return true;
}

static struct table *
stats_print_table(void)
{
	struct table *table = table_new();

	table_column(table, "OUTCOME", TABLE_LEFT);
	table_column(table, "COUNT", TABLE_RIGHT);
	table_column(table, "PER S", TABLE_RIGHT);
	table_column(table, "TIME", TABLE_LEFT);
	table_column(table, "P50", TABLE_RIGHT);
	table_column(table, "P90", TABLE_RIGHT);
	table_column(table, "P99", TABLE_RIGHT);
	table_column(table, "P99.9", TABLE_RIGHT);
	table_column(table, "MAX", TABLE_RIGHT);
	return table;
}

static void
stats_print_outcomes(FILE *out, const struct stats_style *style, const json_t *service,
    const json_t *before, double seconds)
{
	struct table *table = stats_print_table();
	bool some = false;

	for (unsigned i = 0; i < STATS_OUTCOMES; i++)
		some |=
		    stats_print_outcome(table, service, before, STATS_OUTCOME_FIRST + i, seconds);
	some |= stats_print_lost(table, stats_print_count(service, before, "lost"), seconds);
	if (some)
		table_print(table, out, style->width);
	table_free(table);
}

void
stats_print_service(FILE *out, const struct stats_style *style, const json_t *service,
    const json_t *before, double seconds)
{
	char *name = text_columns(reply_text(service, "name", ""));
	char requests[STATS_PRINT_TEXT];

	fprintf(out, "%s%.*s%s: %s requests/s, %lld under way\n", style->color ? "\033[1m" : "",
	    (int)style->width / 2, name, style->color ? "\033[0m" : "",
	    stats_print_rate(stats_print_count(service, before, "requests"), seconds, requests),
	    (long long)reply_count(json_object_get(service, "now"), "under_way"));
	stats_print_now(out, style, json_object_get(service, "now"));
	stats_print_outcomes(out, style, service, before, seconds);
	free(name);
}
