/*
 * The times of a `stats` reply as a histogram again: since the start, or of the interval between
 * two replies.
 */
#ifndef CTL_STATS_TIMES_H
#define CTL_STATS_TIMES_H

#include "common/histogram.h"

#include <jansson.h>

/*
 * What `now` counts beyond `before`, which may be NULL for nothing. Both are borrowed and have been
 * checked. Of an interval `sum` is exact, and `max` the end of the last bucket.
 */
void stats_times_read(struct histogram *times, const json_t *now, const json_t *before);

#endif
