/*
 * One frame of WebSocket (RFC 6455, 5.2): its head, and its payload where that is short and all
 * there. wslay's frame layer reads it, by one context for the whole process, so nothing is kept for
 * a connection here. Which frame may follow which is ws.c's.
 */
#ifndef WORKERS_WS_FRAME_H
#define WORKERS_WS_FRAME_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_FRAME_HEAD_MAX 10  /* bytes of one that we write: it has no mask */
#define WS_CONTROL_MAX    125 /* bytes of a control frame's payload */
#define WS_KEY            4   /* bytes of a mask */

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10
};

struct ws_frame {
	uint8_t opcode;
	bool is_last;        /* of its message */
	bool is_masked;      /* as all that come from a client must be */
	bool is_compressed;  /* the first reserved bit */
	bool is_reserved;    /* one of the other two */
	uint64_t length;     /* of the payload, as declared */
	const char *data;    /* borrows, until the next call: the payload, without its mask */
	size_t got;          /* bytes of it: all or none */
	size_t used;         /* bytes of the input: the head and that payload */
	uint8_t key[WS_KEY]; /* for the payload from its first byte on */
};

enum ws_frame_read {
	WS_FRAME_MORE, /* its head is not whole */
	WS_FRAME_READ,
	WS_FRAME_BAD /* a length in too many bytes, or a control frame that is long or no last one
		      */
};

/* Reads the frame that begins with the first byte. */
enum ws_frame_read ws_frame_read(struct ws_frame *frame, const char *data, size_t length);

/* Takes the mask from bytes; `to` may be `from`. Turns the key for those that follow. */
void ws_frame_unmask(char *to, const char *from, size_t length, uint8_t key[WS_KEY]);

/* Appends a whole frame, as a server sends it: without a mask. */
void ws_frame_write(
    struct buf *out, enum ws_opcode opcode, bool is_compressed, const char *data, size_t length);
/*
 * A Close with that code, and a reason of a few words (UTF-8, empty for none); with nothing at all
 * where the code is 0.
 */
void ws_frame_write_close(struct buf *out, unsigned code, const char *reason);

#endif
