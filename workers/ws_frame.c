/*
 * Frames: their heads are read by wslay, and written here. Owns the one context of wslay. Of a
 * payload wslay is only told that it came: it would copy it and take its mask off byte by byte, at
 * eleven instructions each. So it is at rest after every frame but a long one, after which a fresh
 * one takes its place. Never looks at what a frame means.
 */
#include "workers/ws_frame.h"

#include "common/log.h"

#include <endian.h>
#include <string.h>
#include <wslay/wslay.h>

#define WS_FRAME_SMALL 4096  /* bytes of a payload that is told with its head, if it is there */
#define WS_FRAME_LONG  65536 /* beyond so many bytes a fresh context costs less */

/* What wslay is given: a head without its mask, then so many bytes as if they had come. */
struct ws_feed {
	unsigned char head[10];
	size_t head_length; /* 0: it has it */
	uint64_t payload;
};

static struct ws_feed ws_frame_feed;
static wslay_frame_context_ptr ws_frame_context; /* owns */
static bool ws_frame_is_stale;                   /* it is in the middle of a frame */

static ssize_t
ws_frame_on_read(uint8_t *to, size_t room, int flags, void *arg)
{
	struct ws_feed *feed = arg;
	size_t length = feed->head_length;

	(void)flags;
	if (length > 0) {
		memcpy(to, feed->head, length);
		feed->head_length = 0;
		return (ssize_t)length;
	}
	length = feed->payload < room ? (size_t)feed->payload : room;
	feed->payload -= length;
	return (ssize_t)length;
}

static void
ws_frame_renew(void)
{
	static const struct wslay_frame_callbacks callbacks = {.recv_callback = ws_frame_on_read};

	wslay_frame_context_free(ws_frame_context);
	if (wslay_frame_context_init(&ws_frame_context, &callbacks, &ws_frame_feed) != 0)
		fatalx("cannot make a reader of WebSocket frames");
	ws_frame_is_stale = false;
}

/* ---- reading ---- */

/* Bytes of the head, of which the first two are there. */
static size_t
ws_frame_head(const unsigned char *data)
{
	unsigned length = data[1] & 0x7f;

	return 2 + (length == 127 ? 8u : length == 126 ? 2u : 0u) + (data[1] & 0x80 ? WS_KEY : 0u);
}

/* What a whole head declares. */
static uint64_t
ws_frame_length(const unsigned char *data)
{
	uint16_t two;
	uint64_t eight;

	switch (data[1] & 0x7f) {
	case 126:
		memcpy(&two, data + 2, sizeof(two));
		return be16toh(two);
	case 127:
		memcpy(&eight, data + 2, sizeof(eight));
		return be64toh(eight);
	default:
		return data[1] & 0x7f;
	}
}

/* Lets wslay read a whole head. False where it would not. */
static bool
ws_frame_judge(struct wslay_frame_iocb *read, const unsigned char *data, size_t head)
{
	struct ws_feed *feed = &ws_frame_feed;

	if (ws_frame_context == NULL || ws_frame_is_stale)
		ws_frame_renew();
	feed->head_length = data[1] & 0x80 ? head - WS_KEY : head;
	memcpy(feed->head, data, feed->head_length);
	feed->head[1] &= 0x7f;
	feed->payload = ws_frame_length(data);
	ws_frame_is_stale = true;
	do
		if (wslay_frame_recv(ws_frame_context, read) < 0)
			return false;
	while (feed->payload > 0 && read->payload_length <= WS_FRAME_LONG);
	ws_frame_is_stale = feed->payload > 0;
	return true;
}

enum ws_frame_read
ws_frame_read(struct ws_frame *frame, const char *data, size_t length)
{
	static char payload[WS_FRAME_SMALL];
	const unsigned char *bytes = (const unsigned char *)data;
	struct wslay_frame_iocb read;
	size_t head;

	if (length < 2 || length < (head = ws_frame_head(bytes)))
		return WS_FRAME_MORE;
	if (!ws_frame_judge(&read, bytes, head))
		return WS_FRAME_BAD;
	frame->opcode = read.opcode;
	frame->is_last = read.fin;
	frame->is_masked = bytes[1] & 0x80;
	frame->is_compressed = wslay_get_rsv1(read.rsv);
	frame->is_reserved = wslay_get_rsv2(read.rsv) || wslay_get_rsv3(read.rsv);
	frame->length = read.payload_length;
	frame->data = payload;
	frame->got = 0;
	if (!frame->is_masked)
		return WS_FRAME_READ; /* nobody will want more of it */
	memcpy(frame->key, data + head - WS_KEY, WS_KEY);
	if (frame->length <= WS_FRAME_SMALL && frame->length <= length - head) {
		frame->got = (size_t)frame->length;
		ws_frame_unmask(payload, data + head, frame->got, frame->key);
	}
	frame->used = head + frame->got;
	return WS_FRAME_READ;
}

void
ws_frame_unmask(char *to, const char *from, size_t length, uint8_t key[WS_KEY])
{
	uint8_t turned[WS_KEY];
	uint64_t mask, eight;
	size_t at = 0;

	memcpy(&mask, key, WS_KEY);
	memcpy((char *)&mask + WS_KEY, key, WS_KEY);
	for (; at + sizeof(eight) <= length; at += sizeof(eight)) {
		memcpy(&eight, from + at, sizeof(eight));
		eight ^= mask;
		memcpy(to + at, &eight, sizeof(eight));
	}
	for (; at < length; at++)
		to[at] = (char)(from[at] ^ key[at % WS_KEY]);
	for (size_t i = 0; i < WS_KEY; i++)
		turned[i] = key[(length + i) % WS_KEY];
	memcpy(key, turned, WS_KEY);
}

/* ---- writing ---- */

static size_t
ws_frame_write_length(char *to, size_t length)
{
	uint16_t two = htobe16((uint16_t)length);
	uint64_t eight = htobe64(length);

	if (length < 126) {
		to[0] = (char)length;
		return 1;
	}
	if (length <= UINT16_MAX) {
		to[0] = 126;
		memcpy(to + 1, &two, sizeof(two));
		return 1 + sizeof(two);
	}
	to[0] = 127;
	memcpy(to + 1, &eight, sizeof(eight));
	return 1 + sizeof(eight);
}

void
ws_frame_write(
    struct buf *out, enum ws_opcode opcode, bool is_compressed, const char *data, size_t length)
{
	char *to = buf_reserve(out, WS_FRAME_HEAD_MAX + length);
	size_t head;

	to[0] = (char)(0x80 | (is_compressed ? 0x40 : 0) | (int)opcode);
	head = 1 + ws_frame_write_length(to + 1, length);
	if (length > 0)
		memcpy(to + head, data, length);
	buf_added(out, head + length);
}

void
ws_frame_write_close(struct buf *out, unsigned code, const char *reason)
{
	char payload[WS_CONTROL_MAX];
	uint16_t two = htobe16((uint16_t)code);
	size_t length = strnlen(reason, sizeof(payload) - sizeof(two));

	memcpy(payload, &two, sizeof(two));
	memcpy(payload + sizeof(two), reason, length);
	ws_frame_write(out, WS_CLOSE, false, payload, code != 0 ? sizeof(two) + length : 0);
}
