/*
 * Requests and replies as bytes (load_wire.h). Owns the two texts that stand around each message;
 * touches no socket. Every status from 400 on is an error; of which kind is the table of what a
 * service says when it cannot: the same words as ERR in lines.
 */
#include "ctl/load_wire.h"

#include "common/addr.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "ctl/load_handshake.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LOAD_WIRE_ROOM    4096             /* bytes that a reply may be longer than a request */
#define LOAD_WIRE_BODY    LOAD_MESSAGE_MAX /* bytes of a body of which nothing is expected */
#define LOAD_WIRE_CHUNKED 6                /* times as long is a body in chunks of one byte */
#define LOAD_WIRE_HEAD    (ADDR_TEXT_MAX + 128) /* bytes of a head of HTTP without its path */
#define LOAD_WIRE_COUNT   24                    /* bytes of a Content-Length with what is behind */

static const struct {
	unsigned status;
	enum load_error error;
} load_wire_errors[] = {
    {400, LOAD_ERROR_BAD},
    {413, LOAD_ERROR_TOO_LARGE},
    {502, LOAD_ERROR_FAILED},
    {503, LOAD_ERROR_BUSY},
    {504, LOAD_ERROR_TIMEOUT},
};

/* Bytes of an expected reply, at most. */
static size_t
load_wire_reply_length(const struct load_message *message)
{
	return message->texts ? message->texts->longest_reply : message->size;
}

static void
load_wire_open_http(struct load_wire *wire, const struct load_message *message)
{
	const struct load_options *options = wire->options;
	const char *path = options->path;
	char host[ADDR_TEXT_MAX] = "localhost";
	const char *behind = strchr(path, '?') ? "&" : "?";
	const char *close = options->per_request ? "\r\nConnection: close" : "";
	size_t room = LOAD_WIRE_HEAD + strlen(path);

	if (!addr_is_unix(&options->address))
		addr_format(&options->address, host);
	wire->before = mem_alloc(room, 1);
	wire->after = mem_alloc(LOAD_WIRE_HEAD, 1);
	wire->message = options->expect == LOAD_EXPECT_STATUS ? 0 : message->size;
	wire->counted = !options->get;
	if (wire->counted) {
		snprintf(wire->before, room,
		    "POST %s HTTP/1.1\r\nHost: %s%s\r\nContent-Length: ", path, host, close);
		wire->after[0] = '\0';
	} else {
		snprintf(wire->before, room, "GET %s%s", path, wire->message > 0 ? behind : "");
		snprintf(
		    wire->after, LOAD_WIRE_HEAD, " HTTP/1.1\r\nHost: %s%s\r\n\r\n", host, close);
	}
	wire->before_length = strlen(wire->before);
	wire->after_length = strlen(wire->after);
	wire->largest = LOAD_WIRE_BODY;
	if (wire->message > 0 && options->expect != LOAD_EXPECT_ANY)
		wire->largest =
		    load_wire_reply_length(message) * LOAD_WIRE_CHUNKED + LOAD_WIRE_ROOM;
}

static void
load_wire_open_codec(struct load_wire *wire, const struct load_message *message)
{
	const struct load_options *options = wire->options;
	enum codec codec = options->protocol->codec;

	wire->before = mem_alloc(CODEC_IDS_HEAD, 1);
	wire->after = mem_alloc(CODEC_TAIL_MAX, 1);
	if (options->ids)
		wire->before_length = CODEC_IDS_HEAD;
	else if (!options->protocol->stream)
		wire->before_length = codec_head(codec, message->size, wire->before);
	if (!options->protocol->stream)
		wire->after_length = codec_tail(codec, false, wire->after);
	wire->message = message->size;
	wire->largest = LOAD_WIRE_BODY;
	if (options->expect != LOAD_EXPECT_ANY)
		wire->largest = load_wire_reply_length(message) + LOAD_WIRE_ROOM;
}

