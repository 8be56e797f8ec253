/* UTF-8 as RFC 3629 has it: shortest forms, no surrogates, nothing beyond U+10FFFF. Pure. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes the first character has, 1 to 4; 0 when there is none, or not all of it. */
size_t utf8_size(const char *text, size_t length);
/* Whether all of it is UTF-8. */
bool utf8_is_valid(const char *text, size_t length);

#endif
