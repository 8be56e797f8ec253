/*
 * Reads and writes counts, durations and sizes exactly, without floating point: what is written can
 * be read again and gives the same number. Pure functions; never ranges, those are the options'.
 */
#include "common/unit.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define UNIT_DIGITS_MAX 9 /* behind the point */

struct unit_scale {
	const char *name;
	uint64_t scale;
};

/* The largest first: unit_format() takes the first that divides. */
static const struct unit_scale unit_durations[] = {
    {"d", 86400 * CLOCK_SECOND},
    {"h", 3600 * CLOCK_SECOND},
    {"m", 60 * CLOCK_SECOND},
    {"s", CLOCK_SECOND},
    {"ms", CLOCK_MS},
    {NULL, 0},
};

static const struct unit_scale unit_sizes[] = {
    {"G", UINT64_C(1) << 30},
    {"M", UINT64_C(1) << 20},
    {"K", UINT64_C(1) << 10},
    {"B", 1},
    {"g", UINT64_C(1) << 30},
    {"m", UINT64_C(1) << 20},
    {"k", UINT64_C(1) << 10},
    {"b", 1},
    {NULL, 0},
};

/* A decimal number: whole + part/over. */
struct unit_number {
	uint64_t whole, part, over;
	bool too_large;
};

static uint64_t
unit_gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Returns where the number ends, NULL when there is none. */
static const char *
unit_scan(const char *text, bool decimals, struct unit_number *number)
{
	const char *at = text;

	*number = (struct unit_number){.over = 1};
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(number->whole, 10, &number->whole) ||
		    __builtin_add_overflow(number->whole, (uint64_t)(*at - '0'), &number->whole))
			number->too_large = true;
	}
	if (at == text)
		return NULL;
	if (!decimals || *at != '.')
		return at;
	text = ++at;
	for (; *at >= '0' && *at <= '9' && at - text < UNIT_DIGITS_MAX; at++) {
		number->part = number->part * 10 + (uint64_t)(*at - '0');
		number->over *= 10;
	}
	return at == text ? NULL : at;
}

static enum unit_result
unit_apply(const struct unit_number *number, uint64_t scale, uint64_t *value)
{
	uint64_t common = unit_gcd(number->over, number->part);

	if (scale % (number->over / common) != 0)
		return UNIT_WRONG;
	if (number->too_large || __builtin_mul_overflow(number->whole, scale, value) ||
	    __builtin_add_overflow(
		*value, number->part / common * (scale / (number->over / common)), value))
		return UNIT_TOO_LARGE;
	return UNIT_OK;
}

enum unit_result
unit_parse(enum unit unit, const char *text, uint64_t *value)
{
	const struct unit_scale *row = unit == UNIT_DURATION ? unit_durations : unit_sizes;
	struct unit_number number;
	const char *end = unit_scan(text, unit != UNIT_COUNT, &number);

	if (end == NULL)
		return UNIT_WRONG;
	if (*end == '\0') {
		if (unit == UNIT_COUNT || (number.whole == 0 && number.part == 0))
			return unit_apply(&number, 1, value);
		*value = number.whole;
		return UNIT_MISSING;
	}
	if (unit == UNIT_COUNT)
		return UNIT_WRONG;
	for (; row->name != NULL; row++)
		if (strcmp(row->name, end) == 0)
			return unit_apply(&number, row->scale, value);
	return UNIT_WRONG;
}

/* Less than a millisecond is written as decimals of one. */
static const char *
unit_format_rest(uint64_t value, char text[UNIT_TEXT_MAX])
{
	size_t length;

	snprintf(text, UNIT_TEXT_MAX, "%" PRIu64 ".%06" PRIu64, value / CLOCK_MS, value % CLOCK_MS);
	length = strlen(text);
	while (text[length - 1] == '0')
		length--;
	snprintf(text + length, UNIT_TEXT_MAX - length, "ms");
	return text;
}

const char *
unit_format(enum unit unit, uint64_t value, char text[UNIT_TEXT_MAX])
{
	const struct unit_scale *row = unit == UNIT_DURATION ? unit_durations : unit_sizes;

	if (unit == UNIT_COUNT || value == 0) {
		snprintf(text, UNIT_TEXT_MAX, "%" PRIu64, value);
		return text;
	}
	for (; row->name != NULL; row++) {
		if (value % row->scale == 0) {
			snprintf(
			    text, UNIT_TEXT_MAX, "%" PRIu64 "%s", value / row->scale, row->name);
			return text;
		}
	}
	return unit_format_rest(value, text);
}
