/*
 * websocket: messages of a WebSocket, after the handshake of http. What a message is stands in
 * ws.c, how they are packed in ws_deflate.c; here messages become requests, replies messages of the
 * same kind, and refusals Closes. There is a variant for each window that replies are packed with.
 *
 * The request's tag: whether it is a text, and for a refusal of our own the code.
 */
#include "workers/proto.h"

#include "common/conf.h"
#include "common/mem.h"
#include "workers/conn.h"
#include "workers/req.h"
#include "workers/service.h"
#include "workers/visit.h"
#include "workers/ws.h"
#include "workers/ws_deflate.h"
#include "workers/ws_handshake.h"

#include <stdlib.h>
#include <string.h>

#define PROTO_WEBSOCKET_TEXT      1u
#define PROTO_WEBSOCKET_TAG(code) ((uint32_t)(code) << 16)
#define PROTO_WEBSOCKET_PACK      64   /* bytes of a reply from which on it is packed */
#define PROTO_WEBSOCKET_WORK      4096 /* bytes unpacked that are as much as a message to a turn */

/* What a connection keeps in the middle of a message, and from its first word of an end on. */
struct proto_websocket {
	struct ws ws;
	bool closes;   /* the client said Close, with: */
	unsigned code; /* which is what it is answered with */
	bool closed;   /* we said Close: nothing may follow */
};

extern const struct proto proto_websocket;

/* ---- its state ---- */

static struct proto_websocket *proto_websocket_spare;

static struct proto_websocket *
proto_websocket_open(struct conn *conn)
{
	struct proto_websocket *state = conn->busy->state;

	if (state != NULL)
		return state;
	state = proto_websocket_spare;
	if (state == NULL)
		state = mem_alloc(1, sizeof(*state));
	proto_websocket_spare = NULL;
	conn->busy->state = state;
	return state;
}

static void
proto_websocket_drop(struct conn *conn)
{
	struct proto_websocket *state = conn->busy->state;

	conn->busy->state = NULL;
	ws_reset(&state->ws);
	*state = (struct proto_websocket){0};
	free(proto_websocket_spare);
	proto_websocket_spare = state;
}

/* Nothing is kept between two messages. */
static void
proto_websocket_rest(struct conn *conn)
{
	const struct proto_websocket *state = conn->busy->state;

	conn->busy->partial = ws_is_unfinished(&state->ws);
	if (!conn->busy->partial && !state->closes && !state->closed)
		proto_websocket_drop(conn);
}

static bool
proto_websocket_is_closed(const struct conn *conn)
{
	const struct proto_websocket *state = conn->busy->state;

	return state != NULL && state->closed;
}

/* ---- input ---- */

/* What comes behind it has no meaning; it is told in its turn. */
static void
proto_websocket_refuse_rest(struct conn *conn, unsigned code)
{
	enum outcome outcome = code == WS_CODE_TOO_LARGE ? OUTCOME_TOO_LARGE
			       : code == WS_CODE_POLICY  ? OUTCOME_LIMITED
							 : OUTCOME_BAD;

	req_refuse(conn, outcome, PROTO_WEBSOCKET_TAG(code));
	conn_end_input(conn);
}

static void
proto_websocket_submit_packed(struct conn *conn, const struct ws_found *found)
{
	struct buf message = {0};
	enum ws_inflate_result result =
	    ws_inflate(&message, found->data, found->length, conn->service->conf->max_message);
	size_t length = buf_length(&message);

	if (result == WS_INFLATE_TOO_LARGE)
		proto_websocket_refuse_rest(conn, WS_CODE_TOO_LARGE);
	else if (result == WS_INFLATE_BAD ||
		 (found->is_text && !utf8_is_valid(buf_bytes(&message), length)))
		proto_websocket_refuse_rest(conn, WS_CODE_NOT_UTF8);
	else
		req_submit(conn, length > 0 ? buf_bytes(&message) : "", length, found->is_text);
	/* A few bytes may have become very many: others are not to wait for all of them. */
	conn->busy->taken += (unsigned)(length / PROTO_WEBSOCKET_WORK);
	buf_free(&message);
}

