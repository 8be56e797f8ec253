/*
 * Messages packed and unpacked by zlib. Owns one unpacker, and a packer for each window that some
 * client asked for; nearly all ask for none, and then it is one.
 */
#include "workers/ws_deflate.h"

#include "common/log.h"

#include <limits.h>
#include <string.h>
#define ZLIB_CONST /* input is only read */
#include <zlib.h>

#define WS_DEFLATE_LEVEL  3    /* of 9; half of the time of the usual 6, some percent more bytes */
#define WS_DEFLATE_MEMORY 8    /* zlib's own default */
#define WS_INFLATE_FIRST  4096 /* bytes to unpack into at first, if it may be so many */

/* 7.2.1: the empty block that ends a flush. It is not sent: both sides know it. */
static const char ws_deflate_tail[] = {0, 0, (char)0xff, (char)0xff};

/* ---- unpacking ---- */

static z_stream *
ws_inflater(void)
{
	static z_stream stream;
	static bool is_made;

	/* A client may pack with any window, so ours is the largest. */
	if ((!is_made && inflateInit2(&stream, -WS_DEFLATE_BITS_MAX) != Z_OK) ||
	    inflateReset(&stream) != Z_OK)
		fatalx("cannot make an unpacker of WebSocket messages");
	is_made = true;
	return &stream;
}

/* Room for more, but for one byte beyond `max` only: that tells that it is too much. */
static bool
ws_inflate_grow(z_stream *stream, struct buf *to, size_t max)
{
	size_t made = buf_length(to), room = made < WS_INFLATE_FIRST ? WS_INFLATE_FIRST : made;

	if (made > max)
		return false;
	if (room > max - made + 1)
		room = max - made + 1;
	stream->next_out = (Bytef *)buf_reserve(to, room);
	stream->avail_out = (uInt)room;
	return true;
}

/*
 * All of one piece of the input. Behind a last block (7.2.3.4 allows one) another stream may begin.
 */
static enum ws_inflate_result
ws_inflate_piece(z_stream *stream, struct buf *to, size_t max)
{
	do {
		uInt room;
		int result;

		if (!ws_inflate_grow(stream, to, max))
			return WS_INFLATE_TOO_LARGE;
		room = stream->avail_out;
		result = inflate(stream, Z_SYNC_FLUSH);
		buf_added(to, room - stream->avail_out);
		if (result == Z_STREAM_END)
			result = inflateReset(stream);
		if (result != Z_OK && result != Z_BUF_ERROR)
			return WS_INFLATE_BAD;
	} while (stream->avail_in > 0 || stream->avail_out == 0);
	return buf_length(to) > max ? WS_INFLATE_TOO_LARGE : WS_INFLATE_DONE;
}

/* Whether it stands between two blocks, with no bit left over; zlib tells it so (inflate). */
static bool
ws_inflate_is_whole(const z_stream *stream)
{
	return (stream->data_type & ~64) == 128;
}

enum ws_inflate_result
ws_inflate(struct buf *to, const char *data, size_t length, size_t max)
{
	z_stream *stream = ws_inflater();
	enum ws_inflate_result result;

	stream->next_in = (const Bytef *)data;
	stream->avail_in = (uInt)length;
	result = length > UINT_MAX ? WS_INFLATE_TOO_LARGE : ws_inflate_piece(stream, to, max);
	if (result == WS_INFLATE_DONE) {
		stream->next_in = (const Bytef *)ws_deflate_tail;
		stream->avail_in = sizeof(ws_deflate_tail);
		result = ws_inflate_piece(stream, to, max);
	}
	if (result == WS_INFLATE_DONE && !ws_inflate_is_whole(stream))
		result = WS_INFLATE_BAD;
	if (result != WS_INFLATE_DONE || buf_length(to) == 0)
		buf_free(to);
	return result;
}

/* ---- packing ---- */

static z_stream *
ws_deflater(unsigned bits)
{
	static z_stream streams[WS_DEFLATE_BITS_MAX + 1];
	static bool are_made[WS_DEFLATE_BITS_MAX + 1];

	if ((!are_made[bits] && deflateInit2(&streams[bits], WS_DEFLATE_LEVEL, Z_DEFLATED,
				    -(int)bits, WS_DEFLATE_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) ||
	    deflateReset(&streams[bits]) != Z_OK)
		fatalx("cannot make a packer of WebSocket messages");
	are_made[bits] = true;
	return &streams[bits];
}

bool
ws_deflate(struct buf *to, const char *data, size_t length, unsigned bits)
{
	z_stream *stream;
	size_t made;

	if (length == 0 || length > UINT_MAX)
		return false;
	stream = ws_deflater(bits);
	/* With the tail it may be longer than that, but without it it must not be. */
	stream->next_in = (const Bytef *)data;
	stream->avail_in = (uInt)length;
	stream->next_out = (Bytef *)buf_reserve(to, length + sizeof(ws_deflate_tail));
	stream->avail_out = (uInt)length;
	if (deflate(stream, Z_SYNC_FLUSH) != Z_OK || stream->avail_in > 0 || stream->avail_out == 0)
		return false;
	made = length - stream->avail_out; /* what the flush ends with is in it */
	buf_added(to, made - sizeof(ws_deflate_tail));
	return true;
}
