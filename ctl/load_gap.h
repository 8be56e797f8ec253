/*
 * The longest time without something, and when that was. Pure: the caller tells the time.
 */
#ifndef CTL_LOAD_GAP_H
#define CTL_LOAD_GAP_H

#include <stdint.h>

struct load_gap {
	uint64_t last;    /* a time; when it was seen last */
	uint64_t longest; /* nanoseconds */
	uint64_t since;   /* a time; when the longest one began */
};

/* From now on; what was before is forgotten. */
void load_gap_begin(struct load_gap *gap, uint64_t now);
/* It was seen, or looking for it is over. A `now` before the last one counts as that. */
void load_gap_see(struct load_gap *gap, uint64_t now);

#endif
