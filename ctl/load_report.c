/*
 * The account of a run as a table for people: the same figures from the same lists as in
 * load_report_json.c. Owns nothing; prints bytes of the peer only when escaped.
 */
#include "ctl/load_report.h"

#include "common/addr.h"
#include "common/clock.h"
#include "common/escape.h"
#include "ctl/load_histogram.h"
#include "ctl/load_run.h"

#include <inttypes.h>
#include <langinfo.h>
#include <string.h>

#define LOAD_REPORT_SAMPLES 5  /* wrong replies shown */
#define LOAD_REPORT_SHOWN   96 /* bytes of each */

const struct load_report_percentile load_report_percentiles[LOAD_REPORT_PERCENTILES] = {
    {"p50", "p50", 50},
    {"p90", "p90", 90},
    {"p99", "p99", 99},
    {"p99.9", "p999", 99.9},
};

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

uint64_t
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

double
load_report_rate(const struct load_run *run)
{
	double seconds = load_run_seconds(run);

	return seconds > 0 ? (double)run->check.latency.count / seconds : 0;
}

double
load_report_cpu(const struct load_run *run)
{
	if (run->measured == 0 || run->ended <= run->measured)
		return 0;
	return (double)run->cpu / (double)(run->ended - run->measured);
}

uint64_t
load_report_opening(const struct load_run *run)
{
	return run->opened_all > 0 ? run->opened_all - run->started : 0;
}

/* ", at 3.512 s": so long after the first measured request. */
static void
load_report_moment(const struct load_run *run, uint64_t moment, FILE *out)
{
	fprintf(out, ", at %.3f s", (double)load_run_since(run, moment) / (double)CLOCK_SECOND);
}

static void
load_report_latency(const char *name, const struct histogram *latency, FILE *out)
{
	char text[LOAD_REPORT_TIME];

	fprintf(out, "%-14s", name);
	if (latency->count == 0) {
		fputs(" -", out);
		return;
	}
	for (size_t i = 0; i < LOAD_REPORT_PERCENTILES; i++)
		fprintf(out, " %s %s,", load_report_percentiles[i].label,
		    load_report_time(
			histogram_percentile(latency, load_report_percentiles[i].percent), text));
	fprintf(out, " max %s", load_report_time(latency->max, text));
}

/* Whether waiting for a connection with room shows in what is printed of the latency. */
static bool
load_report_differs(const struct load_run *run)
{
	const struct histogram *due = &run->check.latency, *sent = &run->check.latency_sent;

	if (!run->check.due || due->count == 0)
		return false;
	for (size_t i = 0; i < LOAD_REPORT_PERCENTILES; i++) {
		double percent = load_report_percentiles[i].percent;

		if (histogram_percentile(due, percent) != histogram_percentile(sent, percent))
			return true;
	}
	return due->max != sent->max;
}

/* How well the rate was kept, and whose fault it was if it was not. */
static void
load_report_schedule(const struct load_run *run, FILE *out)
{
	const struct load_frequency *asked = &run->options->rate;
	char text[LOAD_REPORT_TIME];

	if (asked->count == 0)
		return;
	fprintf(out, "%-14s %12" PRIu64 " requests%s   up to %s behind", "schedule", asked->count,
	    asked->per == CLOCK_SECOND ? "/s" : "/min", load_report_time(run->rate.behind, text));
	fprintf(
	    out, ", of that %s by hostler-load itself\n", load_report_time(run->rate.own, text));
	if (run->rate.missed > 0)
		fprintf(out,
		    "%-14s %12" PRIu64 "   due and never sent: the server did not keep up, and "
		    "latency lacks them\n",
		    "missed", run->rate.missed);
}

static void
load_report_latencies(const struct load_run *run, FILE *out)
{
	load_report_latency("latency", &run->check.latency, out);
	if (run->check.latency.count > 0)
		load_report_moment(run, run->check.slowest, out);
	fputs("\n", out);
	if (!load_report_differs(run))
		return;
	fputs(
	    "               from when a request was due; counted from when it was sent instead:\n",
	    out);
	load_report_latency("  from sending", &run->check.latency_sent, out);
	fputs("\n", out);
}

