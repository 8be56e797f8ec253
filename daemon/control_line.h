/*
 * The control protocol without its sockets: one line in, one line out. Commands come from a table,
 * so that this knows nothing of the master.
 */
#ifndef DAEMON_CONTROL_LINE_H
#define DAEMON_CONTROL_LINE_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

/* Builds the reply of one command: a new object without "ok", which is put in front. */
struct control_command {
	const char *name; /* NULL ends the table */
	json_t *(*build)(void *arg);
};

/*
 * Answers one request (without its LF). Returns the reply with its LF; the caller frees it.
 * *garbage becomes true when the line was no request at all: then the connection is not worth
 * keeping.
 */
char *control_line_answer(const struct control_command *commands, void *arg, const char *line,
    size_t length, bool *garbage);
/* {"ok":false,"error":"..."} with its LF; the caller frees it. */
char *control_line_error(const char *error);

#endif
