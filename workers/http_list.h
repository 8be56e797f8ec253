/*
 * Lists in header fields (RFC 9110, 5.6.1): what stands between commas, and what stands within that
 * between semicolons. Pure.
 */
#ifndef WORKERS_HTTP_LIST_H
#define WORKERS_HTTP_LIST_H

#include "workers/http.h"

#include <stdbool.h>

/* Without the white space at both ends. */
struct http_span http_list_trim(const char *data, struct http_span span);
/*
 * What stands in front of that character outside of quotes, trimmed; *rest is behind it. *more is
 * whether it was there; NULL where nobody wants to know.
 */
struct http_span http_list_cut(const char *data, struct http_span *rest, char until, bool *more);

/* The elements between the commas of all fields of a name, one after another. */
struct http_list {
	const struct http_request *request; /* borrows */
	const char *data;                   /* borrows */
	const char *name;                   /* borrows; in lower case */
	unsigned field;                     /* the next one to look at */
	struct http_span rest;              /* of the one at hand */
	bool is_open;                       /* there is one at hand */
};

struct http_list http_list_of(
    const struct http_request *request, const char *data, const char *name);
/* False at the end. No element is empty, none has white space around it. */
bool http_list_next(struct http_list *list, struct http_span *element);

#endif
