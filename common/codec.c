/*
 * Lines and length-prefixed frames, found and made. Pure functions: no memory of their own, no
 * system call, nothing kept between two calls but the caller's `scanned`. Never reads past
 * `length`, never looks further than a message of the allowed size can reach.
 */
#include "common/codec.h"

#include <stdint.h>
#include <string.h>

/*
 * How many bytes a line of `max` can have with CR and LF: behind them nothing can make the message
 * small enough again.
 */
static size_t
codec_line_reach(size_t max)
{
	return max > SIZE_MAX - 2 ? SIZE_MAX : max + 2;
}

/* No LF in `length` bytes: is the line too long whatever follows? */
static bool
codec_line_hopeless(const char *data, size_t length, size_t max)
{
	if (length <= max)
		return false;
	/* One byte too many may be the CR of CR LF, which does not count. */
	return length >= codec_line_reach(max) || data[length - 1] != '\r';
}

static enum codec_found
codec_find_line(
    const char *data, size_t length, size_t max, size_t *scanned, struct codec_message *message)
{
	size_t reach = codec_line_reach(max);
	size_t end = length < reach ? length : reach;
	size_t from = scanned ? *scanned : 0;
	const char *lf;
	size_t content;

	lf = from < end ? memchr(data + from, '\n', end - from) : NULL;
	if (!lf) {
		if (scanned)
			*scanned = end;
		return codec_line_hopeless(data, length, max) ? CODEC_TOO_LARGE : CODEC_MORE;
	}
	content = (size_t)(lf - data);
	message->data = data;
	message->used = content + 1;
	message->had_cr = content > 0 && lf[-1] == '\r';
	message->length = content - (message->had_cr ? 1 : 0);
	if (scanned)
		*scanned = 0;
	return message->length > max ? CODEC_TOO_LARGE : CODEC_MESSAGE;
}

static enum codec_found
codec_find_frame(const char *data, size_t length, size_t max, struct codec_message *message)
{
	const unsigned char *head = (const unsigned char *)data;
	size_t content;

	if (length < CODEC_HEAD_MAX)
		return CODEC_MORE;
	content =
	    (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | (size_t)head[3];
	if (content > max)
		return CODEC_TOO_LARGE;
	if (length - CODEC_HEAD_MAX < content)
		return CODEC_MORE;
	message->data = data + CODEC_HEAD_MAX;
	message->length = content;
	message->used = CODEC_HEAD_MAX + content;
	message->had_cr = false;
	return CODEC_MESSAGE;
}

enum codec_found
codec_find(enum codec codec, const char *data, size_t length, size_t max, size_t *scanned,
    struct codec_message *message)
{
	if (codec == CODEC_FRAME)
		return codec_find_frame(data, length, max, message);
	return codec_find_line(data, length, max, scanned, message);
}

bool
codec_can_carry(enum codec codec, const char *data, size_t length)
{
	if (codec == CODEC_FRAME)
		return length <= UINT32_MAX;
	return length == 0 || !memchr(data, '\n', length);
}

size_t
codec_head(enum codec codec, size_t length, char head[CODEC_HEAD_MAX])
{
	if (codec != CODEC_FRAME)
		return 0;
	head[0] = (char)(length >> 24 & 0xff);
	head[1] = (char)(length >> 16 & 0xff);
	head[2] = (char)(length >> 8 & 0xff);
	head[3] = (char)(length & 0xff);
	return CODEC_HEAD_MAX;
}

size_t
codec_tail(enum codec codec, bool with_cr, char tail[CODEC_TAIL_MAX])
{
	size_t length = 0;

	if (codec != CODEC_LINE)
		return 0;
	if (with_cr)
		tail[length++] = '\r';
	tail[length++] = '\n';
	return length;
}
