/*
 * The histogram of load_histogram.h. Pure: no memory but the caller's, no clock. Values below 64
 * have a bucket each; above, the six bits behind the highest one choose the bucket.
 */
#include "ctl/load_histogram.h"

static unsigned
load_histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < LOAD_HISTOGRAM_STEPS)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - LOAD_HISTOGRAM_BITS;
	return shift * LOAD_HISTOGRAM_STEPS + (unsigned)(value >> shift);
}

/* The middle of a bucket. */
static uint64_t
load_histogram_value(unsigned bucket)
{
	unsigned shift;
	uint64_t lowest;

	if (bucket < LOAD_HISTOGRAM_STEPS)
		return bucket;
	shift = bucket / LOAD_HISTOGRAM_STEPS - 1;
	lowest = (uint64_t)(bucket % LOAD_HISTOGRAM_STEPS + LOAD_HISTOGRAM_STEPS) << shift;
	return lowest + ((UINT64_C(1) << shift) >> 1);
}

void
load_histogram_add(struct load_histogram *histogram, uint64_t value)
{
	histogram->buckets[load_histogram_bucket(value)]++;
	histogram->count++;
	if (value > histogram->largest)
		histogram->largest = value;
}

uint64_t
load_histogram_percentile(const struct load_histogram *histogram, double percent)
{
	double wanted = (double)histogram->count * percent / 100;
	uint64_t seen = 0, value;

	if (histogram->count == 0)
		return 0;
	for (unsigned i = 0; i < LOAD_HISTOGRAM_SIZE; i++) {
		seen += histogram->buckets[i];
		if (seen == 0 || (double)seen < wanted)
			continue;
		value = load_histogram_value(i);
		return value < histogram->largest ? value : histogram->largest;
	}
	return histogram->largest;
}