static void
proto_websocket_take(struct conn *conn, enum ws_kind kind, const struct ws_found *found)
{
	struct proto_websocket *state = conn->busy->state;

	switch (kind) {
	case WS_FOUND_MESSAGE:
		if (!visit_may_ask(conn))
			proto_websocket_refuse_rest(conn, WS_CODE_POLICY);
		else if (found->is_compressed)
			proto_websocket_submit_packed(conn, found);
		else
			req_submit(conn, found->data, found->length, found->is_text);
		ws_reset(&state->ws);
		break;
	case WS_FOUND_PING:
		if (!state->closed)
			ws_frame_write(
			    &conn->busy->out, WS_PONG, false, found->data, found->length);
		break;
	case WS_FOUND_CLOSE:
		state->closes = true;
		state->code = found->code;
		conn_end_input(conn);
		break;
	case WS_FOUND_BAD:
		proto_websocket_refuse_rest(conn, found->code);
		break;
	case WS_FOUND_PONG: /* that it came is all that it says */
	case WS_FOUND_NOTHING:
		break;
	}
}

static size_t
proto_websocket_input(struct conn *conn, const char *data, size_t length)
{
	struct proto_websocket *state = proto_websocket_open(conn);
	struct ws_limits limits = {.message = conn->service->conf->max_message,
	    .compression = conn->proto != &proto_websocket};
	struct ws_found found;
	enum ws_kind kind = WS_FOUND_PONG;
	size_t used = 0, more;

	while (kind != WS_FOUND_NOTHING && used < length && conn_may_take(conn)) {
		kind = ws_take(&state->ws, &limits, data + used, length - used, &more, &found);
		used += more;
		proto_websocket_take(conn, kind, &found);
	}
	/* Who says Close sends nothing more, and need not be waited for. */
	if (kind == WS_FOUND_CLOSE && used == length)
		conn->linger = false;
	proto_websocket_rest(conn);
	return kind == WS_FOUND_BAD ? length : used;
}

/* Half of a frame: there is nobody to tell it to. */
static void
proto_websocket_end(struct conn *conn, const char *data, size_t length)
{
	(void)conn;
	(void)data;
	(void)length;
}

static uint32_t
proto_websocket_peek(const char *data, size_t length)
{
	(void)data;
	(void)length;
	return PROTO_WEBSOCKET_TAG(WS_CODE_POLICY);
}

/* ---- output ---- */

static unsigned proto_websocket_bits(const struct conn *conn);

static void
proto_websocket_write(struct conn *conn, enum ws_opcode opcode, const char *data, size_t length)
{
	unsigned bits = length >= PROTO_WEBSOCKET_PACK ? proto_websocket_bits(conn) : 0;
	struct buf packed = {0};

	if (bits != 0 && ws_deflate(&packed, data, length, bits))
		ws_frame_write(
		    &conn->busy->out, opcode, true, buf_bytes(&packed), buf_length(&packed));
	else
		ws_frame_write(&conn->busy->out, opcode, false, data, length);
	buf_free(&packed);
}

static bool
proto_websocket_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	bool is_text = req->tag & PROTO_WEBSOCKET_TEXT;

	if (proto_websocket_is_closed(conn))
		return true; /* nobody waits for it any more */
	if (is_text && !utf8_is_valid(data, length))
		return false;
	proto_websocket_write(conn, is_text ? WS_TEXT : WS_BINARY, data, length);
	return true;
}

/* The last that is said. */
static void
proto_websocket_close(struct conn *conn, unsigned code, const char *reason)
{
	struct proto_websocket *state = proto_websocket_open(conn);

	if (!state->closed)
		ws_frame_write_close(&conn->busy->out, code, reason);
	state->closed = true;
}

static unsigned
proto_websocket_code(const struct req *req, enum outcome outcome)
{
	unsigned code = req->tag >> 16;

	if (code != 0)
		return code;
	switch (outcome) {
	case OUTCOME_BUSY:
		return WS_CODE_BUSY;
	case OUTCOME_TOO_LARGE:
		return WS_CODE_TOO_LARGE;
	case OUTCOME_BAD:
		return WS_CODE_NOT_UTF8; /* it cannot be carried: of the wrong kind in some way */
	default:
		return WS_CODE_FAILED;
	}
}

