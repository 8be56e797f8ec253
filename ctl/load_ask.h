/*
 * One connection on which one request at a time is asked and waited for, with a deadline for each
 * step: for `hostler-load call`. It blocks.
 */
#ifndef CTL_LOAD_ASK_H
#define CTL_LOAD_ASK_H

#include "common/buf.h"
#include "ctl/load_call_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_asked {
	LOAD_ASKED_REPLY,       /* a reply, no error */
	LOAD_ASKED_ERROR,       /* the server said that it could not */
	LOAD_ASKED_BUSY,        /* it said so before it began */
	LOAD_ASKED_UNREACHABLE, /* no connection */
	LOAD_ASKED_UNSENT,      /* the connection ended before a byte of the request had left */
	LOAD_ASKED_LOST         /* no reply; the request may have been executed */
};

struct load_ask {
	const struct load_call_options *options; /* borrows */
	int fd;                                  /* owns; -1: no connection */
	uint32_t id;                             /* of the next request; with ids */
	struct buf in;                           /* what was read */
	/* Of the latest call: */
	const char *reply; /* borrows from `in`, until the next call; NULL: none */
	size_t length;     /* bytes */
	size_t used;       /* bytes of `in` that it takes, with its framing */
	unsigned status;   /* http: 200 to 599; websocket: of the handshake */
	char why[160]; /* why there is no reply, or which error: a sentence without a full stop */
};

void load_ask_open(struct load_ask *ask, const struct load_call_options *options);
void load_ask_close(struct load_ask *ask);
/* Connects if need be, asks and waits. A connection of no further use is closed. */
enum load_asked load_ask(struct load_ask *ask, const char *text, size_t length);

#endif
