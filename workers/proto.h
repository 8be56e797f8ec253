/*
 * A protocol: bytes to requests and replies to bytes. One const instance per proto_NAME.c, or one
 * for each variant; the table comes from common/kinds.h. A protocol never knows a handler: they
 * meet in req.h.
 */
#ifndef WORKERS_PROTO_H
#define WORKERS_PROTO_H

#include "common/buf.h"
#include "common/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_service;
struct conn;
struct http_request;
struct req;
enum outcome;

struct proto {
	const char *name; /* of this variant: a connection moves only between the same */
	/*
	 * Takes whole messages from the front of the input and submits each, as long as
	 * conn_may_take() says yes. Returns how many bytes it used.
	 */
	size_t (*input)(struct conn *conn, const char *data, size_t length);
	/*
	 * Whether that request for a service makes a connection of HTTP one of this protocol: 101,
	 * or the status that it is refused with. Appends fields of the reply; *become is the
	 * variant. NULL where nothing becomes one.
	 */
	unsigned (*upgrade)(const struct conf_service *conf, const struct http_request *request,
	    const char *data, struct buf *fields, const struct proto **become);
	/* The variant of that name of what connections become; NULL for none. NULL as upgrade. */
	const struct proto *(*named)(const char *name);
	/* The client will send no more; this is what is left and no whole message. */
	void (*end)(struct conn *conn, const char *data, size_t length);
	/* Writes a reply. False when it cannot be carried; then nothing was written. */
	bool (*reply)(struct conn *conn, const struct req *req, const char *data, size_t length);
	/*
	 * Writes some of a reply; req->said tells whether it is the first. Then reply() is its end,
	 * without data, and refuse() tells that there is none. NULL where replies come whole.
	 */
	void (*part)(struct conn *conn, const struct req *req, const char *data, size_t length);
	/* Says why there is no reply, in the protocol's own tongue. */
	void (*refuse)(struct conn *conn, const struct req *req, enum outcome outcome);
	/*
	 * No more is taken, and all is answered: what is said in the end, before the last write.
	 * Called once. NULL for nothing.
	 */
	void (*bye)(struct conn *conn);
	/* Asks a client that was silent whether it is there. NULL where there is no such question.
	 */
	void (*ping)(struct conn *conn);
	/* The tag of the message of which this is the beginning; NULL where it is always 0. */
	uint32_t (*peek)(const char *data, size_t length);
	/* Replies tell what they answer: each is written as soon as it is there. */
	bool any_order;
	/* A reply that it cannot carry is OUTCOME_FAILED, the handler's fault; else OUTCOME_BAD. */
	bool blames;
	/* There are too many of its address: says so. NULL: it is closed without a word. */
	void (*turn_away)(struct conn *conn);
	/* Releases conn->busy->state: the connection closes. NULL where nothing is kept there. */
	void (*drop)(struct conn *conn);

	/*
	 * For a connection that moves to another worker: what the protocol keeps in conn->busy
	 * beside input and output goes into `state`, and from there back, `in` being in place.
	 * Nothing is under way then. False when the bytes make no sense: the connection is closed.
	 * `version` is that of the bytes. NULL where a connection cannot move: it drains.
	 */
	void (*freeze)(const struct conn *conn, struct buf *state);
	bool (*thaw)(struct conn *conn, const char *state, size_t length);
	uint32_t version;
};

/* The protocol of a service, in the variant that its other options ask for. */
const struct proto *proto_find(const struct conf_service *conf);

/* The variant of that name, where a connection of the service may speak it; else NULL. */
const struct proto *proto_named(const struct conf_service *conf, const char *name);

/* Tells the client that what it is in the middle of sending will not be taken. */
void proto_refuse_rest(struct conn *conn, enum outcome outcome);

/* What line and frame share. */
size_t proto_input_messages(struct conn *conn, enum codec codec, const char *data, size_t length);
void proto_write_message(
    struct conn *conn, enum codec codec, bool with_cr, const char *data, size_t length);
void proto_freeze_messages(const struct conn *conn, struct buf *state);
bool proto_thaw_messages(struct conn *conn, const char *state, size_t length);
#define PROTO_MESSAGES_VERSION 1 /* of these bytes */
void proto_refuse_message(
    struct conn *conn, enum codec codec, const struct req *req, enum outcome outcome);

#endif
