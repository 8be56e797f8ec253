/*
 * Sec-WebSocket-Extensions (RFC 6455, 9.1), of which one is known: permessage-deflate (RFC 7692).
 * Pure.
 */
#ifndef WORKERS_WS_EXTENSIONS_H
#define WORKERS_WS_EXTENSIONS_H

#include "common/buf.h"
#include "workers/http.h"

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
