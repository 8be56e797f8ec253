/*
 * Messages in a byte stream, as pure functions: towards clients, towards programs, in the load
 * generator.
 *
 * line:  LF ends a message; one CR before it is dropped (and remembered).
 * frame: four bytes, big-endian, give the length of what follows.
 * ids:   a frame of which the first four bytes, big-endian, are a number that the asker chose; the
 *        message is what stands behind it.
 *
 * Several lines that end with a certain one are a message for codec_find_lines().
 */
#ifndef COMMON_CODEC_H
#define COMMON_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec { CODEC_LINE, CODEC_FRAME, CODEC_IDS };

enum codec_found {
	CODEC_MORE,      /* no whole message yet */
	CODEC_MESSAGE,   /* one message; `used` bytes belong to it */
	CODEC_TOO_LARGE, /* the message is, or will be, longer than `max` */
	CODEC_BAD        /* ids: a whole frame without room for its id; `used` bytes belong to it */
};

struct codec_message {
	const char *data; /* borrows from the input; NULL: of several lines there is not one */
	size_t length;    /* bytes of the message without its framing */
	size_t used;      /* bytes of the message with its framing */
	/* line: 1 where a CR stood before the LF; ids: the id, for CODEC_TOO_LARGE too; else 0 */
	uint32_t tag;
};

/*
 * Looks for one message at the start of `data`; `message` is filled in for CODEC_MESSAGE alone.
 * `max` counts a line without its CR and LF, a frame without its length and id. `scanned` (line
 * only, may be NULL) holds how many bytes are known to have no LF, so that input which comes byte
 * by byte is not searched twice; set it to 0 for a new message (finding one does that too).
 */
enum codec_found codec_find(enum codec codec, const char *data, size_t length, size_t max,
    size_t *scanned, struct codec_message *message);

/* Where codec_find_lines() is in a message of several lines. */
struct codec_lines {
	const char *end; /* borrows; the line that ends a message, without its LF */
	size_t end_length;
	size_t scanned, line; /* bytes that were looked at; where the last line in them begins */
	size_t taken;         /* bytes of lines that codec_find_next_line() has found before */
};

/*
 * Looks for the lines up to the one that is `lines->end`, of which a CR before the LF does not
 * count. The message is what stands in front of that line, as it is but for the last LF and a CR
 * before that; `max` counts just that. `scanned` and `line` are 0 for a new message (finding one
 * sets them so).
 */
enum codec_found codec_find_lines(struct codec_lines *lines, const char *data, size_t length,
    size_t max, struct codec_message *message);

/*
 * The same line by line: each one of the message with its LF, then one with `data` NULL, which ends
 * the message. Of that, too, `max` counts all but the last LF and a CR before it.
 */
enum codec_found codec_find_next_line(struct codec_lines *lines, const char *data, size_t length,
    size_t max, struct codec_message *message);

/*
 * Whether the framing can carry the message: a line cannot carry LF, a frame not more than 2^32-1
 * bytes, its id included.
 */
bool codec_can_carry(enum codec codec, const char *data, size_t length);

#define CODEC_HEAD_MAX 4 /* bytes before a line or a frame, at most */
#define CODEC_TAIL_MAX 2 /* bytes after a message, at most */

/* Writes what stands before a message and returns its length (line 0, frame 4). */
size_t codec_head(enum codec codec, size_t length, char head[CODEC_HEAD_MAX]);
/* Writes what stands after a message and returns its length (line 1 or 2, frame 0). */
size_t codec_tail(enum codec codec, bool with_cr, char tail[CODEC_TAIL_MAX]);

#define CODEC_NUMBER   4 /* bytes of a number: a frame's length, an id */
#define CODEC_IDS_HEAD 8 /* bytes before a message of ids */

/* The head of a message of ids. */
void codec_head_ids(uint32_t id, size_t length, char head[CODEC_IDS_HEAD]);
/* A number, big-endian. */
uint32_t codec_number(const char from[CODEC_NUMBER]);

#endif
