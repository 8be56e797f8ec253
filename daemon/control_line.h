/*
 * The control protocol without its sockets: one line in, one line out, now or later. Commands come
 * from tables, so that this knows nothing of the master.
 */
#ifndef DAEMON_CONTROL_LINE_H
#define DAEMON_CONTROL_LINE_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

/*
 * A request that is answered now or later, exactly once. Made by control_client.c; commands only
 * pass it on.
 */
struct control_ask;

enum control_type {
	CONTROL_BOOL,  /* true or false */
	CONTROL_COUNT, /* a whole number, 0 to UINT32_MAX */
	CONTROL_TEXT
};

/* A key of a request beside "command". All are optional as far as this goes. */
struct control_argument {
	const char *name; /* NULL ends the table */
	enum control_type type;
};

/*
 * A command. answer() returns the reply: a new object without "ok", which is put in front, or one
 * of control_error(). Or it returns NULL: it has kept `ask` and calls control_ask_reply() later (or
 * has already), exactly once, whatever happens to the client. `request` is borrowed for the call;
 * it has no keys but those of the table, each of its type.
 */
struct control_command {
	const char *name; /* NULL ends the table */
	json_t *(*answer)(void *arg, const json_t *request, struct control_ask *ask);
	const struct control_argument *arguments; /* NULL for none */
	bool may_wait;                            /* it may keep the ask; else that is NULL */
};

/* {"ok":false,"error":"..."}; keys may be added. Bytes that are not UTF-8 are escaped. */
json_t *control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same object, or control_error() in place of NULL, which jansson returns when it cannot. */
json_t *control_done(json_t *reply);

/*
 * Ends the request with `reply` (taken over; as of answer()) and frees `ask`. The reply is dropped
 * when the client has left meanwhile, or the control socket was closed.
 */
void control_ask_reply(struct control_ask *ask, json_t *reply);

/* Whether root asks, or our own uid. */
bool control_ask_is_ours(const struct control_ask *ask);

/* Where commands are looked for: `tables` ends with NULL. All is borrowed. */
struct control_tables {
	const struct control_command *const *tables;
	void *arg; /* of the commands */
};

/*
 * Answers one request (without its LF). Returns the reply with its LF, which the caller frees, or
 * NULL when the command has kept `ask`. Where `ask` is NULL, what may have to wait is refused.
 * *garbage becomes true when the line was no request at all: then the connection is not worth
 * keeping.
 */
char *control_line_answer(const struct control_tables *tables, struct control_ask *ask,
    const char *line, size_t length, bool *garbage);
/* The text of a reply with its LF; takes the object over. The caller frees the text. */
char *control_line_text(json_t *reply);
/* {"ok":false,"error":"..."} with its LF; the caller frees it. */
char *control_line_error(const char *error);

#endif
