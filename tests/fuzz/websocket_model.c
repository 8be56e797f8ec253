/* RFC 6455 and RFC 7692 in the plainest words. Owns what it notes; never sees a connection. */
#include "tests/fuzz/websocket_model.h"

#include "common/utf8.h"
#include "tests/unit/seat.h"
#include "tests/unit/websockets.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* What is deflated may be so much longer than what it stands for. */
#define MODEL_DEFLATED_MAX(max) ((max) + (max) / 512 + 64)

struct model_frame {
	bool is_last, is_deflated, is_reserved, is_masked, has_long_length;
	unsigned kind;
	uint64_t length;
	size_t head;
	size_t there; /* bytes of its payload that are there */
};

/* Where it stands. */
struct model_state {
	struct model *model; /* borrows */
	size_t max;
	bool may_deflate;
	struct buf message; /* owns; what came of it */
	unsigned kind;      /* of the message; 0: between two */
	bool is_deflated;
};

void
model_note(struct buf *to, unsigned kind, const char *data, size_t length)
{
	uint32_t size = (uint32_t)length;
	char byte = (char)kind;

	buf_append(to, &byte, 1);
	buf_append(to, &size, sizeof(size));
	if (length > 0)
		buf_append(to, data, length);
}

/* False when its head is not all there. */
static bool
model_read_head(struct model_frame *frame, const uint8_t *at, size_t length)
{
	size_t bytes;

	*frame = (struct model_frame){0};
	if (length < 2)
		return false;
	bytes = (at[1] & 127) == 126 ? 2 : (at[1] & 127) == 127 ? 8 : 0;
	frame->is_last = at[0] >> 7;
	frame->is_deflated = at[0] >> 6 & 1;
	frame->is_reserved = (at[0] >> 4 & 3) != 0;
	frame->kind = at[0] & 15;
	frame->is_masked = at[1] >> 7;
	frame->head = 2 + bytes + (frame->is_masked ? 4 : 0);
	if (length < frame->head)
		return false;
	frame->length = bytes == 0 ? at[1] & 127u : 0;
	for (size_t i = 0; i < bytes; i++)
		frame->length = frame->length << 8 | at[2 + i];
	frame->has_long_length =
	    (bytes == 2 && frame->length < 126) || (bytes == 8 && frame->length < 65536);
	frame->there = length - frame->head;
	if (frame->there > frame->length)
		frame->there = (size_t)frame->length;
	return true;
}

/* 0, or the code that it ends with. */
static int
model_judge_head(const struct model_state *state, const struct model_frame *frame)
{
	bool is_deflated = frame->kind == WEBSOCKET_CONT ? state->is_deflated : frame->is_deflated;
	size_t max = is_deflated ? MODEL_DEFLATED_MAX(state->max) : state->max;

	if (!frame->is_masked || frame->is_reserved || frame->has_long_length ||
	    frame->length >> 63 != 0)
		return 1002;
	if (frame->kind >= WEBSOCKET_CLOSE)
		return frame->kind > WEBSOCKET_PONG || !frame->is_last || frame->is_deflated ||
			       frame->length > 125
			   ? 1002
			   : 0;
	if (frame->kind > WEBSOCKET_BIN || (frame->kind == WEBSOCKET_CONT) != (state->kind != 0))
		return 1002;
	if (frame->is_deflated && (!state->may_deflate || frame->kind == WEBSOCKET_CONT))
		return 1002;
	return frame->length > max - buf_length(&state->message) ? 1009 : 0;
}

/* Whether it may become UTF-8 with more behind it. */
static bool
model_may_be_utf8(const char *text, size_t length)
{
	static const char *const rests[] = {
	    "", "\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80"};
	char end[8];
	size_t tail = length < 3 ? length : 3;

	/* All but the last characters, of which the last may be cut: there are but a few rests. */
	while (tail > 0 && ((unsigned char)text[length - tail] & 0xc0) == 0x80)
		tail--;
	if (length > tail && !utf8_is_valid(text, length - tail))
		return false;
	for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
		if (tail > 0)
			memcpy(end, text + length - tail, tail);
		strcpy(end + tail, rests[i]);
		if (utf8_is_valid(end, tail + strlen(rests[i])))
			return true;
	}
	return false;
}

