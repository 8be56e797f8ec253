/*
 * What every verb of hostlerctl has in common: the options of the command line, asking the daemon,
 * printing the reply as JSON, and the exit codes.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "ctl/reply.h"

#include <stdbool.h>
#include <stdint.h>

struct client_question;

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
	bool is_dry, is_quick; /* --dry-run, --quick */
	bool is_now;           /* --now */
	uint64_t timeout;      /* ns for the whole exchange, unless the question has its own */
	unsigned width;        /* columns of a table */
	const char *binary;    /* borrows; of --binary, or NULL */
	uint64_t watch;        /* ns between two looks; 0 for one look */
	char *const *words;    /* borrows; what follows the verb */
	unsigned word_count;
};

/* A request, and what its reply must look like. */
struct command_question {
	json_t *request; /* taken over */
	const struct reply_field *fields;
	uint64_t timeout; /* ns; 0: that of the command line */
	/* Called once when there is no reply after a second: says why. NULL: nothing is said. */
	void (*on_slow)(const struct client_question *question);
};

/*
 * Asks for `verb` and checks the reply. On COMMAND_OK the caller owns *reply; anything else has
 * been told on standard error and is the exit code.
 */
enum command_exit command_ask(const struct command_line *line, const char *verb,
    const struct reply_field *fields, json_t **reply);

/* The same with more than a verb. */
enum command_exit command_question(
    const struct command_line *line, const struct command_question *question, json_t **reply);

/* Asks, and prints the reply: as JSON where that is wanted, else by `print`. */
enum command_exit command_run(const struct command_line *line,
    const struct command_question *question,
    void (*print)(const struct command_line *line, const json_t *reply));
/* The same for a verb without arguments. */
enum command_exit command_show(const struct command_line *line, const char *verb,
    const struct reply_field *fields,
    void (*print)(const struct command_line *line, const json_t *reply));

/* Reads a word that is a whole number, 0 to UINT32_MAX, and nothing else; false for another. */
bool command_read_count(const char *word, uint32_t *count);
/* Prints the whole reply, indented. */
void command_print_json(const json_t *reply);

/*
 * What the daemon at `path` is just doing with an order, "reload" or "upgrade": the state in its
 * status, asked on another connection and to be freed. NULL when it does not say.
 */
char *command_ask_state(const char *path, const char *order);

/* Tells `text` on standard error; lines of it after the first are kept apart. */
void command_complain(const char *text);

#endif