/* What the figures leave out or were made with. */
static void
load_report_notes(const struct load_run *run, FILE *out)
{
	char text[LOAD_REPORT_TIME];

	if (run->options->warmup > 0)
		fprintf(out, "%-14s %12" PRIu64 "   requests first, left out of rate and times\n",
		    "warm-up", run->warming);
	if (run->expecting > 0)
		fprintf(out, "%-14s %12zu   messages, their replies told by the command in %s\n",
		    "expecting", run->texts.count, load_report_time(run->expecting, text));
	fprintf(out, "%-14s %11.0f%%   of one, used by hostler-load\n", "CPU",
	    load_report_cpu(run) * 100);
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

static const char *
load_report_framing(const struct load_options *options)
{
	if (options->protocol->stream)
		return "a stream in parts";
	if (options->protocol->codec == CODEC_LINE)
		return "lines";
	return options->ids ? "frames with ids" : "frames";
}

/* What a request is. */
static void
load_report_asked(const struct load_options *options, FILE *out)
{
	if (options->protocol->http)
		fprintf(out, ", %s %s", options->get ? "GET" : "POST", options->path);
	else if (options->protocol->websocket)
		fprintf(out, ", WebSocket %s, messages", options->path);
	else
		fprintf(out, ", %s", load_report_framing(options));
	if (options->lines)
		fprintf(out, " of %s", options->lines);
	else if (options->expect != LOAD_EXPECT_STATUS && options->size_least < options->size)
		fprintf(out, " %s %zu to %zu bytes", options->protocol->http ? "with" : "of",
		    options->size_least, options->size);
	else if (options->expect != LOAD_EXPECT_STATUS)
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
	    [LOAD_EXPECT_ANY] = "any reply",
	    [LOAD_EXPECT_COMMAND] = "what the command says",
	};

	fprintf(out, ", expecting %s", texts[options->expect]);
	if (options->protocol->http)
		fprintf(out, " with status %u", options->expect_status);
}

/* Which statuses came, if others than the expected one did. */
static void
load_report_statuses(const struct load_run *run, FILE *out)
{
	uint64_t other = 0;

	for (unsigned status = 0; status < LOAD_HTTP_STATUSES; status++)
		other += status != run->options->expect_status ? run->statuses[status] : 0;
	if (other == 0)
		return;
	fprintf(out, "%-14s %12" PRIu64 "   ", "other statuses", other);
	for (unsigned status = 0; status < LOAD_HTTP_STATUSES; status++) {
		if (run->statuses[status] == 0 || status == run->options->expect_status)
			continue;
		other -= run->statuses[status];
		fprintf(out, "%u: %" PRIu64 "%s", status, run->statuses[status],
		    other > 0 ? ", " : "\n");
	}
}

static void
load_report_gap(const struct load_run *run, FILE *out)
{
	char text[LOAD_REPORT_TIME];

	fprintf(out, "%-14s %12s   longest time without any reply", "gap",
	    load_report_time(run->gap.longest, text));
	load_report_moment(run, run->gap.since, out);
	fprintf(out, "; without a right one %s", load_report_time(run->gap_right.longest, text));
	load_report_moment(run, run->gap_right.since, out);
	fputs("\n", out);
}

void
load_report_table(const struct load_run *run, FILE *out)
{
	const struct load_options *options = run->options;
	char address[ADDR_TEXT_MAX];

	fputs(addr_format(&options->address, address), out);
	load_report_asked(options, out);
	fprintf(out, ", %u connection%s, depth %u", options->connections,
	    options->connections == 1 ? "" : "s", options->depth);
	load_report_expected(options, out);
	fputs(options->per_request ? ", a connection for each request\n" : "\n", out);
	load_report_counts(run, out);
	load_report_statuses(run, out);
	fprintf(out, "%-14s %12.2f s\n", "time", load_run_seconds(run));
	fprintf(out, "%-14s %12.0f right replies/s\n", "rate", load_report_rate(run));
	load_report_schedule(run, out);
	load_report_latencies(run, out);
	load_report_gap(run, out);
	load_report_connections(run, out);
	load_report_notes(run, out);
	if (options->histogram)
		load_histogram_print(&run->check.latency, load_histogram_columns(out),
		    strcmp(nl_langinfo(CODESET), "UTF-8") == 0, out);
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
