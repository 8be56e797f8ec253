/*
 * The line of load_progress.h. Owns a timer; reads the run's account and changes nothing of it.
 */
#include "ctl/load_progress.h"

#include "common/clock.h"
#include "ctl/load_report.h"
#include "ctl/load_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* The latency since the line before: p99 of one second. */
static const char *
load_progress_p99(struct load_progress *progress, const struct histogram *latency, char *text)
{
	struct histogram *second = &progress->before;

	second->count = latency->count - second->count;
	second->max = latency->max;
	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++)
		second->buckets[i] = latency->buckets[i] - second->buckets[i];
	if (second->count > 0)
		load_report_time(histogram_percentile(second, 99), text);
	else
		snprintf(text, LOAD_REPORT_TIME, "-");
	*second = *latency;
	return text;
}

static void
load_progress_show(struct load_run *run, uint64_t now)
{
	struct load_progress *progress = &run->progress;
	const struct load_counts *counts = &run->check.counts;
	double seconds = (double)(now - progress->at) / (double)CLOCK_SECOND;
	char text[LOAD_REPORT_TIME];

	fprintf(stderr,
	    "%s%6.0f s %9.0f requests/s   right %" PRIu64 "   error %" PRIu64 "   other %" PRIu64
	    "   p99 %s%s%s",
	    progress->terminal ? "\r" : "", (double)(now - run->began) / (double)CLOCK_SECOND,
	    seconds > 0 ? (double)(counts->right - progress->right) / seconds : 0, counts->right,
	    counts->error,
	    counts->wrong + counts->duplicate + counts->overdue + counts->broken + counts->unsent,
	    load_progress_p99(progress, &run->check.latency, text),
	    run->measured == 0 ? "   (warming up)" : "", progress->terminal ? "\033[K" : "\n");
	fflush(stderr);
	progress->shown = true;
	progress->at = now;
	progress->right = counts->right;
}

static void
load_progress_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct load_run *run = arg;

	(void)fd;
	(void)what;
	if (!run->finishing)
		load_progress_show(run, clock_now());
}

int
load_progress_open(struct load_run *run)
{
	struct load_progress *progress = &run->progress;

	progress->terminal = isatty(STDERR_FILENO) == 1;
	if (!progress->terminal && !run->options->progress)
		return 0;
	progress->timer = event_new(run->base, -1, EV_PERSIST, load_progress_on_timer, run);
	return progress->timer ? 0 : -1;
}

void
load_progress_begin(struct load_run *run, uint64_t now)
{
	const struct timeval second = {.tv_sec = 1};

	run->progress.at = now;
	if (run->progress.timer)
		event_add(run->progress.timer, &second);
}

void
load_progress_end(struct load_run *run)
{
	if (run->progress.shown && run->progress.terminal)
		fputs("\r\033[K", stderr);
	run->progress.shown = false;
}

void
load_progress_close(struct load_run *run)
{
	if (run->progress.timer)
		event_free(run->progress.timer);
	run->progress.timer = NULL;
}
