/* Figures of one service for people: what is so now, and what became of its requests. */
#ifndef CTL_STATS_PRINT_H
#define CTL_STATS_PRINT_H

#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>

/* How it shall look. */
struct stats_style {
	unsigned width; /* columns */
	bool color;
};

/*
 * Prints one service of a checked reply. With `before`, the same service in an earlier reply,
 * counts and times are those of the `seconds` between; without, those of the `seconds` since the
 * start.
 */
void stats_print_service(FILE *out, const struct stats_style *style, const json_t *service,
    const json_t *before, double seconds);

#endif
