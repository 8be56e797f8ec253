/*
 * From the buckets of a reply to a histogram. Pure. A daemon may merge buckets that were apart in
 * the reply before, and count while it is read: nothing becomes negative.
 */
#include "ctl/stats_times.h"

#include <stdbool.h>
#include <string.h>

static uint64_t
stats_times_number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static uint64_t
stats_times_less(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

/* Each bucket is told by its end, where the next one begins. */
static void
stats_times_each(struct histogram *times, const json_t *object, bool take_away)
{
	size_t index;
	json_t *pair;

	json_array_foreach(json_object_get(object, "buckets"), index, pair)
	{
		uint64_t end = (uint64_t)json_integer_value(json_array_get(pair, 0));
		uint64_t count = (uint64_t)json_integer_value(json_array_get(pair, 1));
		uint64_t *bucket = &times->buckets[histogram_index(end > 0 ? end - 1 : 0)];

		*bucket = take_away ? stats_times_less(*bucket, count) : *bucket + count;
	}
}

void
stats_times_read(struct histogram *times, const json_t *now, const json_t *before)
{
	uint64_t last = 0;

	memset(times, 0, sizeof(*times));
	stats_times_each(times, now, false);
	if (before != NULL)
		stats_times_each(times, before, true);
	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		times->count += times->buckets[i];
		if (times->buckets[i] > 0)
			last = histogram_upper(i);
	}
	times->sum = stats_times_number(now, "sum");
	times->max = stats_times_number(now, "max");
	if (before == NULL)
		return;
	times->sum = stats_times_less(times->sum, stats_times_number(before, "sum"));
	if (last < times->max)
		times->max = last;
}
