/*
 * The account of a run as a table for people and as JSON for programs: the same figures from the
 * same lists. Owns nothing; prints bytes of the peer only when escaped.
 */
#include "ctl/load_report.h"

#include "common/addr.h"
#include "common/clock.h"
#include "common/escape.h"
#include "ctl/load_run.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define LOAD_REPORT_SAMPLES 5  /* wrong replies shown */
#define LOAD_REPORT_SHOWN   96 /* bytes of each */

static const struct {
	const char *label, *key;
	double percent;
} load_report_percentiles[] = {
    {"p50", "p50", 50},
    {"p90", "p90", 90},
    {"p99", "p99", 99},
    {"p99.9", "p999", 99.9},
};

#define LOAD_REPORT_PERCENTILES                                                                    \
	(sizeof(load_report_percentiles) / sizeof(load_report_percentiles[0]))

void
load_report_reply(struct load_run *run, unsigned connection, enum load_found found,
    const struct load_wire_reply *reply)
{
	char shown[LOAD_REPORT_SHOWN * ESCAPE_MOST];
	size_t length = reply->shown_length;
	size_t part = length < LOAD_REPORT_SHOWN ? length : LOAD_REPORT_SHOWN;
	int escaped;

	if (run->samples >= LOAD_REPORT_SAMPLES)
		return;
	run->samples++;
	escaped = (int)escape_text(shown, reply->shown, part);
	fprintf(stderr, "hostler-load run: %s reply on connection %u%s%s%s, %zu bytes: %.*s%s\n",
	    found == LOAD_FOUND_DUPLICATE ? "duplicate" : "wrong", connection,
	    reply->why ? " (" : "", reply->why ? reply->why : "", reply->why ? ")" : "", length,
	    escaped, shown, part < length ? "..." : "");
	if (run->samples == LOAD_REPORT_SAMPLES)
		fputs("hostler-load run: further ones are counted only\n", stderr);
}

const char *
load_report_time(uint64_t nanoseconds, char text[LOAD_REPORT_TIME])
{
	double value = (double)nanoseconds;

	if (nanoseconds < CLOCK_MS)
		snprintf(text, LOAD_REPORT_TIME, "%.0f us", value / 1e3);
	else if (nanoseconds < CLOCK_SECOND)
		snprintf(text, LOAD_REPORT_TIME, "%.2f ms", value / 1e6);
	else
		snprintf(text, LOAD_REPORT_TIME, "%.2f s", value / 1e9);
	return text;
}

static void
load_report_row(FILE *out, const char *name, uint64_t count)
{
	fprintf(out, "%-14s %12" PRIu64, name, count);
}

/* The kinds of error that came, behind their sum. */
static void
load_report_errors(const struct load_counts *counts, FILE *out)
{
	const char *before = "   ";

	for (unsigned i = 0; i < LOAD_ERROR_COUNT; i++) {
		if (counts->errors[i] == 0)
			continue;
		fprintf(out, "%s%s %" PRIu64, before, load_check_error_text((enum load_error)i),
		    counts->errors[i]);
		before = ", ";
	}
}

static uint64_t
load_report_outcomes(const struct load_run *run)
{
	/* When a run was interrupted what still waited is `pending`, otherwise nothing waits. */
	return load_check_outcomes(&run->check) - run->check.waiting + run->pending;
}

static void
load_report_counts(const struct load_run *run, FILE *out)
{
	const struct load_counts *counts = &run->check.counts;

	load_report_row(out, "requests", counts->requests);
	load_report_row(out, "\n  right", counts->right);
	load_report_row(out, "\n  error", counts->error);
	load_report_errors(counts, out);
	load_report_row(out, "\n  wrong", counts->wrong);
	if (load_check_stray(&run->check) > 0)
		fprintf(out, "   in no request's place %" PRIu64, load_check_stray(&run->check));
	load_report_row(out, "\n  duplicate", counts->duplicate);
	load_report_row(out, "\n  overdue", counts->overdue);
	if (counts->late > 0)
		fprintf(out, "   answered too late %" PRIu64, counts->late);
	load_report_row(out, "\n  broken", counts->broken);
	if (counts->broken_new > 0)
		fprintf(out, "   on new connections %" PRIu64, counts->broken_new);
	load_report_row(out, "\n  unsent", counts->unsent);
	if (run->interrupted) {
		load_report_row(out, "\n  pending", run->pending);
		fputs("   (interrupted)", out);
	}
	load_report_row(out, "\noutcomes", load_report_outcomes(run));
	fputs("\n", out);
}

