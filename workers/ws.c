/*
 * From frames to messages: which frame may follow which, how long a message may become, whether a
 * text is one. Owns what has come of a message.
 */
#include "workers/ws.h"

#include <string.h>

/* ---- what was found ---- */

static enum ws_kind
ws_bad(struct ws *ws, struct ws_found *found, unsigned code)
{
	ws_reset(ws);
	found->code = code;
	return WS_FOUND_BAD;
}

void
ws_reset(struct ws *ws)
{
	buf_free(&ws->message);
	*ws = (struct ws){0};
}

static enum ws_kind
ws_whole(struct ws *ws, struct ws_found *found)
{
	found->length = buf_length(&ws->message);
	found->data = found->length > 0 ? buf_bytes(&ws->message) : "";
	found->is_text = ws->opcode == WS_TEXT;
	found->is_compressed = ws->is_compressed;
	ws->opcode = 0;
	return WS_FOUND_MESSAGE;
}

/* ---- limits ---- */

/*
 * Whether so many bytes more would be too many. What is compressed may be a little longer than what
 * it stands for.
 */
static bool
ws_is_too_large(const struct ws_limits *limits, bool is_compressed, size_t so_far, uint64_t more)
{
	size_t max = limits->message;

	if (is_compressed)
		max += max / 512 + 64;
	return so_far > max || more > max - so_far;
}

/* ---- control frames ---- */

bool
ws_is_code(unsigned code)
{
	return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
	       (code >= 3000 && code <= 4999);
}

static enum ws_kind
ws_take_close(struct ws *ws, const struct ws_frame *frame, struct ws_found *found)
{
	const unsigned char *data = (const unsigned char *)frame->data;

	found->code = WS_CODE_NONE;
	if (frame->length == 0)
		return WS_FOUND_CLOSE;
	if (frame->length == 1)
		return ws_bad(ws, found, WS_CODE_PROTOCOL);
	found->code = (unsigned)data[0] << 8 | data[1];
	if (!ws_is_code(found->code))
		return ws_bad(ws, found, WS_CODE_PROTOCOL);
	if (!utf8_is_valid(frame->data + 2, (size_t)frame->length - 2))
		return ws_bad(ws, found, WS_CODE_NOT_UTF8);
	return WS_FOUND_CLOSE;
}

/* They are short, so one that is not whole is read again when more has come. */
static enum ws_kind
ws_take_control(struct ws *ws, const struct ws_frame *frame, size_t *used, struct ws_found *found)
{
	if (frame->got < frame->length)
		return WS_FOUND_NOTHING;
	*used += frame->used;
	if (frame->opcode == WS_CLOSE)
		return ws_take_close(ws, frame, found);
	found->data = frame->data;
	found->length = frame->got;
	return frame->opcode == WS_PING ? WS_FOUND_PING : WS_FOUND_PONG;
}

/* ---- messages ---- */

/* Whether a frame may stand where it stands: 5.2, 5.4, 5.5 and RFC 7692, 6. */
static bool
ws_may_follow(const struct ws *ws, const struct ws_limits *limits, const struct ws_frame *frame)
{
	if (!frame->is_masked || frame->is_reserved)
		return false;
	switch (frame->opcode) {
	case WS_TEXT:
	case WS_BINARY:
		return ws->opcode == 0 && (!frame->is_compressed || limits->compression);
	case WS_CONTINUATION:
		return ws->opcode != 0 && !frame->is_compressed;
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG:
		return !frame->is_compressed;
	default:
		return false;
	}
}

/* A text is looked at as it comes. */
static bool
ws_is_good_text(struct ws *ws, const char *data, size_t length)
{
	if (ws->opcode != WS_TEXT || ws->is_compressed)
		return true;
	return utf8_feed(&ws->text, data, length) &&
	       (ws->text.more == 0 || ws->left > 0 || !ws->is_last);
}

/* What is there of the rest of a frame; it needs no reader. Returns WS_FOUND_NOTHING to go on. */
static enum ws_kind
ws_take_rest(struct ws *ws, const struct ws_limits *limits, const char *data, size_t length,
    size_t *used, struct ws_found *found)
{
	size_t part = ws->left < length ? (size_t)ws->left : length;
	char *to;

	if (ws_is_too_large(limits, ws->is_compressed, buf_length(&ws->message), ws->left))
		return ws_bad(ws, found, WS_CODE_TOO_LARGE);
	to = buf_reserve(&ws->message, part);
	ws_frame_unmask(to, data, part, ws->key);
	buf_added(&ws->message, part);
	ws->left -= part;
	*used += part;
	if (!ws_is_good_text(ws, to, part))
		return ws_bad(ws, found, WS_CODE_NOT_UTF8);
	return ws->left == 0 && ws->is_last ? ws_whole(ws, found) : WS_FOUND_NOTHING;
}

