/*
 * The longest gap of load_gap.h. Owns nothing; of two that are equally long the first one stays.
 */
#include "ctl/load_gap.h"

void
load_gap_begin(struct load_gap *gap, uint64_t now)
{
	*gap = (struct load_gap){.last = now, .since = now};
}

void
load_gap_see(struct load_gap *gap, uint64_t now)
{
	if (now <= gap->last)
		return;
	if (now - gap->last > gap->longest) {
		gap->longest = now - gap->last;
		gap->since = gap->last;
	}
	gap->last = now;
}
