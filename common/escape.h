/* Bytes from anywhere, made fit to be shown: one line, and nothing that a terminal obeys. */
#ifndef COMMON_ESCAPE_H
#define COMMON_ESCAPE_H

#include <stddef.h>

#define ESCAPE_MOST      4 /* bytes that one byte may become */
#define ESCAPE_JSON_MOST 6 /* in a JSON string */

/*
 * Writes `length` bytes of `text` to `to`, which has room for ESCAPE_MOST times as many, and
 * returns how many were written; no NUL is added. Control characters (also U+0080 to U+009F) and
 * bytes that are not UTF-8 become \xNN; everything else stays as it is.
 */
size_t escape_text(char *to, const char *text, size_t length);

/*
 * The same for what stands between the quotes of a JSON string (RFC 8259, section 7); `to` has room
 * for ESCAPE_JSON_MOST times as many. Control characters become \uNNNN; a NUL, and a byte that is
 * not UTF-8, become the four characters \xNN, which a reader gets to see as in escape_text().
 */
size_t escape_json(char *to, const char *text, size_t length);

#endif
