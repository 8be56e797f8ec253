/*
 * Simple quoting: a text is words between blanks, as in a shell without any of its expansions.
 *
 * 'single quotes' keep everything, "double quotes" keep everything but \" \\ and \; (the character
 * behind the backslash), and outside of quotes a backslash keeps the next character, except that
 * \n, \r and \t are a line feed, a carriage return and a tab. A word that begins with a bare # is
 * refused: it would be meant as a comment, and comments stand on lines of their own.
 */
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

#include <stddef.h>

/*
 * Returns the words, NULL-terminated (no word at all: just the NULL), or NULL after writing a
 * sentence without a full stop to `why`. The caller frees them with words_free().
 */
char **words_split(const char *text, char *why, size_t why_size);
void words_free(char **words);

/*
 * The text that words_split() takes apart into exactly these words. It has no line feed, and no
 * blank before a semicolon, so it can stand in a configuration file. The caller frees it.
 */
char *words_join(char *const *words);

#endif
