/*
 * What the targets that find messages in a stream share. Of an input the first byte is the largest
 * message, the next two say where the stream is cut in two; the rest is the stream.
 *
 * However the stream arrives, whole, in two pieces or byte by byte, the same messages must be found
 * and the same end reached, with the first byte that decides it; each is what a slow search finds,
 * which the target writes in the plainest words; each can be written again.
 */
#ifndef TESTS_FUZZ_STREAM_H
#define TESTS_FUZZ_STREAM_H

#include "common/codec.h"

#include <stdint.h>

#define STREAM_MESSAGES_MAX 4096

/* A message, or what is told to be none, and where it stands in the stream. */
struct stream_found {
	enum codec_found what; /* CODEC_MESSAGE or CODEC_BAD */
	size_t at, length, used;
	uint32_t tag;
	bool no_data; /* message.data was NULL */
};

/* What became of a stream. */
struct stream_run {
	struct stream_found found[STREAM_MESSAGES_MAX];
	size_t count;
	size_t taken;         /* bytes of whole messages */
	enum codec_found end; /* CODEC_MORE or CODEC_TOO_LARGE */
	uint32_t end_id;      /* ids: of what is too large */
	size_t end_seen;      /* bytes that had arrived when `end` was CODEC_TOO_LARGE */
	size_t scanned;
	struct codec_lines lines;
};

/* What a target tells. */
struct stream_target {
	/* Looks for one message at the start of `data`. */
	enum codec_found (*find)(struct stream_run *run, const char *data, size_t length,
	    size_t max, struct codec_message *message);
	/* The same for all of the stream, in the plainest words. */
	void (*expect)(struct stream_run *run, const char *stream, size_t length, size_t max);
	/* Writes the message that was found at `at` as a sender would, and reads it back. */
	void (*round_trip)(const char *at, const struct stream_found *found);
};

/* Aborts where it is false. */
void stream_must(bool truth);
/* For expect(): one message more. */
void stream_add(struct stream_run *run, struct stream_found found);
/* Tries a target on a stream that is cut at `cut`; each run begins with `lines`. */
void stream_try(const struct stream_target *target, const char *stream, size_t length, size_t max,
    size_t cut, struct codec_lines lines);
/* The same for an input as above. */
int stream_input(const struct stream_target *target, const uint8_t *data, size_t size);

#endif
