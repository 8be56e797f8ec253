/* Numbers as people write them: counts, durations (ms s m h d) and sizes (B K M G). */
#ifndef COMMON_UNIT_H
#define COMMON_UNIT_H

#include <stdint.h>

enum unit { UNIT_COUNT, UNIT_DURATION, UNIT_SIZE };

enum unit_result {
	UNIT_OK,
	UNIT_WRONG,    /* not a number of this kind, or more digits than can be kept */
	UNIT_MISSING,  /* a number whose unit is missing */
	UNIT_TOO_LARGE /* does not fit 64 bits */
};

#define UNIT_TEXT_MAX 48 /* bytes of unit_format() with its NUL */

/*
 * Durations become nanoseconds, sizes bytes (K is 1024). Decimals (1.5s) must come out even. 0
 * needs no unit.
 */
enum unit_result unit_parse(enum unit unit, const char *text, uint64_t *value);
/* The shortest exact text in the largest unit: "90s", "64K", "1024". Returns `text`. */
const char *unit_format(enum unit unit, uint64_t value, char text[UNIT_TEXT_MAX]);

#endif