static double
load_report_rate(const struct load_run *run)
{
	double seconds = load_run_seconds(run);

	return seconds > 0 ? (double)run->check.counts.right / seconds : 0;
}

static uint64_t
load_report_opening(const struct load_run *run)
{
	return run->opened_all > 0 ? run->opened_all - run->started : 0;
}

static void
load_report_latency(const struct load_run *run, FILE *out)
{
	const struct histogram *latency = &run->check.latency;
	char text[LOAD_REPORT_TIME];

	fputs("latency       ", out);
	if (latency->count == 0) {
		fputs(" -\n", out);
		return;
	}
	for (size_t i = 0; i < LOAD_REPORT_PERCENTILES; i++)
		fprintf(out, " %s %s,", load_report_percentiles[i].label,
		    load_report_time(
			histogram_percentile(latency, load_report_percentiles[i].percent), text));
	fprintf(out, " max %s\n", load_report_time(latency->max, text));
}

static void
load_report_connections(const struct load_run *run, FILE *out)
{
	static const char *const texts[LOAD_CONN_REASONS] = {
	    [LOAD_CONN_REFUSED] = "refused",
	    [LOAD_CONN_TIMED_OUT] = "not open in time",
	    [LOAD_CONN_FAILED] = "failed",
	    [LOAD_CONN_PEER] = "closed by the peer",
	    [LOAD_CONN_IDLE] = "closed by it when idle",
	    [LOAD_CONN_SILENT] = "given up",
	    [LOAD_CONN_DAMAGED] = "with a damaged reply",
	};
	char text[LOAD_REPORT_TIME];

	load_report_row(out, "connections", run->opened);
	fputs("   opened", out);
	if (run->opened_all > 0 && !run->options->per_request)
		fprintf(
		    out, " (all tried in %s)", load_report_time(load_report_opening(run), text));
	if (run->options->reconnect)
		fprintf(out, ", %" PRIu64 " of them again", run->reconnected);
	for (unsigned i = 0; i < LOAD_CONN_REASONS; i++) {
		if (texts[i] && run->ends[i] > 0)
			fprintf(out, ", %" PRIu64 " %s", run->ends[i], texts[i]);
	}
	fputs("\n", out);
}

/* What a request is. */
static void
load_report_asked(const struct load_options *options, FILE *out)
{
	if (options->protocol->http)
		fprintf(out, ", GET %s", options->path);
	else
		fprintf(out, ", %s%s", options->protocol->codec == CODEC_LINE ? "lines" : "frames",
		    options->ids ? " with ids" : "");
	if (options->expect != LOAD_EXPECT_STATUS)
		fprintf(
		    out, " %s %zu bytes", options->protocol->http ? "with" : "of", options->size);
}

/* What a right reply is. */
static void
load_report_expected(const struct load_options *options, FILE *out)
{
	static const char *const texts[] = {
	    [LOAD_EXPECT_ECHO] = "an echo",
	    [LOAD_EXPECT_UPPER] = "capitals",
	    [LOAD_EXPECT_STATUS] = "any body",
	};

	fprintf(out, ", expecting %s", texts[options->expect]);
	if (options->protocol->http)
		fprintf(out, " with status %u", options->expect_status);
}

