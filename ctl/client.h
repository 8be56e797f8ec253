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

/*
 * Sends `request` (borrowed) to the socket `path` and waits `timeout` ns in all. On CLIENT_OK the
 * caller owns *reply, an object; otherwise *why, a sentence to be freed.
 */
enum client_result client_ask(
    const char *path, const json_t *request, uint64_t timeout, json_t **reply, char **why);

#endif