/* Text, unless something else was asked for or a text could not be one. */
static void
load_wire_open_websocket(struct load_wire *wire, const struct load_message *message)
{
	const struct load_texts *texts = message->texts;

	wire->kind = wire->options->binary ? WEBSOCKET_BINARY : WEBSOCKET_TEXT;
	for (size_t i = 0; texts && i < texts->count && wire->kind == WEBSOCKET_TEXT; i++) {
		if (!utf8_is_valid(texts->requests[i].data, texts->requests[i].length))
			wire->kind = WEBSOCKET_BINARY;
	}
	if (getrandom(&wire->random, sizeof(wire->random), 0) != sizeof(wire->random))
		wire->random = clock_now();
	wire->random |= 1; /* zero would stay zero */
	wire->message = message->size;
	wire->before_length = WEBSOCKET_HEAD_MAX + WEBSOCKET_MASK;
	wire->largest = LOAD_WIRE_BODY;
	if (wire->options->expect != LOAD_EXPECT_ANY)
		wire->largest = load_wire_reply_length(message) + LOAD_WIRE_ROOM;
}

void
load_wire_open(
    struct load_wire *wire, const struct load_options *options, const struct load_check *check)
{
	*wire = (struct load_wire){.options = options};
	if (options->protocol->http)
		load_wire_open_http(wire, &check->message);
	else if (options->protocol->websocket)
		load_wire_open_websocket(wire, &check->message);
	else
		load_wire_open_codec(wire, &check->message);
	wire->request = wire->before_length + wire->message + wire->after_length +
			(wire->counted ? LOAD_WIRE_COUNT : 0);
}

void
load_wire_close(struct load_wire *wire)
{
	free(wire->before);
	free(wire->after);
	memset(wire, 0, sizeof(*wire));
}

