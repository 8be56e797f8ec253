/*
 * The frames of load_websocket.h. Pure: no memory but the caller's. Each frame's head is looked at
 * once when it is there; only a message of several frames is walked again, to push its parts
 * together.
 *
 * Not taken from a library: what checks a server should not be mistaken in the same way as it.
 */
#include "ctl/load_websocket.h"

#include "common/utf8.h"

#include <string.h>

#define LOAD_WEBSOCKET_BETWEEN (4u << 20) /* bytes of heads and control frames in a message */

struct load_websocket_frame {
	enum websocket_opcode opcode;
	bool last;
	size_t head, payload; /* bytes */
};

static bool
load_websocket_is_control(enum websocket_opcode opcode)
{
	return opcode >= WEBSOCKET_CLOSE;
}

static const char *
load_websocket_judge(const struct load_websocket_frame *frame)
{
	switch (frame->opcode) {
	case WEBSOCKET_CONTINUATION:
	case WEBSOCKET_TEXT:
	case WEBSOCKET_BINARY:
		return NULL;
	case WEBSOCKET_CLOSE:
	case WEBSOCKET_PING:
	case WEBSOCKET_PONG:
		break;
	default:
		return "an opcode that cannot be";
	}
	if (!frame->last)
		return "a control frame in parts";
	return frame->payload > WEBSOCKET_CONTROL_MAX ? "a control frame too long" : NULL;
}

/* Reads a head. Returns false when it is not there yet; `why` is what is wrong with it. */
static bool
load_websocket_read_head(
    const char *data, size_t length, struct load_websocket_frame *frame, const char **why)
{
	const unsigned char *head = (const unsigned char *)data;

	if (length < 2)
		return false;
	frame->last = head[0] & 0x80;
	frame->opcode = (enum websocket_opcode)(head[0] & 0x0f);
	frame->payload = head[1] & 0x7f;
	frame->head = frame->payload < 126 ? 2 : frame->payload == 126 ? 4 : WEBSOCKET_HEAD_MAX;
	if (head[0] & 0x70)
		*why = "a reserved bit that means nothing";
	else if (head[1] & 0x80)
		*why = "a masked frame";
	else
		*why = load_websocket_judge(frame);
	if (*why || frame->head == 2)
		return true;
	if (length < frame->head)
		return false;
	frame->payload = 0;
	for (size_t i = 2; i < frame->head; i++)
		frame->payload = frame->payload << 8 | head[i];
	if (websocket_head_length(frame->payload) != frame->head)
		*why = "a length in more bytes than needed";
	return true;
}

/* What a frame may be behind those before it. */
static const char *
load_websocket_follow(
    const struct load_websocket *state, const struct load_websocket_frame *frame, size_t max)
{
	if (state->at - state->length > LOAD_WEBSOCKET_BETWEEN)
		return "a message in too many parts";
	if (load_websocket_is_control(frame->opcode))
		return NULL;
	if (state->begun && frame->opcode != WEBSOCKET_CONTINUATION)
		return "a message within another";
	if (!state->begun && frame->opcode == WEBSOCKET_CONTINUATION)
		return "the rest of no message";
	return frame->payload > max - state->length ? "larger than any can be" : NULL;
}

static const char *
load_websocket_read_close(struct load_websocket_part *part)
{
	const unsigned char *code = (const unsigned char *)part->data;

	part->code = WEBSOCKET_NO_CODE;
	if (part->length == 0)
		return NULL;
	if (part->length == 1)
		return "half a close code";
	part->code = (unsigned)code[0] << 8 | code[1];
	part->data += 2;
	part->length -= 2;
	if (!websocket_is_code(part->code))
		return "a close code that cannot be";
	return utf8_is_valid(part->data, part->length) ? NULL : "a reason that is no UTF-8";
}

static enum load_websocket_found
load_websocket_refuse(
    struct load_websocket *state, struct load_websocket_part *part, const char *why)
{
	*state = (struct load_websocket){0};
	*part = (struct load_websocket_part){.why = why};
	return LOAD_WEBSOCKET_BAD;
}

static enum load_websocket_found
load_websocket_control(struct load_websocket *state, char *data,
    const struct load_websocket_frame *frame, struct load_websocket_part *part)
{
	const char *why = NULL;

	*part = (struct load_websocket_part){
	    .opcode = frame->opcode,
	    .data = data + state->at + frame->head,
	    .length = frame->payload,
	};
	if (frame->opcode == WEBSOCKET_CLOSE)
		why = load_websocket_read_close(part);
	if (why)
		return load_websocket_refuse(state, part, why);
	if (state->begun)
		state->at += frame->head + frame->payload;
	else
		part->used = frame->head + frame->payload;
	return LOAD_WEBSOCKET_CONTROL;
}

/* Pushes the parts of a whole message together, behind the head of its first frame. */
static char *
load_websocket_join(char *data, size_t end)
{
	struct load_websocket_frame frame = {0};
	const char *why = NULL;
	char *first = NULL, *to = NULL;

	for (size_t at = 0; at < end; at += frame.head + frame.payload) {
		load_websocket_read_head(data + at, end - at, &frame, &why);
		if (load_websocket_is_control(frame.opcode))
			continue;
		if (!first)
			first = to = data + at + frame.head;
		memmove(to, data + at + frame.head, frame.payload);
		to += frame.payload;
	}
	return first;
}

/* A data frame is whole. Returns whether its message is. */
static bool
load_websocket_take(struct load_websocket *state, char *data,
    const struct load_websocket_frame *frame, struct load_websocket_part *part)
{
	bool whole = !state->begun;

	if (!state->begun)
		state->opcode = frame->opcode;
	state->begun = true;
	state->at += frame->head + frame->payload;
	state->length += frame->payload;
	if (!frame->last)
		return false;
	*part = (struct load_websocket_part){
	    .opcode = state->opcode,
	    .data = whole ? data + frame->head : load_websocket_join(data, state->at),
	    .length = state->length,
	    .used = state->at,
	};
	*state = (struct load_websocket){0};
	return true;
}

enum load_websocket_found
load_websocket_find(struct load_websocket *state, char *data, size_t length, size_t max,
    struct load_websocket_part *part)
{
	struct load_websocket_frame frame = {0};
	const char *why = NULL;

	for (;;) {
		size_t rest = length - state->at;

		if (!load_websocket_read_head(data + state->at, rest, &frame, &why))
			return LOAD_WEBSOCKET_MORE;
		if (!why)
			why = load_websocket_follow(state, &frame, max);
		if (why)
			return load_websocket_refuse(state, part, why);
		if (rest - frame.head < frame.payload)
			return LOAD_WEBSOCKET_MORE;
		if (load_websocket_is_control(frame.opcode))
			return load_websocket_control(state, data, &frame, part);
		if (load_websocket_take(state, data, &frame, part))
			return LOAD_WEBSOCKET_MESSAGE;
	}
}
