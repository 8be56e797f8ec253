/*
 * The longest gap of load_gap.h. Owns the slices; of two gaps that are equally long the first one
 * stays.
 */
#include "ctl/load_gap.h"

#include "common/mem.h"

#include <stdlib.h>

void
load_gap_begin(struct load_gap *gap, uint64_t now)
{
	free(gap->slices);
	*gap = (struct load_gap){.last = now, .since = now, .began = now, .width = gap->width};
}

/* A gap belongs to the slice in which it began. */
static void
load_gap_note(struct load_gap *gap, uint64_t since, uint64_t length)
{
	uint64_t slice = (since - gap->began) / gap->width;

	if (slice >= LOAD_GAP_SLICES)
		slice = LOAD_GAP_SLICES - 1;
	if (slice >= gap->room) {
		gap->room = (unsigned)slice * 2 + 64;
		gap->slices = mem_resize(gap->slices, gap->room, sizeof(*gap->slices));
	}
	while (gap->count <= slice)
		gap->slices[gap->count++] = 0;
	if (length > gap->slices[slice])
		gap->slices[slice] = length;
}

void
load_gap_see(struct load_gap *gap, uint64_t now)
{
	if (now <= gap->last)
		return;
	if (gap->width > 0)
		load_gap_note(gap, gap->last, now - gap->last);
	if (now - gap->last > gap->longest) {
		gap->longest = now - gap->last;
		gap->since = gap->last;
	}
	gap->last = now;
}

void
load_gap_free(struct load_gap *gap)
{
	free(gap->slices);
	*gap = (struct load_gap){0};
}