/* Writes a body's length and the end of the head. Returns the bytes. */
static size_t
load_wire_count(size_t length, char to[LOAD_WIRE_COUNT])
{
	char digits[LOAD_WIRE_COUNT];
	size_t at = sizeof(digits);

	memcpy(digits + (at -= 4), "\r\n\r\n", 4);
	do
		digits[--at] = (char)('0' + length % 10);
	while ((length /= 10) > 0);
	memcpy(to, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

size_t
load_wire_length(const struct load_wire *wire, const struct load_check *check, unsigned connection,
    uint64_t index)
{
	size_t message = wire->message > 0 ? load_check_length(check, connection, index) : 0;
	char count[LOAD_WIRE_COUNT];

	if (wire->options->protocol->websocket)
		return websocket_head_length(message) + WEBSOCKET_MASK + message;
	if (wire->counted)
		message += load_wire_count(message, count);
	return wire->before_length + message + wire->after_length;
}

/* Makes the next request and writes its message, unless `to` is NULL. Returns its id. */
static uint32_t
load_wire_make_message(
    struct load_check *check, unsigned connection, uint64_t now, uint64_t due, char *to)
{
	return check->due ? load_check_make_due(check, connection, now, due, to)
			  : load_check_make(check, connection, now, to);
}

/* A mask that a proxy could not foretell; xorshift64* is quick and random enough for that. */
static void
load_wire_make_mask(struct load_wire *wire, char mask[WEBSOCKET_MASK])
{
	uint64_t random = wire->random;
	uint32_t high;

	random ^= random >> 12;
	random ^= random << 25;
	random ^= random >> 27;
	wire->random = random;
	high = (uint32_t)(random * UINT64_C(0x2545f4914f6cdd1d) >> 32);
	memcpy(mask, &high, WEBSOCKET_MASK);
}

static size_t
load_wire_make_websocket(struct load_wire *wire, struct load_check *check, unsigned connection,
    size_t length, uint64_t now, uint64_t due, char *to)
{
	size_t head = websocket_head(wire->kind, length, true, to);
	char *mask = to + head, *message = mask + WEBSOCKET_MASK;

	load_wire_make_message(check, connection, now, due, message);
	load_wire_make_mask(wire, mask);
	websocket_mask(message, length, mask);
	return head + WEBSOCKET_MASK + length;
}

size_t
load_wire_make(struct load_wire *wire, struct load_check *check, unsigned connection,
    uint64_t index, uint64_t now, uint64_t due, char *to)
{
	size_t length = wire->message > 0 ? load_check_length(check, connection, index) : 0;
	size_t head = wire->before_length;
	char *message;
	uint32_t id;

	if (wire->options->protocol->websocket)
		return load_wire_make_websocket(wire, check, connection, length, now, due, to);
	if (wire->counted)
		head += load_wire_count(length, to + head);
	message = to + head;
	id =
	    load_wire_make_message(check, connection, now, due, wire->message > 0 ? message : NULL);
	if (wire->options->ids)
		codec_head_ids(id, length, to);
	else if (wire->options->protocol->http || wire->before_length == 0)
		memcpy(to, wire->before, wire->before_length);
	else
		codec_head(wire->options->protocol->codec, length, to);
	memcpy(message + length, wire->after, wire->after_length);
	return head + length + wire->after_length;
}

/* A reply of load_http.h. Shown is the whole of it, for its head is what people want to see. */
static enum load_wire_found
load_wire_take_http(enum load_http_found found, const struct load_http_reply *http,
    const char *data, size_t length, struct load_wire_reply *reply)
{
	bool whole = found == LOAD_HTTP_REPLY;

	if (found == LOAD_HTTP_MORE)
		return LOAD_WIRE_MORE;
	*reply = (struct load_wire_reply){
	    .shown = data,
	    .shown_length = whole ? http->used : length,
	    .data = http->body,
	    .length = http->length,
	    .used = whole ? http->used : length,
	    .status = http->status,
	    .closes = http->closes,
	    .why = http->why,
	};
	return whole ? LOAD_WIRE_REPLY : LOAD_WIRE_DAMAGED;
}

/* What cannot be a reply. */
static enum load_wire_found
load_wire_damaged(const char *data, size_t length, const char *why, struct load_wire_reply *reply)
{
	*reply = (struct load_wire_reply){
	    .shown = data,
	    .shown_length = length,
	    .data = data,
	    .length = length,
	    .used = length,
	    .why = why,
	};
	return LOAD_WIRE_DAMAGED;
}

static enum load_wire_found
load_wire_take_message(const struct load_wire *wire, const struct codec_message *message,
    struct load_wire_reply *reply)
{
	size_t length = message->length;

	/* Nothing we send has a CR, so one in a reply belongs to what is checked. */
	if (wire->options->protocol->codec == CODEC_LINE)
		length += message->tag;
	*reply = (struct load_wire_reply){
	    .shown = message->data,
	    .shown_length = length,
	    .id = message->tag,
	    .data = message->data,
	    .length = length,
	    .used = message->used,
	};
	return LOAD_WIRE_REPLY;
}

/* What is wrong with a message although its frames are right. */
static const char *
load_wire_judge_kind(const struct load_wire *wire, const struct load_websocket_part *part)
{
	if (part->opcode == WEBSOCKET_TEXT && !utf8_is_valid(part->data, part->length))
		return "text that is no UTF-8";
	if (part->opcode == wire->kind || wire->options->expect == LOAD_EXPECT_ANY)
		return NULL;
	return part->opcode == WEBSOCKET_TEXT ? "text for binary" : "binary for text";
}

static enum load_wire_found
load_wire_find_websocket(const struct load_wire *wire, struct load_wire_state *state, char *data,
    size_t length, struct load_wire_reply *reply)
{
	struct load_websocket_part part;
	enum load_websocket_found found =
	    load_websocket_find(&state->websocket, data, length, wire->largest, &part);

	if (found == LOAD_WEBSOCKET_MORE)
		return LOAD_WIRE_MORE;
	if (found == LOAD_WEBSOCKET_BAD)
		return load_wire_damaged(data, length, part.why, reply);
	*reply = (struct load_wire_reply){
	    .shown = part.data,
	    .shown_length = part.length,
	    .data = part.data,
	    .length = part.length,
	    .used = part.used,
	};
	if (found == LOAD_WEBSOCKET_MESSAGE) {
		reply->why = load_wire_judge_kind(wire, &part);
		return LOAD_WIRE_REPLY;
	}
	reply->control = part.opcode;
	reply->code = part.code;
	return LOAD_WIRE_CONTROL;
}

enum load_wire_found
load_wire_find_handshake(
    struct load_wire_state *state, char *data, size_t length, struct load_wire_reply *reply)
{
	struct load_http_reply http = {0};
	enum load_http_found found;

	state->http.accept = state->accept;
	found = load_http_find(&state->http, data, length, LOAD_WIRE_BODY, &http);
	return load_wire_take_http(found, &http, data, length, reply);
}

/* As many bytes as the request has. */
static enum load_wire_found
load_wire_find_stream(const struct load_check *check, unsigned connection, const char *data,
    size_t length, struct load_wire_reply *reply)
{
	size_t wanted;

	if (!load_check_next_length(check, connection, &wanted))
		return load_wire_damaged(data, length, "unasked for", reply);
	if (length < wanted)
		return LOAD_WIRE_MORE;
	*reply = (struct load_wire_reply){
	    .shown = data,
	    .shown_length = wanted,
	    .data = data,
	    .length = wanted,
	    .used = wanted,
	};
	return LOAD_WIRE_REPLY;
}

enum load_wire_found
load_wire_find(const struct load_wire *wire, const struct load_check *check, unsigned connection,
    struct load_wire_state *state, char *data, size_t length, struct load_wire_reply *reply)
{
	struct codec_message message = {0};
	struct load_http_reply http = {0};
	enum load_http_found found;

	if (wire->options->protocol->http) {
		found = load_http_find(&state->http, data, length, wire->largest, &http);
		return load_wire_take_http(found, &http, data, length, reply);
	}
	if (wire->options->protocol->websocket)
		return load_wire_find_websocket(wire, state, data, length, reply);
	if (wire->options->protocol->stream)
		return load_wire_find_stream(check, connection, data, length, reply);
	switch (codec_find(wire->options->protocol->codec, data, length, wire->largest,
	    &state->scanned, &message)) {
	case CODEC_MORE:
		return LOAD_WIRE_MORE;
	case CODEC_TOO_LARGE:
		return load_wire_damaged(data, length, "larger than any can be", reply);
	case CODEC_BAD:
		/* The frame is whole, and so may be what stands behind it. */
		load_wire_damaged(data, message.used, "no room for an id", reply);
		return LOAD_WIRE_REPLY;
	default:
		break;
	}
	return load_wire_take_message(wire, &message, reply);
}

enum load_wire_found
load_wire_end(const struct load_wire *wire, struct load_wire_state *state, char *data,
    size_t length, struct load_wire_reply *reply)
{
	struct load_http_reply http = {0};
	enum load_http_found found;

	if (length == 0)
		return LOAD_WIRE_MORE;
	if (!wire->options->protocol->http)
		return load_wire_damaged(data, length, "cut short", reply);
	found = load_http_end(&state->http, data, length, &http);
	return load_wire_take_http(found, &http, data, length, reply);
}

/* A status that was not expected. */
static enum load_found
load_wire_book_status(
    struct load_check *check, unsigned connection, struct load_wire_reply *reply, uint64_t now)
{
	for (size_t i = 0; i < sizeof(load_wire_errors) / sizeof(load_wire_errors[0]); i++) {
		if (load_wire_errors[i].status == reply->status)
			return load_check_error(check, connection, load_wire_errors[i].error, now);
	}
	if (reply->status >= 400)
		return load_check_error(check, connection, LOAD_ERROR_OTHER, now);
	reply->why = "another status";
	return load_check_wrong(check, connection, now);
}

/* A reply of which the id says whose it is, and the first byte how it went. */
static enum load_found
load_wire_book_id(struct load_check *check, unsigned connection,
    const struct load_wire_reply *reply, uint64_t now)
{
	if (reply->length == 0)
		return load_check_reply_to(check, connection, reply->id, UINT_MAX, NULL, 0, now);
	return load_check_reply_to(check, connection, reply->id, (unsigned char)reply->data[0],
	    reply->data + 1, reply->length - 1, now);
}

bool
load_wire_book_close(struct load_check *check, unsigned connection,
    const struct load_wire_reply *reply, uint64_t now)
{
	enum load_error error;
	size_t expected;

	if (!load_check_next_length(check, connection, &expected) ||
	    !load_handshake_error(reply->code, reply->data, reply->length, &error))
		return false;
	load_check_error(check, connection, error, now);
	return true;
}

enum load_found
load_wire_book(const struct load_wire *wire, struct load_check *check, unsigned connection,
    enum load_wire_found found, struct load_wire_reply *reply, uint64_t now)
{
	const struct load_options *options = wire->options;

	if (found == LOAD_WIRE_DAMAGED || reply->why)
		return load_check_wrong(check, connection, now);
	if (options->ids)
		return load_wire_book_id(check, connection, reply, now);
	if (options->protocol->stream)
		return load_check_body(check, connection, reply->data, reply->length, now);
	if (options->protocol->websocket)
		return load_check_body(check, connection, reply->data, reply->length, now);
	if (!options->protocol->http)
		return load_check_reply(check, connection, reply->data, reply->length, now);
	if (reply->status != options->expect_status)
		return load_wire_book_status(check, connection, reply, now);
	if (wire->message == 0)
		return load_check_any(check, connection, now);
	return load_check_body(check, connection, reply->data, reply->length, now);
}
