/*
 * The longest time without something, and when that was; on demand also the longest in each slice
 * of a run. Pure: the caller tells the time.
 */
#ifndef CTL_LOAD_GAP_H
#define CTL_LOAD_GAP_H

#include <stdint.h>

#define LOAD_GAP_SLICES 100000 /* at most; the last one takes what comes later */

struct load_gap {
	uint64_t last;    /* a time; when it was seen last */
	uint64_t longest; /* nanoseconds */
	uint64_t since;   /* a time; when the longest one began */
	uint64_t began;   /* a time */
	uint64_t width;   /* nanoseconds of a slice; 0: there are none */
	uint64_t *slices; /* owns; the longest one that began in each */
	unsigned count, room;
};

/* From now on; what was before is forgotten, but not `width`. */
void load_gap_begin(struct load_gap *gap, uint64_t now);
/* It was seen, or looking for it is over. A `now` before the last one counts as that. */
void load_gap_see(struct load_gap *gap, uint64_t now);
void load_gap_free(struct load_gap *gap);

#endif