/* The usual message: one frame, all of which is there. Nothing is kept or copied. */
static enum ws_kind
ws_take_single(struct ws *ws, const struct ws_frame *frame, struct ws_found *found)
{
	found->data = frame->data;
	found->length = frame->got;
	found->is_text = frame->opcode == WS_TEXT;
	found->is_compressed = frame->is_compressed;
	if (found->is_text && !found->is_compressed && !utf8_is_valid(found->data, found->length))
		return ws_bad(ws, found, WS_CODE_NOT_UTF8);
	return WS_FOUND_MESSAGE;
}

/* The beginning of a frame that is only a part of a message, or not all there. */
static enum ws_kind
ws_take_part(struct ws *ws, const struct ws_frame *frame, struct ws_found *found)
{
	if (frame->opcode != WS_CONTINUATION) {
		ws->opcode = frame->opcode;
		ws->is_compressed = frame->is_compressed;
	}
	ws->is_last = frame->is_last;
	ws->left = frame->length - frame->got;
	memcpy(ws->key, frame->key, WS_KEY);
	buf_append(&ws->message, frame->data, frame->got);
	if (!ws_is_good_text(ws, frame->data, frame->got))
		return ws_bad(ws, found, WS_CODE_NOT_UTF8);
	return ws->left == 0 && ws->is_last ? ws_whole(ws, found) : WS_FOUND_NOTHING;
}

static enum ws_kind
ws_take_frame(struct ws *ws, const struct ws_limits *limits, const struct ws_frame *frame,
    size_t *used, struct ws_found *found)
{
	bool begins = frame->opcode != WS_CONTINUATION;

	if (!ws_may_follow(ws, limits, frame))
		return ws_bad(ws, found, WS_CODE_PROTOCOL);
	if (frame->opcode >= WS_CLOSE)
		return ws_take_control(ws, frame, used, found);
	if (ws_is_too_large(limits, begins ? frame->is_compressed : ws->is_compressed,
		buf_length(&ws->message), frame->length))
		return ws_bad(ws, found, WS_CODE_TOO_LARGE);
	*used += frame->used;
	if (begins && frame->is_last && frame->got == frame->length)
		return ws_take_single(ws, frame, found);
	return ws_take_part(ws, frame, found);
}

enum ws_kind
ws_take(struct ws *ws, const struct ws_limits *limits, const char *data, size_t length,
    size_t *used, struct ws_found *found)
{
	enum ws_kind kind = WS_FOUND_NOTHING;
	struct ws_frame frame;
	size_t before;

	*used = 0;
	do {
		before = *used;
		if (ws->left > 0) {
			kind =
			    ws_take_rest(ws, limits, data + before, length - before, used, found);
			continue;
		}
		switch (ws_frame_read(&frame, data + before, length - before)) {
		case WS_FRAME_MORE:
			return WS_FOUND_NOTHING;
		case WS_FRAME_BAD:
			return ws_bad(ws, found, WS_CODE_PROTOCOL);
		case WS_FRAME_READ:
			kind = ws_take_frame(ws, limits, &frame, used, found);
		}
	} while (kind == WS_FOUND_NOTHING && *used > before && *used < length);
	return kind;
}

/* ---- moving ---- */

struct ws_frozen {
	uint64_t left;
	uint8_t key[WS_KEY];
	uint8_t opcode, is_compressed, is_last;
	uint8_t more, low, high; /* of struct utf8 */
	uint8_t unused[6];
};

void
ws_freeze(const struct ws *ws, struct buf *state)
{
	struct ws_frozen frozen = {.left = ws->left,
	    .opcode = ws->opcode,
	    .is_compressed = ws->is_compressed,
	    .is_last = ws->is_last,
	    .more = ws->text.more,
	    .low = ws->text.low,
	    .high = ws->text.high};

	if (!ws_is_unfinished(ws))
		return;
	memcpy(frozen.key, ws->key, WS_KEY);
	buf_append(state, &frozen, sizeof(frozen));
	buf_append(state, buf_bytes(&ws->message), buf_length(&ws->message));
}

bool
ws_thaw(struct ws *ws, const char *state, size_t length)
{
	struct ws_frozen frozen;

	if (length == 0)
		return true;
	if (length < sizeof(frozen))
		return false;
	memcpy(&frozen, state, sizeof(frozen));
	if ((frozen.opcode != WS_TEXT && frozen.opcode != WS_BINARY) || frozen.is_compressed > 1 ||
	    frozen.is_last > 1 || (frozen.is_last && frozen.left == 0) || frozen.more > 3)
		return false;
	ws->left = frozen.left;
	memcpy(ws->key, frozen.key, WS_KEY);
	ws->opcode = frozen.opcode;
	ws->is_compressed = frozen.is_compressed;
	ws->is_last = frozen.is_last;
	ws->text = (struct utf8){frozen.more, frozen.low, frozen.high};
	buf_append(&ws->message, state + sizeof(frozen), length - sizeof(frozen));
	return true;
}
