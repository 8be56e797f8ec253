/* The streams of stream.h: lets them arrive in three ways and compares what was found. */
#include "tests/fuzz/stream.h"

#include <stdlib.h>
#include <string.h>

void
stream_must(bool truth)
{
	if (!truth)
		abort();
}

void
stream_add(struct stream_run *run, struct stream_found found)
{
	run->found[run->count++] = found;
	run->taken += found.used;
}

static void
stream_take(struct stream_run *run, const char *data, const struct codec_message *message)
{
	struct stream_found found = {
	    .what = run->end,
	    .at = run->taken,
	    .used = message->used,
	};

	if (run->end == CODEC_MESSAGE) {
		found.length = message->length;
		found.tag = message->tag;
		found.no_data = message->data == NULL;
		stream_must(found.no_data ? found.length == 0 : message->data >= data);
		stream_must(
		    found.no_data || message->data + message->length <= data + message->used);
	}
	stream_add(run, found);
}

/* `length` bytes of the stream have arrived: find what there is. */
static void
stream_arrive(const struct stream_target *target, struct stream_run *run, const char *stream,
    size_t length, size_t max)
{
	while (run->end == CODEC_MORE && run->count < STREAM_MESSAGES_MAX) {
		size_t rest = length - run->taken;
		char *exact = malloc(rest ? rest : 1);
		struct codec_message message = {0};

		/* A copy without a byte behind it, so that reading too far is noticed. */
		memcpy(exact, stream + run->taken, rest);
		run->end = target->find(run, exact, rest, max, &message);
		stream_must(run->scanned <= rest && run->lines.scanned <= rest);
		stream_must(run->lines.line <= run->lines.scanned);
		if (run->end == CODEC_MESSAGE || run->end == CODEC_BAD) {
			stream_must(message.used > 0 && message.used <= rest);
			stream_take(run, exact, &message);
		} else if (run->end == CODEC_TOO_LARGE) {
			run->end_seen = length;
		}
		free(exact);
		if (run->end != CODEC_MESSAGE && run->end != CODEC_BAD)
			return;
		run->end = CODEC_MORE;
	}
}

static void
stream_same(const struct stream_run *a, const struct stream_run *b)
{
	stream_must(a->count == b->count && a->taken == b->taken && a->end == b->end);
	stream_must(a->end_id == b->end_id);
	for (size_t i = 0; i < a->count; i++) {
		stream_must(a->found[i].what == b->found[i].what);
		stream_must(a->found[i].at == b->found[i].at);
		stream_must(a->found[i].length == b->found[i].length);
		stream_must(a->found[i].used == b->found[i].used);
		stream_must(a->found[i].tag == b->found[i].tag);
		stream_must(a->found[i].no_data == b->found[i].no_data);
	}
}

static void
stream_start(struct stream_run *run, struct codec_lines lines)
{
	memset(run, 0, sizeof(*run));
	run->lines = lines;
}

void
stream_try(const struct stream_target *target, const char *stream, size_t length, size_t max,
    size_t cut, struct codec_lines lines)
{
	static struct stream_run expected, whole, halves, bytes;

	stream_start(&expected, lines);
	stream_start(&whole, lines);
	stream_start(&halves, lines);
	stream_start(&bytes, lines);
	target->expect(&expected, stream, length, max);
	stream_arrive(target, &whole, stream, length, max);
	stream_arrive(target, &halves, stream, cut, max);
	stream_arrive(target, &halves, stream, length, max);
	for (size_t i = 0; i <= length; i++)
		stream_arrive(target, &bytes, stream, i, max);
	stream_same(&expected, &whole);
	stream_same(&expected, &halves);
	stream_same(&expected, &bytes);
	/* Byte by byte it is known with the first byte that decides it. */
	stream_must(expected.end_seen == bytes.end_seen);
	for (size_t i = 0; i < whole.count; i++)
		if (whole.found[i].what == CODEC_MESSAGE)
			target->round_trip(stream + whole.found[i].at, &whole.found[i]);
}

int
stream_input(const struct stream_target *target, const uint8_t *data, size_t size)
{
	size_t length, cut;

	if (size < 3)
		return 0;
	length = size - 3;
	cut = length ? ((size_t)data[1] << 8 | data[2]) % (length + 1) : 0;
	stream_try(target, (const char *)data + 3, length, data[0], cut, (struct codec_lines){0});
	return 0;
}