void
load_report_table(const struct load_run *run, FILE *out)
{
	const struct load_options *options = run->options;
	char address[ADDR_TEXT_MAX], text[LOAD_REPORT_TIME];

	fputs(addr_format(&options->address, address), out);
	load_report_asked(options, out);
	fprintf(out, ", %u connection%s, depth %u", options->connections,
	    options->connections == 1 ? "" : "s", options->depth);
	load_report_expected(options, out);
	fputs(options->per_request ? ", a connection for each request\n" : "\n", out);
	load_report_counts(run, out);
	fprintf(out, "%-14s %12.2f s\n", "time", load_run_seconds(run));
	fprintf(out, "%-14s %12.0f right replies/s\n", "rate", load_report_rate(run));
	load_report_latency(run, out);
	fprintf(out, "%-14s %12s   longest time without any reply", "gap",
	    load_report_time(run->gap, text));
	fprintf(out, ", without a right one %s\n", load_report_time(run->gap_right, text));
	load_report_connections(run, out);
}

static json_t *
load_report_seconds(uint64_t nanoseconds)
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
load_report_json_latency(const struct load_run *run)
{
	const struct histogram *latency = &run->check.latency;
	json_t *object = json_object();

	for (size_t i = 0; i < LOAD_REPORT_PERCENTILES; i++)
		json_object_set_new(object, load_report_percentiles[i].key,
		    load_report_seconds(
			histogram_percentile(latency, load_report_percentiles[i].percent)));
	json_object_set_new(object, "count", json_integer((json_int_t)latency->count));
	json_object_set_new(object, "mean",
	    load_report_seconds(latency->count > 0 ? latency->sum / latency->count : 0));
	json_object_set_new(object, "max", load_report_seconds(latency->max));
	return object;
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
load_report_json_settings(const struct load_options *options)
{
	char address[ADDR_TEXT_MAX];
	json_t *object = json_object();

	json_object_set_new(
	    object, "address", json_string(addr_format(&options->address, address)));
	json_object_set_new(object, "protocol", json_string(options->protocol->name));
	json_object_set_new(object, "ids", json_boolean(options->ids));
	json_object_set_new(
	    object, "expect", json_string(load_options_expect_text(options->expect)));
	json_object_set_new(
	    object, "path", options->protocol->http ? json_string(options->path) : json_null());
	json_object_set_new(object, "expect_status",
	    options->protocol->http ? json_integer(options->expect_status) : json_null());
	json_object_set_new(object, "connections", json_integer(options->connections));
	json_object_set_new(object, "depth", json_integer(options->depth));
	json_object_set_new(object, "size", json_integer((json_int_t)options->size));
	json_object_set_new(object, "per_request", json_boolean(options->per_request));
	json_object_set_new(object, "reconnect", json_boolean(options->reconnect));
	json_object_set_new(object, "hold", json_boolean(options->hold));
	return object;
}

void
load_report_json(const struct load_run *run, FILE *out)
{
	json_t *object = json_object();

	json_object_set_new(object, "settings", load_report_json_settings(run->options));
	json_object_set_new(object, "requests", load_report_json_requests(run));
	json_object_set_new(object, "connections", load_report_json_connections(run));
	json_object_set_new(object, "latency", load_report_json_latency(run));
	json_object_set_new(object, "seconds", json_real(load_run_seconds(run)));
	json_object_set_new(object, "rate", json_real(load_report_rate(run)));
	json_object_set_new(object, "gap", load_report_seconds(run->gap));
	json_object_set_new(object, "gap_right", load_report_seconds(run->gap_right));
	json_object_set_new(object, "opening", load_report_seconds(load_report_opening(run)));
	json_object_set_new(object, "interrupted", json_boolean(run->interrupted));
	json_object_set_new(object, "status", json_integer(load_report_status(run)));
	json_dumpf(object, out, JSON_COMPACT);
	fputs("\n", out);
	json_decref(object);
}

bool
load_report_adds_up(const struct load_run *run)
{
	return load_report_outcomes(run) == run->check.counts.requests;
}

int
load_report_status(const struct load_run *run)
{
	const struct load_counts *counts = &run->check.counts;

	if (run->opened == 0)
		return run->interrupted ? 0 : 3;
	return counts->wrong > 0 || counts->duplicate > 0 || counts->overdue > 0 ||
	       !load_report_adds_up(run);
}