static void
proto_websocket_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	/* "ERR timeout" without the first word; where the rules were broken the code says it. */
	const char *reason = req->tag >> 16 == 0 ? strchr(outcome_text(outcome), ' ') + 1 : "";

	proto_websocket_close(conn, proto_websocket_code(req, outcome), reason);
	conn_end_input(conn);
}

/* What is said where nothing was wrong: the client's own word, or that we go, which it answers. */
static void
proto_websocket_bye(struct conn *conn)
{
	const struct proto_websocket *state = conn->busy->state;

	if (state != NULL && state->closes) {
		proto_websocket_close(conn, state->code, "");
	} else if (!conn->eof) {
		proto_websocket_close(conn, WS_CODE_GOING_AWAY, "");
		conn->linger = true;
	}
}

static void
proto_websocket_ping(struct conn *conn)
{
	ws_frame_write(&conn->busy->out, WS_PING, false, NULL, 0);
}

/* ---- moving ---- */

static void
proto_websocket_freeze(const struct conn *conn, struct buf *to)
{
	const struct proto_websocket *state = conn->busy->state;

	if (state != NULL)
		ws_freeze(&state->ws, to);
}

static bool
proto_websocket_thaw(struct conn *conn, const char *from, size_t length)
{
	bool is_good = ws_thaw(&proto_websocket_open(conn)->ws, from, length);

	proto_websocket_rest(conn);
	return is_good;
}

/* ---- variants ---- */

static const struct proto *proto_websocket_named(const char *name);
static unsigned proto_websocket_upgrade(const struct conf_service *conf,
    const struct http_request *request, const char *data, struct buf *fields,
    const struct proto **become);

#define PROTO_WEBSOCKET                                                                            \
	.input = proto_websocket_input, .upgrade = proto_websocket_upgrade,                        \
	.named = proto_websocket_named, .end = proto_websocket_end,                                \
	.reply = proto_websocket_reply, .blames = true, .refuse = proto_websocket_refuse,          \
	.bye = proto_websocket_bye, .ping = proto_websocket_ping, .peek = proto_websocket_peek,    \
	.drop = proto_websocket_drop, .freeze = proto_websocket_freeze,                            \
	.thaw = proto_websocket_thaw, .version = WS_VERSION

const struct proto proto_websocket = {.name = "websocket", PROTO_WEBSOCKET};

/* In the order of their windows, from WS_DEFLATE_BITS_MIN on. */
static const struct proto proto_websocket_packed[] = {
    {.name = "websocket, deflate 9", PROTO_WEBSOCKET},
    {.name = "websocket, deflate 10", PROTO_WEBSOCKET},
    {.name = "websocket, deflate 11", PROTO_WEBSOCKET},
    {.name = "websocket, deflate 12", PROTO_WEBSOCKET},
    {.name = "websocket, deflate 13", PROTO_WEBSOCKET},
    {.name = "websocket, deflate 14", PROTO_WEBSOCKET},
    {.name = "websocket, deflate 15", PROTO_WEBSOCKET},
};
#define PROTO_WEBSOCKET_VARIANTS                                                                   \
	(sizeof(proto_websocket_packed) / sizeof(proto_websocket_packed[0]))
_Static_assert(PROTO_WEBSOCKET_VARIANTS == WS_DEFLATE_BITS_MAX - WS_DEFLATE_BITS_MIN + 1,
    "a variant for each window");

static unsigned
proto_websocket_bits(const struct conn *conn)
{
	if (conn->proto == &proto_websocket)
		return 0;
	return WS_DEFLATE_BITS_MIN + (unsigned)(conn->proto - proto_websocket_packed);
}

static unsigned
proto_websocket_upgrade(const struct conf_service *conf, const struct http_request *request,
    const char *data, struct buf *fields, const struct proto **become)
{
	unsigned bits, status = ws_handshake_read(conf, request, data, fields, &bits);

	*become =
	    bits == 0 ? &proto_websocket : &proto_websocket_packed[bits - WS_DEFLATE_BITS_MIN];
	return status;
}

static const struct proto *
proto_websocket_named(const char *name)
{
	if (strcmp(proto_websocket.name, name) == 0)
		return &proto_websocket;
	for (size_t i = 0; i < PROTO_WEBSOCKET_VARIANTS; i++)
		if (strcmp(proto_websocket_packed[i].name, name) == 0)
			return &proto_websocket_packed[i];
	return NULL;
}
