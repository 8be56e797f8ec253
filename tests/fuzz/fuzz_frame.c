/* Fuzzing of frames; see stream.h. The stream itself, as one message, survives too. */
#include "tests/fuzz/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum codec_found
fuzz_frame_find(struct stream_run *run, const char *data, size_t length, size_t max,
    struct codec_message *message)
{
	enum codec_found found = codec_find(CODEC_FRAME, data, length, max, NULL, message);

	(void)run;
	if (found == CODEC_MESSAGE)
		stream_must(message->data == data + 4 && message->used == message->length + 4);
	return found;
}

static void
fuzz_frame_expect(struct stream_run *run, const char *stream, size_t length, size_t max)
{
	while (length - run->taken >= 4 && run->count < STREAM_MESSAGES_MAX) {
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
		stream_add(run, (struct stream_found){
				    .what = CODEC_MESSAGE,
				    .at = run->taken,
				    .length = content,
				    .used = 4 + content,
				});
	}
}

/* Writes the message as a sender would, and reads it back. Returns the bytes; the caller frees. */
static char *
fuzz_frame_write(const char *text, size_t length)
{
	char head[CODEC_HEAD_MAX], tail[CODEC_TAIL_MAX];
	char *wire = malloc(CODEC_HEAD_MAX + length);
	struct codec_message message;

	stream_must(codec_can_carry(CODEC_FRAME, text, length));
	stream_must(codec_head(CODEC_FRAME, length, head) == 4);
	stream_must(codec_tail(CODEC_FRAME, length % 2, tail) == 0);
	memcpy(wire, head, 4);
	memcpy(wire + 4, text, length);
	stream_must(
	    codec_find(CODEC_FRAME, wire, 4 + length, length, NULL, &message) == CODEC_MESSAGE);
	stream_must(message.length == length && memcmp(message.data, text, length) == 0);
	return wire;
}

static void
fuzz_frame_round_trip(const char *at, const struct stream_found *found)
{
	char *wire = fuzz_frame_write(at + 4, found->length);

	stream_must(memcmp(wire, at, found->used) == 0);
	free(wire);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_target target = {
	    .find = fuzz_frame_find,
	    .expect = fuzz_frame_expect,
	    .round_trip = fuzz_frame_round_trip,
	};

	if (size >= 3)
		free(fuzz_frame_write((const char *)data + 3, size - 3));
	return stream_input(&target, data, size);
}
