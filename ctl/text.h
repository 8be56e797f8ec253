/* Small texts for people: durations, and foreign text that is safe to show on a terminal. */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdint.h>
#include <stdio.h>

/*
 * A copy that is safe on a terminal: control characters and bytes that are not UTF-8 are written
 * \xNN. The caller frees it.
 */
char *text_clean(const char *text);
/* The same, with everything outside ASCII written \xNN, so that a byte is a column. */
char *text_columns(const char *text);

/*
 * Writes `text` (printable ASCII) on lines of at most `width` columns, each behind `indent` spaces,
 * broken at spaces where there are any.
 */
void text_wrap(FILE *out, const char *text, unsigned indent, unsigned width);

#define TEXT_SIZE_MAX 16 /* bytes of text_size() with its NUL */

/* "999", "1.5K", "10.7M", "123M": bytes in three digits or four. Returns `text`. */
const char *text_size(uint64_t bytes, char text[TEXT_SIZE_MAX]);

#define TEXT_DURATION_MAX 32 /* bytes of text_duration() with its NUL */

/* "0.4s", "7s", "2m 3s", "5h 12m", "3d 4h": the two largest units. Returns `text`. */
const char *text_duration(double seconds, char text[TEXT_DURATION_MAX]);

#endif
