/*
 * The picture of load_histogram.h. Pure but for the width of the terminal; owns nothing. Ranges are
 * groups of a histogram's buckets, as narrow as leaves few enough of them.
 */
#include "ctl/load_histogram.h"

#include "ctl/load_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define LOAD_HISTOGRAM_FINEST 4  /* buckets of the narrowest range */
#define LOAD_HISTOGRAM_LABEL  41 /* columns before a bar */
#define LOAD_HISTOGRAM_WIDEST 200
#define LOAD_HISTOGRAM_LEAST  10 /* columns of the longest bar */

/* The first and the last bucket that has something in it. False when there is none. */
static bool
load_histogram_ends(const struct histogram *histogram, unsigned *first, unsigned *last)
{
	bool found = false;

	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		if (histogram->buckets[i] == 0)
			continue;
		*first = found ? *first : i;
		*last = i;
		found = true;
	}
	return found;
}

unsigned
load_histogram_rows(
    const struct histogram *histogram, struct load_histogram_row rows[LOAD_HISTOGRAM_ROWS])
{
	unsigned group = LOAD_HISTOGRAM_FINEST, first = 0, last = 0, count;

	if (!load_histogram_ends(histogram, &first, &last))
		return 0;
	while (last / group - first / group >= LOAD_HISTOGRAM_ROWS)
		group *= 2;
	count = last / group - first / group + 1;
	for (unsigned i = 0; i < count; i++) {
		unsigned bucket = (first / group + i) * group;

		rows[i] = (struct load_histogram_row){
		    .from = histogram_lower(bucket),
		    .to = histogram_lower(bucket + group),
		};
		for (unsigned j = bucket; j < bucket + group && j < HISTOGRAM_SIZE; j++)
			rows[i].count += histogram->buckets[j];
	}
	return count;
}

/* `share` of `width` columns, but never nothing for something. */
static void
load_histogram_bar(double share, unsigned width, bool blocks, FILE *out)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	unsigned length = (unsigned)(share * width * 8 + 0.5);

	if (share > 0 && length == 0)
		length = 1;
	if (!blocks)
		length = (length + 7) / 8 * 8;
	for (unsigned i = 0; i < length / 8; i++)
		fputs(blocks ? "█" : "#", out);
	if (blocks)
		fputs(eighths[length % 8], out);
}

void
load_histogram_print(const struct histogram *histogram, unsigned columns, bool blocks, FILE *out)
{
	struct load_histogram_row rows[LOAD_HISTOGRAM_ROWS];
	unsigned count = load_histogram_rows(histogram, rows);
	unsigned width = LOAD_HISTOGRAM_LEAST;
	uint64_t most = 1, sum = 0;
	char from[LOAD_REPORT_TIME], to[LOAD_REPORT_TIME];

	if (columns > LOAD_HISTOGRAM_LABEL + LOAD_HISTOGRAM_LEAST)
		width = columns - LOAD_HISTOGRAM_LABEL;
	for (unsigned i = 0; i < count; i++)
		most = rows[i].count > most ? rows[i].count : most;
	for (unsigned i = 0; i < count; i++) {
		sum += rows[i].count;
		fprintf(out, "%9s to %9s %10" PRIu64 " %5.1f%%%s",
		    load_report_time(rows[i].from, from), load_report_time(rows[i].to, to),
		    rows[i].count, (double)sum * 100 / (double)histogram->count,
		    rows[i].count > 0 ? " " : "");
		load_histogram_bar((double)rows[i].count / (double)most, width, blocks, out);
		fputs("\n", out);
	}
}

unsigned
load_histogram_columns(FILE *out)
{
	struct winsize size = {0};
	const char *told = getenv("COLUMNS");
	unsigned long columns = 80;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		columns = size.ws_col;
	else if (told)
		columns = strtoul(told, NULL, 10);
	return columns > LOAD_HISTOGRAM_WIDEST ? LOAD_HISTOGRAM_WIDEST : (unsigned)columns;
}
