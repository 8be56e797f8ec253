/*
 * A log-linear histogram of times in nanoseconds: 32 buckets for every power of two, so that the
 * middle of a bucket is within 1.6 % of any value in it, from 1 us (below it the buckets are 32 ns
 * wide) to 39 hours (what is longer counts as that). Fixed memory, no division.
 *
 * Buckets are numbered from 0; whoever counts in memory of another kind needs only the numbers.
 */
#ifndef COMMON_HISTOGRAM_H
#define COMMON_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS    5 /* 2^5 buckets for every power of two */
#define HISTOGRAM_STEPS   (1u << HISTOGRAM_BITS)
#define HISTOGRAM_UNIT    5 /* the narrowest buckets are 2^5 ns wide */
#define HISTOGRAM_OCTAVES 37
#define HISTOGRAM_SIZE    ((HISTOGRAM_OCTAVES + 1) * HISTOGRAM_STEPS)

/* All zero is an empty histogram. */
struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max; /* exact */
	uint64_t buckets[HISTOGRAM_SIZE];
};

/* The bucket that a value belongs to. */
static inline unsigned
histogram_index(uint64_t value)
{
	uint64_t units = value >> HISTOGRAM_UNIT;
	unsigned shift, index;

	if (units < HISTOGRAM_STEPS)
		return (unsigned)units;
	shift = 63u - (unsigned)__builtin_clzll(units) - HISTOGRAM_BITS;
	index = shift * HISTOGRAM_STEPS + (unsigned)(units >> shift);
	return index < HISTOGRAM_SIZE ? index : HISTOGRAM_SIZE - 1;
}

/* The values of a bucket are from its lower bound to just below the next one's. */
uint64_t histogram_lower(unsigned index);
uint64_t histogram_upper(unsigned index);

void histogram_add(struct histogram *histogram, uint64_t value);
/*
 * The value that `percent` (0 to 100) of all values do not exceed: the middle of its bucket, never
 * above `max`; 0 when there are none.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
