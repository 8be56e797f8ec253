/* Base64 of RFC 4648, section 4: the common alphabet, with its padding. Pure. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the text for so many bytes of data. */
#define BASE64_LENGTH(length) (((length) + 2) / 3 * 4)

/* Writes BASE64_LENGTH(length) bytes; no NUL is added. */
void base64_encode(char *to, const void *data, size_t length);
/*
 * Writes at most length / 4 * 3 bytes; *made says how many. False where it is not base64 to the
 * letter: another character, a length that is no multiple of four, a padding that is not needed or
 * hides bits.
 */
bool base64_decode(char *to, size_t *made, const char *text, size_t length);

#endif
