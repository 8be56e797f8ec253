/*
 * message = json: a request as one JSON object on one line, and the object that a program replies
 * with. docs/http-json.md has both. Pure.
 */
#ifndef WORKERS_HTTP_JSON_H
#define WORKERS_HTTP_JSON_H

#include "common/buf.h"
#include "workers/http.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Appends the object of a whole request. `peer` is the client's address. */
void http_json_write(struct buf *to, const struct http_request *request, const char *data,
    const char *peer, const char *id);

#define HTTP_ANSWER_WHY_MAX 160

/* What a program replied. */
struct http_answer {
	unsigned status;
	const char *type; /* Content-Type; borrows; NULL where it named none */
	const char *body; /* borrows the reply or what is below */
	size_t length;
	struct buf fields; /* owns; lines of other fields, with a NUL behind; may be empty */
	bool names_server; /* Server is one of them */

	json_t *object; /* owns; NULL for plain text */
	char *decoded;  /* owns; of body_base64 */
};

/*
 * Reads and checks a reply. Anything but an object is plain text, status 200. False where an object
 * cannot be sent on: then `why` is a clause that says so. Free the answer in any case. `has_cors`:
 * who may read the reply is told by us.
 */
bool http_answer_read(struct http_answer *answer, const char *data, size_t length, bool has_cors,
    char why[HTTP_ANSWER_WHY_MAX]);
void http_answer_free(struct http_answer *answer);

#endif
