/*
 * The histogram of histogram.h. Pure: no memory but the caller's, no clock, no locks. Values below
 * 1024 ns have buckets of one width; above, the five bits behind the highest one choose the bucket.
 */
#include "common/histogram.h"

uint64_t
histogram_lower(unsigned index)
{
	unsigned shift;

	if (index < HISTOGRAM_STEPS)
		return (uint64_t)index << HISTOGRAM_UNIT;
	shift = index / HISTOGRAM_STEPS - 1;
	return (uint64_t)(index % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << (shift + HISTOGRAM_UNIT);
}

uint64_t
histogram_upper(unsigned index)
{
	return histogram_lower(index + 1);
}

void
histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->buckets[histogram_index(value)]++;
	histogram->count++;
	histogram->sum += value;
	if (value > histogram->max)
		histogram->max = value;
}

uint64_t
histogram_percentile(const struct histogram *histogram, double percent)
{
	double wanted = (double)histogram->count * percent / 100;
	uint64_t seen = 0, value;

	if (histogram->count == 0)
		return 0;
	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		seen += histogram->buckets[i];
		if (seen == 0 || (double)seen < wanted)
			continue;
		value = (histogram_lower(i) + histogram_upper(i)) / 2;
		return value < histogram->max ? value : histogram->max;
	}
	return histogram->max;
}