/* 0, or the code that it ends with. What it stands for goes into `to`. */
static int
model_inflate(struct buf *to, const struct buf *from, size_t max)
{
	struct buf whole = {0};
	z_stream stream = {0};
	int said = Z_OK, code = 0;

	if (buf_length(from) > 0)
		buf_append(&whole, buf_bytes(from), buf_length(from));
	buf_append(&whole, "\0\0\xff\xff", 4);
	seat_must(inflateInit2(&stream, -15) == Z_OK, "inflate");
	stream.next_in = (unsigned char *)buf_bytes(&whole);
	stream.avail_in = (unsigned)buf_length(&whole);
	stream.next_out = (unsigned char *)buf_reserve(to, max + 1);
	stream.avail_out = (unsigned)max + 1;
	while (stream.avail_in > 0 && stream.avail_out > 0 && code == 0) {
		said = inflate(&stream, Z_SYNC_FLUSH);
		if (said == Z_STREAM_END) /* a last block: more may be behind it */
			inflateReset(&stream);
		else if (said != Z_OK)
			code = 1007;
	}
	if (stream.avail_out == 0)
		code = code == 0 ? 1009 : MODEL_EITHER;
	else if (code == 0 && (said != Z_OK || (stream.data_type & 191) != 128))
		code = 1007; /* in the middle of a block, or with bits left over */
	buf_added(to, max + 1 - stream.avail_out);
	buf_consume(to, 0);
	inflateEnd(&stream);
	buf_free(&whole);
	return code;
}

/* The message is whole. */
static int
model_end_message(struct model_state *state)
{
	struct buf inflated = {0}, *message = &state->message;
	int code = 0;

	if (state->is_deflated) {
		code = model_inflate(&inflated, &state->message, state->max);
		message = &inflated;
	}
	if (code == 0 && state->kind == WEBSOCKET_TEXT && buf_length(message) > 0 &&
	    !utf8_is_valid(buf_bytes(message), buf_length(message)))
		code = 1007;
	if (code == 0)
		model_note(
		    &state->model->messages, state->kind, buf_bytes(message), buf_length(message));
	buf_free(&inflated);
	buf_free(&state->message);
	state->kind = 0;
	state->is_deflated = false;
	return code;
}

static int
model_take_part(struct model_state *state, const struct model_frame *frame, const char *payload)
{
	if (frame->kind != WEBSOCKET_CONT) {
		state->kind = frame->kind;
		state->is_deflated = frame->is_deflated;
	}
	if (frame->there > 0)
		buf_append(&state->message, payload, frame->there);
	if (state->kind == WEBSOCKET_TEXT && !state->is_deflated &&
	    !model_may_be_utf8(buf_bytes(&state->message), buf_length(&state->message)))
		return 1007;
	if (frame->there == frame->length && frame->is_last)
		return model_end_message(state);
	return 0;
}

/* A Close ends it in any case. */
static int
model_take_close(const char *payload, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)payload;
	int code = length < 2 ? 0 : bytes[0] * 256 + bytes[1];

	if (length == 0)
		return 0;
	if (code < 1000 || (code > 1003 && code < 1007) || (code > 1014 && code < 3000) ||
	    code > 4999)
		return 1002;
	return length > 2 && !utf8_is_valid(payload + 2, length - 2) ? 1007 : code;
}

/* What its head allows: MODEL_GOES_ON, or how it ends. */
static int
model_take(struct model_state *state, const struct model_frame *frame, const char *payload)
{
	int code;

	if (frame->kind < WEBSOCKET_CLOSE) {
		code = model_take_part(state, frame, payload);
		return code != 0 ? code : MODEL_GOES_ON;
	}
	if (frame->there < frame->length)
		return MODEL_GOES_ON;
	if (frame->kind == WEBSOCKET_CLOSE)
		return model_take_close(payload, frame->there);
	if (frame->kind == WEBSOCKET_PING)
		model_note(&state->model->pings, WEBSOCKET_PONG, payload, frame->there);
	return MODEL_GOES_ON;
}

static char *
model_unmask(const struct model_frame *frame, const uint8_t *at)
{
	char *payload = malloc(frame->there + 1);

	for (size_t i = 0; i < frame->there; i++)
		payload[i] = (char)(at[frame->head + i] ^ at[frame->head - 4 + i % 4]);
	return payload;
}

void
model_run(struct model *model, const uint8_t *stream, size_t length, size_t max, bool may_deflate)
{
	struct model_state state = {.model = model, .max = max, .may_deflate = may_deflate};
	struct model_frame frame;
	size_t at = 0;

	*model = (struct model){.end = MODEL_GOES_ON};
	while (model->end == MODEL_GOES_ON && model_read_head(&frame, stream + at, length - at)) {
		char *payload;
		int code = model_judge_head(&state, &frame);

		if (code != 0) {
			model->end = code;
			break;
		}
		payload = model_unmask(&frame, stream + at);
		model->end = model_take(&state, &frame, payload);
		free(payload);
		at += frame.head + frame.there;
	}
	buf_free(&state.message);
}

void
model_free(struct model *model)
{
	buf_free(&model->messages);
	buf_free(&model->pings);
}
