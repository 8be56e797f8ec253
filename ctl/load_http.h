/*
 * Replies of an HTTP/1.1 server to GET in a byte stream, as pure functions. Strict (RFC 9112): what
 * two readers could take for different replies is no reply, and one that is cut short is never a
 * whole one.
 *
 * The end of a body is found by its Content-Length, by its chunks, or by the end of the stream.
 * Interim replies (1xx) before the reply are read over. To the handshake of a WebSocket 101 is a
 * reply, too: what follows it is another protocol.
 */
#ifndef CTL_LOAD_HTTP_H
#define CTL_LOAD_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_HTTP_LINE_MAX 8192  /* bytes of a line of the head or of a chunk, with its CR LF */
#define LOAD_HTTP_HEAD_MAX 65536 /* bytes of a head, with the interim replies before it */

#define LOAD_HTTP_STATUSES 600 /* one more than the largest status */

enum load_http_found {
	LOAD_HTTP_MORE,  /* no whole reply yet */
	LOAD_HTTP_REPLY, /* one reply; `used` bytes belong to it */
	LOAD_HTTP_BAD    /* it is none; where the next one would begin cannot be known */
};

enum load_http_phase {
	LOAD_HTTP_STATUS,   /* reading the status line */
	LOAD_HTTP_FIELDS,   /* header fields, up to the empty line */
	LOAD_HTTP_LENGTH,   /* a body of known length */
	LOAD_HTTP_CLOSE,    /* a body that lasts until the stream ends */
	LOAD_HTTP_SIZE,     /* the line before a chunk */
	LOAD_HTTP_CHUNK,    /* a chunk with its CR LF */
	LOAD_HTTP_TRAILERS, /* fields behind the last chunk, up to the empty line */
	LOAD_HTTP_DONE
};

/* How far an unfinished reply was read; all zero is a new one. Offsets count from its first byte.
 */
struct load_http {
	enum load_http_phase phase;
	size_t at;       /* what is read next: a line, a chunk, the body */
	size_t scanned;  /* no LF between `at` and here */
	size_t body;     /* where the body began */
	size_t length;   /* bytes of the body (known, or chunks so far) */
	size_t chunk;    /* bytes of this chunk */
	unsigned status; /* 100 to 599 */
	unsigned minor;  /* HTTP/1.minor */
	bool has_length, chunked, told_close, told_keep;
	/* The reply is one to a handshake; set by the caller, and forgotten with the reply: */
	const char *accept; /* borrows; WEBSOCKET_ACCEPT bytes; else NULL */
	bool told_upgrade, told_websocket, told_accept;
};

struct load_http_reply {
	unsigned status; /* 200 to 599, or 101 */
	bool closes;     /* the server says that this is the connection's last reply */
	char *body;      /* borrows from the input */
	size_t length;   /* bytes of the body without its chunking */
	size_t used;     /* bytes of the reply with all of its framing */
	const char *why; /* LOAD_HTTP_BAD: what is wrong; static */
};

/*
 * Looks for one reply at the start of `data`. While it says LOAD_HTTP_MORE, call it again with the
 * same bytes and more behind them; otherwise `state` is a new reply's again. `max`: bytes behind
 * the head, with what the chunking takes. The chunks of a whole reply are pushed together, in
 * `data`.
 */
enum load_http_found load_http_find(
    struct load_http *state, char *data, size_t length, size_t max, struct load_http_reply *reply);
/*
 * The stream ended (FIN, not a reset) after these bytes: LOAD_HTTP_REPLY if that is the end of a
 * body without a length, LOAD_HTTP_MORE if there is no byte of a reply, else LOAD_HTTP_BAD.
 */
enum load_http_found load_http_end(
    struct load_http *state, char *data, size_t length, struct load_http_reply *reply);

#endif
