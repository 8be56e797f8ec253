/*
 * Takes a command or an environment apart into words, and puts words together again.
 *
 * There is no shell here: nothing is expanded, nothing is looked up. Owns nothing after a call but
 * what it returns.
 */
#include "common/words.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char words_blanks[] = " \t\r\n\v\f";

/* A word while it is collected. */
struct words_word {
	char *text; /* borrows: room for the rest of the whole input */
	size_t length;
};

static void
words_put(struct words_word *word, char c)
{
	word->text[word->length++] = c;
}

/* Outside of quotes: `at` stands on the backslash. Returns the place of the last byte used. */
static const char *
words_escape(struct words_word *word, const char *at)
{
	switch (at[1]) {
	case '\0':
		return NULL;
	case 'n':
		words_put(word, '\n');
		break;
	case 'r':
		words_put(word, '\r');
		break;
	case 't':
		words_put(word, '\t');
		break;
	default:
		words_put(word, at[1]);
	}
	return at + 1;
}

/* `at` stands on the opening quote. Returns the place of the closing one, NULL if there is none. */
static const char *
words_quoted(struct words_word *word, const char *at)
{
	char quote = *at++;

	for (; *at != '\0' && *at != quote; at++) {
		if (quote == '"' && *at == '\\' && at[1] != '\0' && strchr("\"\\;", at[1]) != NULL)
			at++;
		words_put(word, *at);
	}
	return *at == quote ? at : NULL;
}

/* One word from `at`, which stands on its first byte. Returns where it ends, NULL on an error. */
static const char *
words_take(struct words_word *word, const char *at, char *why, size_t why_size)
{
	if (*at == '#') {
		snprintf(why, why_size,
		    "a word begins with #: comments stand on lines of their own, and a # that is "
		    "meant wants quotes");
		return NULL;
	}
	for (; *at != '\0' && strchr(words_blanks, *at) == NULL; at++) {
		char quote = *at;

		if (quote == '\'' || quote == '"') {
			at = words_quoted(word, at);
			if (at == NULL) {
				snprintf(why, why_size, "a quote (%c) is never closed", quote);
				return NULL;
			}
		} else if (quote == '\\') {
			at = words_escape(word, at);
			if (at == NULL) {
				snprintf(why, why_size, "nothing follows the last backslash");
				return NULL;
			}
		} else {
			words_put(word, *at);
		}
	}
	return at;
}

char **
words_split(const char *text, char *why, size_t why_size)
{
	char *scratch = mem_alloc(strlen(text) + 1, 1);
	char **words = mem_alloc(1, sizeof(*words));
	size_t count = 0;
	const char *at = text + strspn(text, words_blanks);

	while (*at != '\0') {
		struct words_word word = {.text = scratch};

		at = words_take(&word, at, why, why_size);
		if (at == NULL) {
			free(scratch);
			words_free(words);
			return NULL;
		}
		words = mem_resize(words, count + 2, sizeof(*words));
		words[count++] = mem_strndup(scratch, word.length);
		words[count] = NULL;
		at += strspn(at, words_blanks);
	}
	free(scratch);
	return words;
}

void
words_free(char **words)
{
	if (words == NULL)
		return;
	for (char **word = words; *word != NULL; word++)
		free(*word);
	free(words);
}

static bool
words_is_plain(const char *word)
{
	return *word != '\0' && *word != '#' && strpbrk(word, "'\"\\; \t\r\n\v\f") == NULL;
}

static void
words_print(FILE *out, const char *word)
{
	if (words_is_plain(word)) {
		fputs(word, out);
		return;
	}
	putc('"', out);
	for (; *word != '\0'; word++) {
		if (*word == '\n') {
			fputs("\"\\n\"", out);
			continue;
		}
		if (strchr("\"\\;", *word) != NULL)
			putc('\\', out);
		putc(*word, out);
	}
	putc('"', out);
}

char *
words_join(char *const *words)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		fatal("cannot format a text");
	for (char *const *word = words; *word != NULL; word++) {
		if (word != words)
			putc(' ', out);
		words_print(out, *word);
	}
	fclose(out);
	return text;
}
