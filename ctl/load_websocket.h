/*
 * What a WebSocket server says behind its handshake, in a byte stream, as pure functions. Strict
 * (RFC 6455): masked frames, reserved bits, lengths in more bytes than needed are none.
 */
#ifndef CTL_LOAD_WEBSOCKET_H
#define CTL_LOAD_WEBSOCKET_H

#include "ctl/websocket.h"

#include <stdbool.h>
#include <stddef.h>

enum load_websocket_found {
	LOAD_WEBSOCKET_MORE,    /* nothing whole yet */
	LOAD_WEBSOCKET_MESSAGE, /* a message */
	LOAD_WEBSOCKET_CONTROL, /* a ping, a pong or a Close */
	LOAD_WEBSOCKET_BAD      /* no frame; where the next one would begin cannot be known */
};

/* How far an unfinished message was read; all zero is a new one. */
struct load_websocket {
	size_t at;     /* where the next frame begins, from the first one of the message */
	size_t length; /* bytes of the message in the frames before */
	enum websocket_opcode opcode; /* of the message, while `begun` */
	bool begun;                   /* it has a frame already */
};

struct load_websocket_part {
	enum websocket_opcode opcode; /* text or binary; close, ping or pong */
	char *data;                   /* borrows from the input; a Close's reason */
	size_t length;                /* bytes of it */
	size_t used;                  /* bytes of the input; 0: a ping or pong within a message */
	unsigned code;                /* of a Close; WEBSOCKET_NO_CODE if it has none */
	const char *why;              /* LOAD_WEBSOCKET_BAD: what is wrong; static */
};

/*
 * Looks at the start of `data`, behind all that was used before. While it says
 * LOAD_WEBSOCKET_MORE, call it again with the same bytes and more behind them; after a control
 * frame within a message, which takes no bytes, with the same ones. `max`: bytes of a message. The
 * parts of a whole message are pushed together, in `data`. Whether a text is UTF-8 is not looked
 * at.
 */
enum load_websocket_found load_websocket_find(struct load_websocket *state, char *data,
    size_t length, size_t max, struct load_websocket_part *part);

#endif
