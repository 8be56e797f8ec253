/* The table of hostlerctl's verbs: a new one is one file and one row. */
#ifndef CTL_VERB_H
#define CTL_VERB_H

#include "ctl/command.h"

#include <stdbool.h>
#include <stddef.h>

/* Options that only some verbs have: bits. */
#define VERB_DRY_RUN 1u
#define VERB_QUICK   2u
#define VERB_WATCH   4u
#define VERB_NOW     8u
#define VERB_BINARY  16u

struct verb {
	const char *name;
	const char *synopsis; /* behind the name; "" where nothing follows */
	const char *summary;  /* one line of --help */
	const char *help;     /* behind the usage line; ends with examples */
	unsigned options;     /* bits of those above */
	unsigned words_min, words_max;
	enum command_exit (*run)(const struct command_line *line);
};

/* The row of a name, or NULL. */
const struct verb *verb_find(const char *name);
/* Whether `word` is near enough to be a slip of a command or an option. */
bool verb_is_near(const char *word, const char *name);
/* The rows in the order of --help, then NULL. */
const struct verb *verb_at(size_t index);

#endif
