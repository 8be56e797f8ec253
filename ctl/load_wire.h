/*
 * What a run writes for a request and how it finds the replies: the one place that knows protocols.
 *
 * line, frame: the message in its framing. stream: the message alone; the reply is as many bytes as
 * it, so that nothing can be found behind a wrong one. http: POST of the message to the path, or
 * GET of the path, with the message behind `?` if there is one; a reply is judged by its status and
 * then by its body. websocket: a masked frame, text or binary, and the reply is a message of that
 * kind; what the server says beside the replies is a control frame.
 */
#ifndef CTL_LOAD_WIRE_H
#define CTL_LOAD_WIRE_H

#include "ctl/load_check.h"
#include "ctl/load_http.h"
#include "ctl/load_options.h"
#include "ctl/load_websocket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_wire {
	const struct load_options *options; /* borrows */
	char *before, *after;               /* owns; what stands around each message */
	size_t before_length, after_length; /* bytes */
	bool counted;                       /* http: the message's length stands before it */
	enum websocket_opcode kind;         /* websocket: of every message */
	uint64_t random;                    /* websocket: makes the masks */
	size_t message;                     /* bytes of a message, at most; 0: none is sent */
	size_t request;                     /* bytes of all three, at most */
	size_t largest;                     /* bytes of a reply without its framing, at most */
};

/* How far the present reply of a connection was read; all zero is a new connection. */
struct load_wire_state {
	size_t scanned; /* for codec_find() */
	struct load_http http;
	struct load_websocket websocket;
	char accept[WEBSOCKET_ACCEPT]; /* websocket: what the server has to say to the key */
};

enum load_wire_found {
	LOAD_WIRE_MORE,    /* no whole reply yet */
	LOAD_WIRE_REPLY,   /* one reply */
	LOAD_WIRE_CONTROL, /* websocket: no reply, but `control` */
	LOAD_WIRE_DAMAGED  /* all that is there is none; no reply can be found behind it */
};

struct load_wire_reply {
	const char *shown;             /* borrows from the input; for people */
	size_t shown_length;           /* bytes */
	uint32_t id;                   /* with ids; `data` begins with its status */
	const char *data;              /* borrows from the input; what is checked */
	size_t length;                 /* bytes */
	size_t used;                   /* bytes of the input */
	unsigned status;               /* http: 200 to 599 */
	bool closes;                   /* http: the connection takes no further request */
	const char *why;               /* of a damaged or a wrong one, or NULL; static */
	enum websocket_opcode control; /* of LOAD_WIRE_CONTROL; `data` is what it carries */
	unsigned code;                 /* of a Close */
};

/* Messages are those of `check`, which was opened and told of its texts. */
void load_wire_open(
    struct load_wire *wire, const struct load_options *options, const struct load_check *check);
void load_wire_close(struct load_wire *wire);

/* Bytes of the request that is the present connection's number `index`. */
size_t load_wire_length(const struct load_wire *wire, const struct load_check *check,
    unsigned connection, uint64_t index);
/* Makes that request, the connection's next one, due at `due`. Returns the bytes written. */
size_t load_wire_make(struct load_wire *wire, struct load_check *check, unsigned connection,
    uint64_t index, uint64_t now, uint64_t due, char *to);
/*
 * Looks for a reply at the start of `data`, which grows from call to call until there is one. The
 * bytes of a whole reply may be moved.
 */
enum load_wire_found load_wire_find(const struct load_wire *wire, const struct load_check *check,
    unsigned connection, struct load_wire_state *state, char *data, size_t length,
    struct load_wire_reply *reply);
/* The same at the end of the stream (FIN): LOAD_WIRE_MORE means that nothing had begun. */
enum load_wire_found load_wire_end(const struct load_wire *wire, struct load_wire_state *state,
    char *data, size_t length, struct load_wire_reply *reply);
/*
 * websocket: the same for the reply to the handshake, whose key belongs to `state`:
 * LOAD_WIRE_REPLY with its status.
 */
enum load_wire_found load_wire_find_handshake(
    struct load_wire_state *state, char *data, size_t length, struct load_wire_reply *reply);
/* Books a Close that says why the oldest request has no reply. False if it says no such thing. */
bool load_wire_book_close(struct load_check *check, unsigned connection,
    const struct load_wire_reply *reply, uint64_t now);
/* Books what load_wire_find() or load_wire_end() found; may set `why`. */
enum load_found load_wire_book(const struct load_wire *wire, struct load_check *check,
    unsigned connection, enum load_wire_found found, struct load_wire_reply *reply, uint64_t now);

#endif
