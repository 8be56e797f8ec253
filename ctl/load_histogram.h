/*
 * A log-linear histogram: 64 steps for every power of two, so that any value between 1 ns and
 * centuries is known to better than one percent, in fixed memory and without a division.
 */
#ifndef CTL_LOAD_HISTOGRAM_H
#define CTL_LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_HISTOGRAM_BITS  6 /* 2^6 steps for every power of two */
#define LOAD_HISTOGRAM_STEPS (1u << LOAD_HISTOGRAM_BITS)
#define LOAD_HISTOGRAM_SIZE  ((65 - LOAD_HISTOGRAM_BITS) * LOAD_HISTOGRAM_STEPS)

/* All zero is an empty histogram. */
struct load_histogram {
	uint64_t count;
	uint64_t largest; /* exact */
	uint64_t buckets[LOAD_HISTOGRAM_SIZE];
};

void load_histogram_add(struct load_histogram *histogram, uint64_t value);
/* The value that `percent` (0 to 100) of all values do not exceed; 0 when there are none. */
uint64_t load_histogram_percentile(const struct load_histogram *histogram, double percent);

#endif
