/*
 * Fuzzing of frames. The first byte is the largest message, the next two say where the input is cut
 * in two; the rest is the stream.
 *
 * However the stream arrives, whole, in two pieces or byte by byte, the same messages must be found
 * and the same end reached; each is what a slow search of our own finds; each can be written again
 * and comes out of the stream as it was. The stream itself, as one message, survives too.
 */
#include "common/codec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_MESSAGES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_found {
	size_t at; /* where its length stands */
	size_t length;
};

/* What became of a stream. */
struct fuzz_run {
	struct fuzz_found found[FUZZ_MESSAGES_MAX];
	size_t count;
	size_t taken; /* bytes of whole messages */
	enum codec_found end;
	size_t end_seen; /* bytes that had arrived when `end` was CODEC_TOO_LARGE */
};

static void
fuzz_must(bool truth)
{
	if (!truth)
		abort();
}

/* `length` bytes of the stream have arrived: find what there is. */
static void
fuzz_arrive(struct fuzz_run *run, const char *stream, size_t length, size_t max)
{
	while (run->end == CODEC_MORE && run->count < FUZZ_MESSAGES_MAX) {
		size_t rest = length - run->taken;
		char *exact = malloc(rest ? rest : 1);
		struct codec_message message;

		/* A copy without a byte behind it, so that reading too far is noticed. */
		memcpy(exact, stream + run->taken, rest);
		run->end = codec_find(CODEC_FRAME, exact, rest, max, NULL, &message);
		if (run->end == CODEC_MESSAGE) {
			fuzz_must(message.data == exact + 4 && message.used == message.length + 4);
			fuzz_must(message.used <= rest && !message.had_cr);
			run->found[run->count++] = (struct fuzz_found){run->taken, message.length};
			run->taken += message.used;
		}
		free(exact);
		if (run->end == CODEC_TOO_LARGE)
			run->end_seen = length;
		if (run->end != CODEC_MESSAGE)
			return;
		run->end = CODEC_MORE;
	}
}

/* The same in the plainest words. */
static void
fuzz_expect(struct fuzz_run *run, const char *stream, size_t length, size_t max)
{
	while (length - run->taken >= 4 && run->count < FUZZ_MESSAGES_MAX) {
		uint64_t content = 0;

		for (size_t i = 0; i < 4; i++)
			content = content * 256 + (uint8_t)stream[run->taken + i];
		if (content > max) {
			run->end = CODEC_TOO_LARGE;
			run->end_seen = run->taken + 4;
			return;
		}
		if (run->taken + 4 + content > length)
			return;
		run->found[run->count++] = (struct fuzz_found){run->taken, content};
		run->taken += 4 + content;
	}
}

static void
fuzz_same(const struct fuzz_run *a, const struct fuzz_run *b)
{
	fuzz_must(a->count == b->count && a->taken == b->taken && a->end == b->end);
	for (size_t i = 0; i < a->count; i++) {
		fuzz_must(a->found[i].at == b->found[i].at);
		fuzz_must(a->found[i].length == b->found[i].length);
	}
}

/* Writes the message as a sender would, and reads it back. Returns the bytes; the caller frees. */
static char *
fuzz_round_trip(const char *text, size_t length)
{
	char head[CODEC_HEAD_MAX], tail[CODEC_TAIL_MAX];
	char *wire = malloc(CODEC_HEAD_MAX + length);
	struct codec_message message;

	fuzz_must(codec_can_carry(CODEC_FRAME, text, length));
	fuzz_must(codec_head(CODEC_FRAME, length, head) == 4);
	fuzz_must(codec_tail(CODEC_FRAME, length % 2, tail) == 0);
	memcpy(wire, head, 4);
	memcpy(wire + 4, text, length);
	fuzz_must(
	    codec_find(CODEC_FRAME, wire, 4 + length, length, NULL, &message) == CODEC_MESSAGE);
	fuzz_must(message.length == length && memcmp(message.data, text, length) == 0);
	return wire;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_run expected, whole, halves, bytes;
	const char *stream = (const char *)data + 3;
	size_t length, max, cut;

	if (size < 3)
		return 0;
	length = size - 3;
	max = data[0];
	cut = length ? ((size_t)data[1] << 8 | data[2]) % (length + 1) : 0;
	memset(&expected, 0, sizeof(expected));
	memset(&whole, 0, sizeof(whole));
	memset(&halves, 0, sizeof(halves));
	memset(&bytes, 0, sizeof(bytes));
	fuzz_expect(&expected, stream, length, max);
	fuzz_arrive(&whole, stream, length, max);
	fuzz_arrive(&halves, stream, cut, max);
	fuzz_arrive(&halves, stream, length, max);
	for (size_t i = 0; i <= length; i++)
		fuzz_arrive(&bytes, stream, i, max);
	fuzz_same(&expected, &whole);
	fuzz_same(&expected, &halves);
	fuzz_same(&expected, &bytes);
	/* Byte by byte it is known with the first byte that decides it. */
	fuzz_must(expected.end_seen == bytes.end_seen);
	for (size_t i = 0; i < whole.count; i++) {
		const struct fuzz_found *found = &whole.found[i];
		char *wire = fuzz_round_trip(stream + found->at + 4, found->length);

		fuzz_must(memcmp(wire, stream + found->at, 4 + found->length) == 0);
		free(wire);
	}
	free(fuzz_round_trip(stream, length));
	return 0;
}
