/*
 * The account of a run as JSON for programs: the same figures as the table's. Keys are told in
 * hostler-load(1) and stay; all of them are always there. Owns nothing beyond its calls.
 */
#include "common/addr.h"
#include "ctl/load_histogram.h"
#include "ctl/load_report.h"
#include "ctl/load_run.h"

#include <jansson.h>

static json_t *
load_report_json_time(uint64_t nanoseconds)
{
	return json_real((double)nanoseconds / 1e9);
}

static json_t *
load_report_json_requests(const struct load_run *run)
{
	const struct load_counts *counts = &run->check.counts;
	json_t *object = json_object(), *errors = json_object();

#define X(name, help) json_object_set_new(object, #name, json_integer((json_int_t)counts->name));
	LOAD_COUNTS(X)
#undef X
	json_object_set_new(
	    object, "stray", json_integer((json_int_t)load_check_stray(&run->check)));
	json_object_set_new(object, "pending", json_integer((json_int_t)run->pending));
	json_object_set_new(
	    object, "outcomes", json_integer((json_int_t)load_report_outcomes(run)));
	for (unsigned i = 0; i < LOAD_ERROR_COUNT; i++)
		json_object_set_new(errors, load_check_error_text((enum load_error)i),
		    json_integer((json_int_t)counts->errors[i]));
	json_object_set_new(object, "errors", errors);
	return object;
}

static json_t *
load_report_json_latency(const struct histogram *latency)
{
	json_t *object = json_object();

	for (size_t i = 0; i < LOAD_REPORT_PERCENTILES; i++)
		json_object_set_new(object, load_report_percentiles[i].key,
		    load_report_json_time(
			histogram_percentile(latency, load_report_percentiles[i].percent)));
	json_object_set_new(object, "count", json_integer((json_int_t)latency->count));
	json_object_set_new(object, "mean",
	    load_report_json_time(latency->count > 0 ? latency->sum / latency->count : 0));
	json_object_set_new(object, "max", load_report_json_time(latency->max));
	return object;
}

static json_t *
load_report_json_histogram(const struct histogram *latency)
{
	struct load_histogram_row rows[LOAD_HISTOGRAM_ROWS];
	unsigned count = load_histogram_rows(latency, rows);
	json_t *array = json_array();

	for (unsigned i = 0; i < count; i++) {
		json_t *row = json_object();

		json_object_set_new(row, "from", load_report_json_time(rows[i].from));
		json_object_set_new(row, "to", load_report_json_time(rows[i].to));
		json_object_set_new(row, "count", json_integer((json_int_t)rows[i].count));
		json_array_append_new(array, row);
	}
	return array;
}

/* Requests a second; null without a fixed rate. */
static json_t *
load_report_json_rate(const struct load_options *options)
{
	if (options->rate.count == 0)
		return json_null();
	return json_real((double)options->rate.count * 1e9 / (double)options->rate.per);
}

static json_t *
load_report_json_schedule(const struct load_run *run)
{
	json_t *object = json_object();

	json_object_set_new(object, "missed", json_integer((json_int_t)run->rate.missed));
	json_object_set_new(object, "behind", load_report_json_time(run->rate.behind));
	json_object_set_new(object, "own_delay", load_report_json_time(run->rate.own));
	return object;
}

/* A text of the command line, which may be no UTF-8. */
static json_t *
load_report_json_text(const char *text)
{
	json_t *string = text ? json_string(text) : NULL;

	return string ? string : json_null();
}

