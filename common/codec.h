/*
 * Messages in a byte stream, as pure functions: towards clients, towards programs, in the load
 * generator.
 *
 * line:  LF ends a message; one CR before it is dropped (and remembered).
 * frame: four bytes, big-endian, give the length of what follows.
 */
#ifndef COMMON_CODEC_H
#define COMMON_CODEC_H

#include <stdbool.h>
#include <stddef.h>

enum codec { CODEC_LINE, CODEC_FRAME };

enum codec_found {
	CODEC_MORE,     /* no whole message yet */
	CODEC_MESSAGE,  /* one message; `used` bytes belong to it */
	CODEC_TOO_LARGE /* the message is, or will be, longer than `max` */
};

struct codec_message {
	const char *data; /* borrows from the input */
	size_t length;    /* bytes of the message without its framing */
	size_t used;      /* bytes of the message with its framing */
	bool had_cr;      /* line only: a CR stood before the LF */
};

/*
 * Looks for one message at the start of `data`; `message` is filled in for CODEC_MESSAGE alone.
 * `max` counts a line without its CR and LF, a frame without its length. `scanned` (line only, may
 * be NULL) holds how many bytes are known to have no LF, so that input which comes byte by byte is
 * not searched twice; set it to 0 for a new message (finding one does that too).
 */
enum codec_found codec_find(enum codec codec, const char *data, size_t length, size_t max,
    size_t *scanned, struct codec_message *message);

/* Whether the framing can carry the message: a line cannot carry LF, a frame not more than 2^32-1.
 */
bool codec_can_carry(enum codec codec, const char *data, size_t length);

#define CODEC_HEAD_MAX 4 /* bytes before a message, at most */
#define CODEC_TAIL_MAX 2 /* bytes after a message, at most */

/* Writes what stands before a message and returns its length (line 0, frame 4). */
size_t codec_head(enum codec codec, size_t length, char head[CODEC_HEAD_MAX]);
/* Writes what stands after a message and returns its length (line 1 or 2, frame 0). */
size_t codec_tail(enum codec codec, bool with_cr, char tail[CODEC_TAIL_MAX]);

#endif
