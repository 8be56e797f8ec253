/*
 * One question to a daemon over its control socket: a line of JSON there, a line of JSON back.
 *
 * The reply is bounded in time and size; what it says is not judged here, only that it is one JSON
 * object without duplicate keys.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#define CLIENT_REPLY_MAX (16u << 20) /* bytes of a reply with its LF */

enum client_result {
	CLIENT_OK,
	CLIENT_UNREACHABLE, /* nobody there, or gone without a word */
	CLIENT_TIMEOUT,     /* no whole reply in time */
	CLIENT_NONSENSE     /* something else than one JSON object on a line */
};

/* A question. All is borrowed for the call. */
struct client_question {
	const char *path; /* of the socket */
	const json_t *request;
	uint64_t timeout; /* ns in all */
	/* Called once when there is no reply after `patience` ns; NULL: never. */
	void (*on_slow)(const struct client_question *question);
	uint64_t patience;
};

/*
 * Asks and waits. On CLIENT_OK the caller owns *reply, an object; otherwise *why, a sentence to be
 * freed.
 */
enum client_result client_ask(const struct client_question *question, json_t **reply, char **why);

#endif
