/*
 * What a client of a WebSocket has to know (RFC 6455): opcodes, close codes, the answer to a key,
 * the head of a frame, the mask. Pure.
 */
#ifndef CTL_WEBSOCKET_H
#define CTL_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Section 5.2; from 8 on they are control frames. */
enum websocket_opcode {
	WEBSOCKET_CONTINUATION = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10
};

/* Section 7.4.1 and the registry of IANA. */
enum websocket_code {
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_PROTOCOL_ERROR = 1002,
	WEBSOCKET_UNSUPPORTED = 1003,
	WEBSOCKET_NO_CODE = 1005, /* never sent: the Close had none */
	WEBSOCKET_INVALID = 1007,
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TOO_BIG = 1009,
	WEBSOCKET_INTERNAL = 1011,
	WEBSOCKET_TRY_AGAIN = 1013
};

#define WEBSOCKET_KEY         16  /* bytes of a key before base64 */
#define WEBSOCKET_KEY_TEXT    24  /* bytes of Sec-WebSocket-Key */
#define WEBSOCKET_ACCEPT      28  /* bytes of Sec-WebSocket-Accept */
#define WEBSOCKET_MASK        4   /* bytes */
#define WEBSOCKET_HEAD_MAX    10  /* bytes of a frame's head without its mask */
#define WEBSOCKET_CONTROL_MAX 125 /* bytes that a control frame carries */

/* The answer to a key; no NUL is added. The one part that a build without WebSocket lacks. */
typedef void websocket_answer(const char key[WEBSOCKET_KEY_TEXT], char accept[WEBSOCKET_ACCEPT]);
websocket_answer websocket_accept;

/* Bytes of the head of a frame that carries so many, without its mask. */
size_t websocket_head_length(size_t payload);
/*
 * Writes the head of a last (or only) frame; `masked`: WEBSOCKET_MASK bytes follow that the caller
 * writes. Returns websocket_head_length().
 */
size_t websocket_head(
    enum websocket_opcode opcode, size_t payload, bool masked, char head[WEBSOCKET_HEAD_MAX]);
/* Masks, or unmasks, from the first byte of a payload on. */
void websocket_mask(char *data, size_t length, const char mask[WEBSOCKET_MASK]);

/* Whether a Close may carry the code: section 7.4, and what IANA added. */
bool websocket_is_code(unsigned code);

#endif
