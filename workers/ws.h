/*
 * WebSocket (RFC 6455) from the client's side: bytes that come as they like become messages and
 * control frames. Pure: it knows neither a connection nor a service.
 *
 * Bytes are used up as they come; what is kept of them is what `struct ws` has, and only in the
 * middle of a message. It grows by what has come, never by what was declared.
 */
#ifndef WORKERS_WS_H
#define WORKERS_WS_H

#include "common/buf.h"
#include "common/utf8.h"
#include "workers/ws_frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 6455, 7.4.1, and the IANA's list: what a Close says. */
enum ws_code {
	WS_CODE_NONE = 0, /* a Close without a code */
	WS_CODE_NORMAL = 1000,
	WS_CODE_GOING_AWAY = 1001,
	WS_CODE_PROTOCOL = 1002,
	WS_CODE_NOT_UTF8 = 1007,
	WS_CODE_POLICY = 1008, /* a message took too long to send, or there were too many */
	WS_CODE_TOO_LARGE = 1009,
	WS_CODE_FAILED = 1011,
	WS_CODE_BUSY = 1013
};

/* What is known in the middle of a message. Zeroed memory is between two of them. */
struct ws {
	struct buf message;  /* owns; what came of it, without frames and masks */
	uint64_t left;       /* bytes of the frame at hand that are still to come */
	struct utf8 text;    /* of a text that is not compressed */
	uint8_t key[WS_KEY]; /* for the next byte of that frame */
	uint8_t opcode;      /* of the message: WS_TEXT or WS_BINARY; 0 between two */
	bool is_compressed;
	bool is_last; /* the frame at hand ends the message */
};

struct ws_limits {
	size_t message;   /* bytes */
	bool compression; /* was agreed on */
};

enum ws_kind {
	WS_FOUND_NOTHING, /* more bytes are needed */
	WS_FOUND_MESSAGE,
	WS_FOUND_PING,
	WS_FOUND_PONG,
	WS_FOUND_CLOSE,
	WS_FOUND_BAD /* `code` says why; whatever follows has no meaning */
};

struct ws_found {
	const char *data; /* borrows, until the next call; of a message, or a Ping's payload */
	size_t length;
	bool is_text, is_compressed; /* the message; a compressed text was not looked at */
	unsigned code;               /* of a Close; WS_CODE_NONE for one without */
};

/*
 * Takes bytes up to the end of the next message or control frame. *used says how many; with
 * WS_FOUND_NOTHING the others are to be given again, with more behind them.
 */
enum ws_kind ws_take(struct ws *ws, const struct ws_limits *limits, const char *data, size_t length,
    size_t *used, struct ws_found *found);
/* Whether there is something to keep. */
static inline bool
ws_is_unfinished(const struct ws *ws)
{
	return ws->opcode != 0;
}
/* Behind every message that was found, once it is not needed any more. */
void ws_reset(struct ws *ws);

/* Whether a Close may carry that code (7.4). */
bool ws_is_code(unsigned code);

/* For another worker: what is kept, as bytes; and from those. False where they make no sense. */
#define WS_VERSION 1 /* of these bytes */
void ws_freeze(const struct ws *ws, struct buf *state);
bool ws_thaw(struct ws *ws, const char *state, size_t length);

#endif
