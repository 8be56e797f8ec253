/*
 * The WebSocket exchanges of tests/websockets.txt, which tells how they are written, and frames as
 * a client writes them and as a server may.
 */
#ifndef TESTS_UNIT_WEBSOCKETS_H
#define TESTS_UNIT_WEBSOCKETS_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define WEBSOCKETS_MAX        800
#define WEBSOCKETS_ANSWER_MAX 16

/* The services, by index, and how one speaks of them in the table. */
#define WEBSOCKETS_SERVICE(name, port, rest)                                                       \
	"[service " name "]\nlisten=127.0.0.1:" port "\nprotocol=websocket\nhandler=echo\n"        \
	"pipeline=4\nmax_target=100B\nmax_head=2000B\n" rest
#define WEBSOCKETS_CONF                                                                            \
	WEBSOCKETS_SERVICE("echo", "1", "max_message=1000B\n")                                     \
	WEBSOCKETS_SERVICE("big", "2", "max_message=64K\n")                                        \
	WEBSOCKETS_SERVICE("deflate", "3", "max_message=1000B\ndeflate=yes\n")                     \
	WEBSOCKETS_SERVICE("rules", "4",                                                           \
	    "max_message=1000B\norigins=http://good.example https://good.example:8443\n"           \
	    "subprotocols=chat superchat\n")                                                       \
	"[service web]\nlisten=127.0.0.1:1\nprotocol=http\nhandler=echo\npath=/web\n"
#define WEBSOCKETS_SERVICES                                                                        \
	{                                                                                          \
		"echo", "big", "deflate", "rules"                                                  \
	}

enum websocket_kind {
	WEBSOCKET_CONT = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BIN = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10
};

struct websocket_answer {
	bool may_miss;
	bool is_deflated; /* it must be; others may */
	unsigned status;  /* of an HTTP reply; 0: a frame */
	unsigned kind;    /* of a frame */
	unsigned code;    /* of a Close; 0: none */
	struct buf text;  /* owns; of a frame its payload, of a reply the fields it has */
};

struct websocket {
	unsigned line, service;
	struct buf opening; /* owns; a handshake that goes before, if there is one */
	struct buf bytes;   /* owns */
	struct websocket_answer answers[WEBSOCKETS_ANSWER_MAX];
	unsigned answer_count;
	char end; /* '+', '.' or '?' */
};

/* Reads them all, from $srcdir or here; ends the program where one makes no sense. */
unsigned websockets_load(struct websocket list[WEBSOCKETS_MAX]);

/* Appends one frame as the table writes it. */
void websockets_frame(struct buf *to, const char *text);

/* One word of answers. */
void websockets_read_answer(struct websocket_answer *answer, const char *text);

/* A frame of the server's. */
struct websocket_heard {
	unsigned kind;
	bool is_deflated;
	struct buf payload; /* owns; inflated */
};

/*
 * Reads the one at the front. Returns its length, 0 when it is not all there. Ends the program when
 * no server may write it: in pieces, masked, with a length in too many bytes, deflated where that
 * was not agreed on, text that is not UTF-8, a Close that has no sense.
 */
size_t websockets_hear(
    struct websocket_heard *heard, const char *data, size_t length, bool may_deflate);
/* Of a Close; 0 when there is none. */
unsigned websockets_code(const struct websocket_heard *heard);

#endif
