/* Fuzzing of lines; see stream.h. */
#include "tests/fuzz/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum codec_found
fuzz_line_find(struct stream_run *run, const char *data, size_t length, size_t max,
    struct codec_message *message)
{
	enum codec_found found = codec_find(CODEC_LINE, data, length, max, &run->scanned, message);

	stream_must(found != CODEC_MESSAGE || message->data == data);
	return found;
}

static void
fuzz_line_expect(struct stream_run *run, const char *stream, size_t length, size_t max)
{
	for (size_t i = 0; i < length && run->count < STREAM_MESSAGES_MAX; i++) {
		bool lf = stream[i] == '\n';
		size_t content = i - run->taken + (lf ? 0 : 1);
		bool cr = lf ? content > 0 && stream[i - 1] == '\r' : stream[i] == '\r';

		if (content - (cr ? 1 : 0) > max) {
			run->end = CODEC_TOO_LARGE;
			run->end_seen = i + 1;
			return;
		}
		if (lf)
			stream_add(run, (struct stream_found){
					    .what = CODEC_MESSAGE,
					    .at = run->taken,
					    .length = content - (cr ? 1 : 0),
					    .used = content + 1,
					    .tag = cr,
					});
	}
}

static void
fuzz_line_round_trip(const char *text, const struct stream_found *found)
{
	char head[CODEC_HEAD_MAX], tail[CODEC_TAIL_MAX];
	size_t head_length = codec_head(CODEC_LINE, found->length, head);
	size_t tail_length = codec_tail(CODEC_LINE, found->tag, tail);
	char *wire = malloc(head_length + found->length + tail_length);
	struct codec_message message;

	stream_must(codec_can_carry(CODEC_LINE, text, found->length));
	stream_must(head_length + found->length + tail_length == found->used);
	memcpy(wire, head, head_length);
	memcpy(wire + head_length, text, found->length);
	memcpy(wire + head_length + found->length, tail, tail_length);
	stream_must(memcmp(wire, text, found->used) == 0);
	stream_must(codec_find(CODEC_LINE, wire, found->used, found->length, NULL, &message) ==
		    CODEC_MESSAGE);
	stream_must(message.length == found->length && message.used == found->used);
	stream_must(message.tag == found->tag);
	free(wire);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_target target = {
	    .find = fuzz_line_find,
	    .expect = fuzz_line_expect,
	    .round_trip = fuzz_line_round_trip,
	};

	return stream_input(&target, data, size);
}
