/*
 * Sec-WebSocket-Extensions (RFC 6455, 9.1), of which one is known: permessage-deflate (RFC 7692).
 * And lists in fields that may be there more than once, of which this is one. Pure.
 */
#ifndef WORKERS_WS_EXTENSIONS_H
#define WORKERS_WS_EXTENSIONS_H

#include "common/buf.h"
#include "workers/http.h"

/* The elements between the commas of all fields of a name, one after another. */
struct ws_list {
	const struct http_request *request; /* borrows */
	const char *data;                   /* borrows */
	const char *name;                   /* borrows; in lower case */
	unsigned field;                     /* the next one to look at */
	struct http_span rest;              /* of the one at hand */
	bool is_open;                       /* there is one at hand */
};

struct ws_list ws_list_of(const struct http_request *request, const char *data, const char *name);
/* False at the end. No element is empty, none has white space around it. */
bool ws_list_next(struct ws_list *list, struct http_span *element);

struct ws_extensions {
	unsigned bits;  /* of the window that messages are packed with; 0: they are not */
	bool asks_bits; /* the client asked for that, and is to be told so */
};

/*
 * What of the client's offers is taken: the first that can be, where `deflate` allows it. False
 * where the field is not one as it should be.
 */
bool ws_extensions_read(struct ws_extensions *extensions, const struct http_request *request,
    const char *data, bool deflate);
/* Appends the field that tells it, with its line end; nothing where nothing was agreed on. */
void ws_extensions_write(struct buf *fields, const struct ws_extensions *extensions);

#endif
