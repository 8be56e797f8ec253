/* What a program says to everything it is asked, within bounds of time and memory. */
#ifndef CTL_LOAD_ANSWERS_H
#define CTL_LOAD_ANSWERS_H

#include <stddef.h>

#define LOAD_ANSWERS_BYTES   (256u << 20) /* that it may print */
#define LOAD_ANSWERS_SECONDS 60           /* that it may take */

/*
 * Runs the command (words as in words.h, no shell), writes `length` bytes to its standard input and
 * returns what it prints until it ends, with status 0: `answered` bytes that the caller frees; or
 * NULL after a sentence without a full stop in `why`. The program is killed if it does not end.
 */
char *load_answers(const char *command, const char *bytes, size_t length, size_t *answered,
    char *why, size_t why_size);

#endif
