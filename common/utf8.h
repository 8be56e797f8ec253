/* UTF-8 as RFC 3629 has it: shortest forms, no surrogates, nothing beyond U+10FFFF. Pure. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes the first character has, 1 to 4; 0 when there is none, or not all of it. */
size_t utf8_size(const char *text, size_t length);
/* Whether all of it is UTF-8. */
bool utf8_is_valid(const char *text, size_t length);

/* Text that comes in pieces: where in a character it is. Zeroed memory is its beginning. */
struct utf8 {
	uint8_t more;      /* bytes that the character still needs; 0: it is whole */
	uint8_t low, high; /* what the next one of them may be */
};

/* False from the first byte on that no continuation could make good; nothing may follow then. */
bool utf8_feed(struct utf8 *utf8, const char *text, size_t length);

#endif
