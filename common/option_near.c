/*
 * Which key somebody may have meant who wrote another word. Constant data alone: keeps nothing.
 */
#include "common/option.h"

#include <ctype.h>
#include <string.h>

#define OPTION_WORD_MAX 48 /* bytes of a word worth comparing */

static int
option_fold(char c)
{
	return c == '-' ? '_' : tolower((unsigned char)c);
}

static unsigned
option_least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many single-letter changes make one word of the other; neighbours swapped count as one. */
static unsigned
option_distance(const char *a, size_t length_a, const char *b, size_t length_b)
{
	unsigned rows[3][OPTION_WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= length_b; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= length_a; i++) {
		unsigned *spare = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= length_b; j++) {
			bool same = option_fold(a[i - 1]) == option_fold(b[j - 1]);

			row[j] = option_least(
			    above[j - 1] + !same, option_least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && option_fold(a[i - 1]) == option_fold(b[j - 2]) &&
			    option_fold(a[i - 2]) == option_fold(b[j - 1]))
				row[j] = option_least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[length_b];
}

/* The distance if it is small enough for a slip, else OPTION_WORD_MAX. */
static unsigned
option_slip(const char *text, const char *word)
{
	size_t length_text = strlen(text), length_word = strlen(word);
	unsigned most = length_word < 5 ? 1 : length_word < 10 ? 2 : 3;
	unsigned distance;

	if (length_text > OPTION_WORD_MAX || length_word > OPTION_WORD_MAX)
		return OPTION_WORD_MAX;
	distance = option_distance(text, length_text, word, length_word);
	return distance <= most ? distance : OPTION_WORD_MAX;
}

bool
option_is_near(const char *text, const char *word)
{
	return option_slip(text, word) < OPTION_WORD_MAX;
}

const char *
option_suggest(enum option_scope scope, const char *key)
{
	const char *best = NULL;
	unsigned least = OPTION_WORD_MAX;

	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		unsigned distance;

		if (option->scope != scope)
			continue;
		distance = option_slip(key, option->key);
		if (distance < least) {
			least = distance;
			best = option->key;
		}
	}
	return best;
}
