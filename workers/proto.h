/*
 * A protocol: bytes to requests and replies to bytes. One const instance per proto_NAME.c; the
 * table comes from common/kinds.h. A protocol never knows a handler: they meet in req.h.
 */
#ifndef WORKERS_PROTO_H
#define WORKERS_PROTO_H

#include "common/codec.h"
#include "common/kinds.h"

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct req;
enum outcome;

struct proto {
	/*
	 * Takes whole messages from the front of the input and submits each, as long as
	 * conn_may_take() says yes. Returns how many bytes it used.
	 */
	size_t (*input)(struct conn *conn, const char *data, size_t length);
	/* The client will send no more; this is what is left and no whole message. */
	void (*end)(struct conn *conn, const char *data, size_t length);
	/* Writes a reply. False when it cannot be carried; then nothing was written. */
	bool (*reply)(struct conn *conn, const struct req *req, const char *data, size_t length);
	/* Says why there is no reply, in the protocol's own tongue. */
	void (*refuse)(struct conn *conn, const struct req *req, enum outcome outcome);
};

const struct proto *proto_find(enum protocol_kind kind);

/* What line and frame share. */
size_t proto_input_messages(struct conn *conn, enum codec codec, const char *data, size_t length);
void proto_write_message(
    struct conn *conn, enum codec codec, bool with_cr, const char *data, size_t length);
void proto_refuse_message(
    struct conn *conn, enum codec codec, const struct req *req, enum outcome outcome);

#endif
