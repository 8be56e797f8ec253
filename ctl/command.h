/*
 * What every verb of hostlerctl has in common: the options of the command line, asking the daemon,
 * printing the reply as JSON, and the exit codes.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "ctl/reply.h"

#include <stdbool.h>
#include <stdint.h>

/* Exit codes: a contract with scripts. */
enum command_exit {
	COMMAND_OK,
	COMMAND_REFUSED,    /* the daemon said no, or what it said was not understood */
	COMMAND_USAGE,      /* the command line is wrong, or several daemons were meant */
	COMMAND_UNREACHABLE /* no daemon, or it did not answer in time */
};

/* The command line, as far as it is common to all verbs. */
struct command_line {
	const char *socket; /* borrows; of --socket, or NULL */
	bool wants_json;
	uint64_t timeout;   /* ns for the whole exchange */
	unsigned width;     /* columns of a table */
	uint64_t watch;     /* ns between two looks; 0 for one look */
	char *const *words; /* borrows; what stands behind the verb */
	unsigned word_count;
};

/*
 * Asks for `verb` and checks the reply. On COMMAND_OK the caller owns *reply; anything else has
 * been told on standard error and is the exit code.
 */
enum command_exit command_ask(const struct command_line *line, const char *verb,
    const struct reply_field *fields, json_t **reply);

/* Prints the whole reply, indented. */
void command_print_json(const json_t *reply);

/* Tells `text` on standard error; lines of it after the first are kept apart. */
void command_complain(const char *text);

#endif
