/* Latency as a picture: a bar for each range of times, every range wider than the one before. */
#ifndef CTL_LOAD_HISTOGRAM_H
#define CTL_LOAD_HISTOGRAM_H

#include "common/histogram.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define LOAD_HISTOGRAM_ROWS 24 /* at most */

struct load_histogram_row {
	uint64_t from, to; /* nanoseconds; to: just above the range */
	uint64_t count;
};

/* The ranges that have something in them or between them; returns how many, 0 when it is empty. */
unsigned load_histogram_rows(
    const struct histogram *histogram, struct load_histogram_row rows[LOAD_HISTOGRAM_ROWS]);
/* `columns` wide; the bars of blocks, to an eighth, or of '#'. */
void load_histogram_print(
    const struct histogram *histogram, unsigned columns, bool blocks, FILE *out);
/* The width of the terminal behind `out`, else of $COLUMNS, else 80. */
unsigned load_histogram_columns(FILE *out);

#endif
