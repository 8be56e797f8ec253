/* Fuzzing of frames with ids; see stream.h. */
#include "tests/fuzz/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum codec_found
fuzz_ids_find(struct stream_run *run, const char *data, size_t length, size_t max,
    struct codec_message *message)
{
	enum codec_found found = codec_find(CODEC_IDS, data, length, max, NULL, message);

	if (found == CODEC_TOO_LARGE)
		run->end_id = message->tag;
	if (found == CODEC_MESSAGE)
		stream_must(message->data == data + 8 && message->used == message->length + 8);
	return found;
}

static uint32_t
fuzz_ids_number(const char *from)
{
	uint32_t number = 0;

	for (size_t i = 0; i < 4; i++)
		number = number * 256 + (uint8_t)from[i];
	return number;
}

static void
fuzz_ids_expect(struct stream_run *run, const char *stream, size_t length, size_t max)
{
	while (length - run->taken >= 4 && run->count < STREAM_MESSAGES_MAX) {
		const char *at = stream + run->taken;
		uint64_t content = fuzz_ids_number(at);
		struct stream_found found = {.at = run->taken, .used = 4 + content};

		if (content < 4) {
			found.what = CODEC_BAD;
		} else if (length - run->taken < 8) {
			return;
		} else {
			found.what = CODEC_MESSAGE;
			found.tag = fuzz_ids_number(at + 4);
			found.length = content - 4;
		}
		if (found.length > max) {
			run->end = CODEC_TOO_LARGE;
			run->end_id = found.tag;
			run->end_seen = run->taken + 8;
			return;
		}
		if (found.used > length - run->taken)
			return;
		stream_add(run, found);
	}
}

static void
fuzz_ids_round_trip(const char *at, const struct stream_found *found)
{
	char head[CODEC_IDS_HEAD];

	stream_must(codec_can_carry(CODEC_IDS, at + 8, found->length));
	codec_head_ids(found->tag, found->length, head);
	stream_must(memcmp(head, at, 8) == 0);
	stream_must(codec_number(head + 4) == found->tag);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_target target = {
	    .find = fuzz_ids_find,
	    .expect = fuzz_ids_expect,
	    .round_trip = fuzz_ids_round_trip,
	};

	return stream_input(&target, data, size);
}
