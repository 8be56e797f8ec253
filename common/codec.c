/*
 * Lines, several lines, and length-prefixed frames, found and made. Pure functions: no memory of
 * their own, no system call, nothing kept between two calls but what the caller keeps. Never reads
 * past `length`, never looks further than a message of the allowed size can reach.
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
	message->tag = content > 0 && lf[-1] == '\r';
	message->length = content - message->tag;
	if (scanned)
		*scanned = 0;
	return message->length > max ? CODEC_TOO_LARGE : CODEC_MESSAGE;
}

static enum codec_found
codec_find_frame(const char *data, size_t length, size_t max, struct codec_message *message)
{
	size_t content;

	if (length < CODEC_HEAD_MAX)
		return CODEC_MORE;
	content = codec_number(data);
	if (content > max)
		return CODEC_TOO_LARGE;
	if (length - CODEC_HEAD_MAX < content)
		return CODEC_MORE;
	message->data = data + CODEC_HEAD_MAX;
	message->length = content;
	message->used = CODEC_HEAD_MAX + content;
	message->tag = 0;
	return CODEC_MESSAGE;
}

/*
 * The length alone may say already that it is too large: still the id is waited for, so that the
 * refusal names it however the bytes arrive.
 */
static enum codec_found
codec_find_ids(const char *data, size_t length, size_t max, struct codec_message *message)
{
	enum codec_found found;

	if (length < CODEC_NUMBER)
		return CODEC_MORE;
	if (codec_number(data) < CODEC_NUMBER) {
		found = codec_find_frame(data, length, CODEC_NUMBER, message);
		return found == CODEC_MESSAGE ? CODEC_BAD : found;
	}
	if (length < CODEC_IDS_HEAD)
		return CODEC_MORE;
	found = codec_find_frame(
	    data, length, max > SIZE_MAX - CODEC_NUMBER ? max : max + CODEC_NUMBER, message);
	message->tag = codec_number(data + CODEC_NUMBER);
	if (found == CODEC_MESSAGE) {
		message->data += CODEC_NUMBER;
		message->length -= CODEC_NUMBER;
	}
	return found;
}

enum codec_found
codec_find(enum codec codec, const char *data, size_t length, size_t max, size_t *scanned,
    struct codec_message *message)
{
	if (codec == CODEC_LINE)
		return codec_find_line(data, length, max, scanned, message);
	if (codec == CODEC_FRAME)
		return codec_find_frame(data, length, max, message);
	return codec_find_ids(data, length, max, message);
}

/* Whether the line, without its LF, is the one that ends a message. */
static bool
codec_lines_is_end(const struct codec_lines *lines, const char *line, size_t length)
{
	if (length == lines->end_length + 1 && line[length - 1] == '\r')
		length--;
	return length == lines->end_length && memcmp(line, lines->end, length) == 0;
}

/* The length of a message whose end line begins at `line`. */
static size_t
codec_lines_content(const char *data, size_t line)
{
	if (line == 0)
		return 0;
	return line >= 2 && data[line - 2] == '\r' ? line - 2 : line - 1;
}

/* The longest message with CR LF, then the end line with its own: nothing can lie behind. */
static size_t
codec_lines_reach(const struct codec_lines *lines, size_t max)
{
	size_t more = lines->end_length + 4;

	return max > SIZE_MAX - more ? SIZE_MAX : max + more;
}

enum codec_found
codec_find_lines(struct codec_lines *lines, const char *data, size_t length, size_t max,
    struct codec_message *message)
{
	size_t reach = codec_lines_reach(lines, max);
	size_t until = length < reach ? length : reach;

	while (lines->scanned < until) {
		const char *lf = memchr(data + lines->scanned, '\n', until - lines->scanned);
		size_t at = lf ? (size_t)(lf - data) : until;

		lines->scanned = at;
		if (!lf)
			break;
		if (codec_lines_is_end(lines, data + lines->line, at - lines->line)) {
			message->data = lines->line > 0 ? data : NULL;
			message->length = codec_lines_content(data, lines->line);
			message->used = at + 1;
			message->tag = 0;
			lines->scanned = lines->line = 0;
			return CODEC_MESSAGE;
		}
		lines->scanned = lines->line = at + 1;
		if (codec_lines_content(data, lines->line) > max)
			return CODEC_TOO_LARGE;
	}
	return length >= reach ? CODEC_TOO_LARGE : CODEC_MORE;
}

enum codec_found
codec_find_next_line(struct codec_lines *lines, const char *data, size_t length, size_t max,
    struct codec_message *message)
{
	size_t reach = codec_lines_reach(lines, max) - lines->taken;
	size_t until = length < reach ? length : reach;
	const char *lf = NULL;

	if (lines->scanned < until)
		lf = memchr(data + lines->scanned, '\n', until - lines->scanned);
	lines->scanned = lf != NULL ? 0 : until;
	if (lf == NULL)
		return length >= reach ? CODEC_TOO_LARGE : CODEC_MORE;
	*message = (struct codec_message){.used = (size_t)(lf - data) + 1};
	if (codec_lines_is_end(lines, data, message->used - 1)) {
		lines->taken = 0;
		return CODEC_MESSAGE;
	}
	if (lines->taken + codec_lines_content(data, message->used) > max)
		return CODEC_TOO_LARGE;
	message->data = data;
	message->length = message->used;
	lines->taken += message->used;
	return CODEC_MESSAGE;
}

bool
codec_can_carry(enum codec codec, const char *data, size_t length)
{
	if (codec == CODEC_LINE)
		return length == 0 || !memchr(data, '\n', length);
	return length <= (codec == CODEC_IDS ? UINT32_MAX - CODEC_NUMBER : UINT32_MAX);
}

uint32_t
codec_number(const char from[CODEC_NUMBER])
{
	const unsigned char *byte = (const unsigned char *)from;

	return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 |
	       (uint32_t)byte[3];
}

static void
codec_write_number(size_t number, char to[CODEC_NUMBER])
{
	to[0] = (char)(number >> 24 & 0xff);
	to[1] = (char)(number >> 16 & 0xff);
	to[2] = (char)(number >> 8 & 0xff);
	to[3] = (char)(number & 0xff);
}

size_t
codec_head(enum codec codec, size_t length, char head[CODEC_HEAD_MAX])
{
	if (codec != CODEC_FRAME)
		return 0;
	codec_write_number(length, head);
	return CODEC_HEAD_MAX;
}

void
codec_head_ids(uint32_t id, size_t length, char head[CODEC_IDS_HEAD])
{
	codec_write_number(length + CODEC_NUMBER, head);
	codec_write_number(id, head + CODEC_NUMBER);
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
