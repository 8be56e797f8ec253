/*
 * What may stand in header fields, going out and coming in, and the fields by which a client wishes
 * for more than an answer: X-Request-Id, X-Timeout, and the Origin of a page. Pure, but for the
 * numbers of requests.
 */
#ifndef WORKERS_HTTP_FIELDS_H
#define WORKERS_HTTP_FIELDS_H

#include "common/buf.h"
#include "workers/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_ID_MAX 128 /* characters of an X-Request-Id */

/* RFC 9110, 5.6.2: a token, as the name of a field must be. */
bool http_is_token(const char *text, size_t length);
/* RFC 9110, 5.5: no control character but the tab. */
bool http_is_value(const char *text, size_t length);

/*
 * %41, and with `plus` a + for a space; what is no such code stays as it is. `to` has room for
 * `length` bytes. Returns how many it wrote.
 */
size_t http_decode(char *to, const char *from, size_t length, bool plus);

/* What the fields of a request wish for. */
struct http_wish {
	char id[HTTP_ID_MAX + 1]; /* its X-Request-Id; empty without a good one */
	uint64_t time;            /* X-Timeout, ns; 0: none */
	struct http_span origin;  /* of the page that asks; empty: none */
	struct http_span method;  /* Access-Control-Request-Method; likewise */
	struct http_span fields;  /* Access-Control-Request-Headers; likewise */
};

/* False where X-Timeout is no number of seconds above 0, or is there twice. */
bool http_wish_read(struct http_wish *wish, const struct http_request *request, const char *data);

/* Writes an id that no other request has, in whatever worker and whenever. */
void http_make_id(char id[HTTP_ID_MAX + 1]);

/* Whether a request is a browser's question whether another one may follow. */
bool http_is_preflight(const struct http_request *request, const struct http_wish *wish);
/*
 * The fields of the reply that tell a browser which pages may read it; `origins` is the option's
 * text. Appends nothing where they are none. With `preflight` the answer to that.
 */
void http_allow_origin(struct buf *fields, const char *origins, const struct http_wish *wish,
    const char *data, bool preflight);

#endif