static json_t *
load_report_json_connections(const struct load_run *run)
{
	json_t *object = json_object();

	json_object_set_new(object, "opened", json_integer((json_int_t)run->opened));
	json_object_set_new(object, "reconnected", json_integer((json_int_t)run->reconnected));
#define X(constant, name, help)                                                                    \
	json_object_set_new(                                                                       \
	    object, #name, json_integer((json_int_t)run->ends[LOAD_CONN_##constant]));
	LOAD_CONN_ENDS(X)
#undef X
	return object;
}

static json_t *
load_report_json_settings(const struct load_run *run)
{
	const struct load_options *options = run->options;
	char address[ADDR_TEXT_MAX];
	json_t *object = json_object();

	json_object_set_new(
	    object, "address", json_string(addr_format(&options->address, address)));
	json_object_set_new(object, "protocol", json_string(options->protocol->name));
	json_object_set_new(object, "ids", json_boolean(options->ids));
	json_object_set_new(
	    object, "expect", json_string(load_options_expect_text(options->expect)));
	json_object_set_new(object, "path",
	    options->protocol->http || options->protocol->websocket ? json_string(options->path)
								    : json_null());
	json_object_set_new(object, "method",
	    options->protocol->http ? json_string(options->get ? "GET" : "POST") : json_null());
	json_object_set_new(object, "expect_status",
	    options->protocol->http ? json_integer(options->expect_status) : json_null());
	json_object_set_new(object, "connections", json_integer(options->connections));
	json_object_set_new(object, "depth", json_integer(options->depth));
	json_object_set_new(object, "size", json_integer((json_int_t)run->check.message.size));
	json_object_set_new(
	    object, "size_least", json_integer((json_int_t)run->check.message.least));
	json_object_set_new(object, "lines", load_report_json_text(options->lines));
	json_object_set_new(
	    object, "expect_command", load_report_json_text(options->expect_command));
	json_object_set_new(object, "texts", json_integer((json_int_t)run->texts.count));
	json_object_set_new(object, "rate", load_report_json_rate(options));
	json_object_set_new(object, "warmup", load_report_json_time(options->warmup));
	json_object_set_new(object, "duration", load_report_json_time(options->duration));
	json_object_set_new(object, "count", json_integer((json_int_t)options->count));
	json_object_set_new(object, "timeout", load_report_json_time(options->timeout));
	json_object_set_new(
	    object, "connect_timeout", load_report_json_time(options->connect_timeout));
	json_object_set_new(object, "per_request", json_boolean(options->per_request));
	json_object_set_new(object, "reconnect", json_boolean(options->reconnect));
	json_object_set_new(object, "hold", json_boolean(options->hold));
	json_object_set_new(object, "gaps", load_report_json_time(options->slice));
	return object;
}

/* How many replies had which status; none but with http, and of websocket's handshakes. */
static json_t *
load_report_json_statuses(const struct load_run *run)
{
	json_t *object = json_object();
	char name[16];

	for (unsigned status = 0; status < LOAD_HTTP_STATUSES; status++) {
		if (run->statuses[status] == 0)
			continue;
		snprintf(name, sizeof(name), "%u", status);
		json_object_set_new(object, name, json_integer((json_int_t)run->statuses[status]));
	}
	return object;
}

/* One for each slice; none without --gaps. */
static json_t *
load_report_json_gaps(const struct load_gap *gap)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < gap->count; i++)
		json_array_append_new(array, load_report_json_time(gap->slices[i]));
	return array;
}

/* The longest gaps, and when they and the longest latency were. */
static void
load_report_json_moments(const struct load_run *run, json_t *object)
{
	json_object_set_new(object, "gap", load_report_json_time(run->gap.longest));
	json_object_set_new(
	    object, "gap_at", load_report_json_time(load_run_since(run, run->gap.since)));
	json_object_set_new(object, "gaps", load_report_json_gaps(&run->gap));
	json_object_set_new(object, "gap_right", load_report_json_time(run->gap_right.longest));
	json_object_set_new(object, "gap_right_at",
	    load_report_json_time(load_run_since(run, run->gap_right.since)));
	json_object_set_new(
	    object, "slowest_at", load_report_json_time(load_run_since(run, run->check.slowest)));
	json_object_set_new(object, "measured_at",
	    json_real((double)run->measured_at.tv_sec + (double)run->measured_at.tv_nsec / 1e9));
}

void
load_report_json(const struct load_run *run, FILE *out)
{
	json_t *object = json_object();

	json_object_set_new(object, "settings", load_report_json_settings(run));
	json_object_set_new(object, "requests", load_report_json_requests(run));
	json_object_set_new(object, "connections", load_report_json_connections(run));
	json_object_set_new(object, "statuses", load_report_json_statuses(run));
	json_object_set_new(object, "latency", load_report_json_latency(&run->check.latency));
	json_object_set_new(object, "latency_sent",
	    load_report_json_latency(
		run->check.due ? &run->check.latency_sent : &run->check.latency));
	json_object_set_new(object, "histogram", load_report_json_histogram(&run->check.latency));
	json_object_set_new(object, "schedule", load_report_json_schedule(run));
	json_object_set_new(object, "warmup_requests", json_integer((json_int_t)run->warming));
	json_object_set_new(object, "expecting", load_report_json_time(run->expecting));
	json_object_set_new(object, "cpu", json_real(load_report_cpu(run)));
	json_object_set_new(object, "seconds", json_real(load_run_seconds(run)));
	json_object_set_new(object, "rate", json_real(load_report_rate(run)));
	load_report_json_moments(run, object);
	json_object_set_new(object, "opening", load_report_json_time(load_report_opening(run)));
	json_object_set_new(object, "interrupted", json_boolean(run->interrupted));
	json_object_set_new(object, "status", json_integer(load_report_status(run)));
	json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(15));
	fputs("\n", out);
	json_decref(object);
}
