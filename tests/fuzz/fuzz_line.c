/*
 * Fuzzing of lines. The first byte is the largest message, the next two say where the input is cut
 * in two; the rest is the stream.
 *
 * However the stream arrives, whole, in two pieces or byte by byte, the same messages must be found
 * and the same end reached; each is what a slow search of our own finds; each can be written again
 * and comes out of the stream as it was.
 */
#include "common/codec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_MESSAGES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_found {
	size_t at, length, used;
	bool had_cr;
};

/* What became of a stream. */
struct fuzz_run {
	struct fuzz_found found[FUZZ_MESSAGES_MAX];
	size_t count;
	size_t taken; /* bytes of whole messages */
	enum codec_found end;
	size_t end_seen; /* bytes that had arrived when `end` was CODEC_TOO_LARGE */
	size_t scanned;
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
		run->end = codec_find(CODEC_LINE, exact, rest, max, &run->scanned, &message);
		fuzz_must(run->scanned <= rest);
		if (run->end == CODEC_MESSAGE) {
			fuzz_must(message.data == exact && message.used <= rest);
			run->found[run->count++] = (struct fuzz_found){
			    run->taken, message.length, message.used, message.had_cr};
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

/* The same in the plainest words: the rules of codec.h over the whole stream. */
static void
fuzz_expect(struct fuzz_run *run, const char *stream, size_t length, size_t max)
{
	size_t from = 0;

	for (size_t i = 0; i < length && run->count < FUZZ_MESSAGES_MAX; i++) {
		bool lf = stream[i] == '\n';
		size_t content = i - from + (lf ? 0 : 1);
		bool cr = lf ? content > 0 && stream[i - 1] == '\r' : stream[i] == '\r';

		if (content - (cr ? 1 : 0) > max) {
			run->end = CODEC_TOO_LARGE;
			run->end_seen = i + 1;
			return;
		}
		if (!lf)
			continue;
		run->found[run->count++] =
		    (struct fuzz_found){from, content - (cr ? 1 : 0), content + 1, cr};
		run->taken = from = i + 1;
	}
}

static void
fuzz_same(const struct fuzz_run *a, const struct fuzz_run *b)
{
	fuzz_must(a->count == b->count && a->taken == b->taken && a->end == b->end);
	for (size_t i = 0; i < a->count; i++) {
		fuzz_must(a->found[i].at == b->found[i].at);
		fuzz_must(a->found[i].length == b->found[i].length);
		fuzz_must(a->found[i].used == b->found[i].used);
		fuzz_must(a->found[i].had_cr == b->found[i].had_cr);
	}
}

/* Writes the message as a sender would, and reads it back. */
static void
fuzz_round_trip(const char *text, const struct fuzz_found *found)
{
	char head[CODEC_HEAD_MAX], tail[CODEC_TAIL_MAX];
	size_t head_length = codec_head(CODEC_LINE, found->length, head);
	size_t tail_length = codec_tail(CODEC_LINE, found->had_cr, tail);
	char *wire = malloc(head_length + found->length + tail_length);
	struct codec_message message;

	fuzz_must(codec_can_carry(CODEC_LINE, text, found->length));
	fuzz_must(head_length + found->length + tail_length == found->used);
	memcpy(wire, head, head_length);
	memcpy(wire + head_length, text, found->length);
	memcpy(wire + head_length + found->length, tail, tail_length);
	fuzz_must(memcmp(wire, text, found->used) == 0);
	fuzz_must(codec_find(CODEC_LINE, wire, found->used, found->length, NULL, &message) ==
		  CODEC_MESSAGE);
	fuzz_must(message.length == found->length && message.used == found->used);
	fuzz_must(message.had_cr == found->had_cr);
	free(wire);
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
	for (size_t i = 0; i < whole.count; i++)
		fuzz_round_trip(stream + whole.found[i].at, &whole.found[i]);
	return 0;
}
