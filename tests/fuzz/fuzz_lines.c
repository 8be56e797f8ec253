/*
 * Fuzzing of messages of several lines; see stream.h. Behind the three first bytes stands one
 * that says how long the end line is, then that line, then the stream.
 */
#include "tests/fuzz/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct codec_lines fuzz_lines; /* of this input */

static enum codec_found
fuzz_lines_find(struct stream_run *run, const char *data, size_t length, size_t max,
    struct codec_message *message)
{
	enum codec_found found = codec_find_lines(&run->lines, data, length, max, message);

	if (found == CODEC_MESSAGE) {
		stream_must(run->lines.scanned == 0 && run->lines.line == 0);
		stream_must(message->data == NULL || message->data == data);
	}
	return found;
}

/* How many bytes of a message of `length` bytes are the newline at its end. */
static size_t
fuzz_lines_newline(const char *from, size_t length)
{
	if (length == 0)
		return 0;
	return length >= 2 && from[length - 2] == '\r' ? 2 : 1;
}

/* A line that ends with the LF in front of `behind`: is it the end of the message at `from`? */
static bool
fuzz_lines_is_end(const char *line, const char *behind)
{
	size_t length = (size_t)(behind - line) - 1;

	if (length > 0 && line[length - 1] == '\r' && length - 1 == fuzz_lines.end_length)
		return memcmp(line, fuzz_lines.end, length - 1) == 0;
	return length == fuzz_lines.end_length && memcmp(line, fuzz_lines.end, length) == 0;
}

static void
fuzz_lines_too_large(struct stream_run *run, size_t seen)
{
	run->end = CODEC_TOO_LARGE;
	run->end_seen = seen;
}

static void
fuzz_lines_expect(struct stream_run *run, const char *stream, size_t length, size_t max)
{
	size_t line = 0; /* where the line begins */

	for (size_t i = 0; i < length && run->count < STREAM_MESSAGES_MAX; i++) {
		const char *from = stream + run->taken;
		size_t before = line - run->taken, content;
		bool lf = stream[i] == '\n';

		content = before - fuzz_lines_newline(from, before);
		if (lf && fuzz_lines_is_end(stream + line, stream + i + 1)) {
			line = i + 1;
			stream_add(run, (struct stream_found){
					    .what = CODEC_MESSAGE,
					    .at = run->taken,
					    .length = content,
					    .used = line - run->taken,
					    .no_data = before == 0,
					});
			continue;
		}
		if (lf) {
			line = i + 1;
			before = line - run->taken;
			content = before - fuzz_lines_newline(from, before);
		}
		/* The last place where the end line could end: both newlines with a CR. */
		if (content > max || i + 1 - run->taken >= max + 2 + fuzz_lines.end_length + 2) {
			fuzz_lines_too_large(run, i + 1);
			return;
		}
	}
}

/* What a sender would write: the lines, then the end line. */
static void
fuzz_lines_round_trip(const char *at, const struct stream_found *found)
{
	char *wire = malloc(found->length + fuzz_lines.end_length + 3);
	struct codec_lines lines = fuzz_lines;
	struct codec_message message;
	size_t length = 0;

	if (!found->no_data) {
		length = found->length;
		memcpy(wire, at, length);
		/* A CR that is content would be taken for a part of the newline. */
		if (length > 0 && wire[length - 1] == '\r')
			wire[length++] = '\r';
		wire[length++] = '\n';
	}
	memcpy(wire + length, fuzz_lines.end, fuzz_lines.end_length);
	length += fuzz_lines.end_length;
	wire[length++] = '\n';
	stream_must(
	    codec_find_lines(&lines, wire, length, found->length, &message) == CODEC_MESSAGE);
	stream_must(message.used == length && message.length == found->length);
	stream_must(found->no_data == (message.data == NULL));
	free(wire);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_target target = {
	    .find = fuzz_lines_find,
	    .expect = fuzz_lines_expect,
	    .round_trip = fuzz_lines_round_trip,
	};
	size_t end, length, cut;

	if (size < 4)
		return 0;
	end = data[3] % (size - 3);
	if (memchr(data + 4, '\n', end))
		return 0; /* a line has none */
	length = size - 4 - end;
	cut = length ? ((size_t)data[1] << 8 | data[2]) % (length + 1) : 0;
	fuzz_lines = (struct codec_lines){.end = (const char *)data + 4, .end_length = end};
	stream_try(&target, (const char *)data + 4 + end, length, data[0], cut, fuzz_lines);
	return 0;
}
