/*
 * Fuzzing of what a WebSocket server says. The first byte is the largest message in units of eight,
 * the next two say where the input is cut in two; the rest is the stream.
 *
 * However the stream arrives, whole, in two pieces or byte by byte, the same messages and control
 * frames must be found and the same end reached. Then the stream is taken for a message: in frames
 * of any size, with pings between them, it must come out as it was, and cut anywhere not at all.
 */
#include "ctl/load_websocket.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_PARTS_MAX 1024
#define FUZZ_WRAP_MAX  300 /* bytes of a stream that is wrapped */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_part {
	enum websocket_opcode opcode;
	size_t length;
	unsigned code;
	uint64_t content; /* a sum of its bytes */
};

/* What became of a stream. */
struct fuzz_run {
	struct fuzz_part parts[FUZZ_PARTS_MAX];
	size_t count;
	size_t taken; /* bytes that are used up */
	bool bad;
	const char *why;
	struct load_websocket state;
};

static void
fuzz_must(bool truth)
{
	if (!truth)
		abort();
}

static uint64_t
fuzz_sum(const char *data, size_t length)
{
	uint64_t sum = 14695981039346656037u;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ (uint8_t)data[i]) * 1099511628211u;
	return sum;
}

static void
fuzz_note(struct fuzz_run *run, const char *data, size_t length, size_t max,
    enum load_websocket_found found, const struct load_websocket_part *part)
{
	bool control = part->opcode >= WEBSOCKET_CLOSE;

	fuzz_must(control == (found == LOAD_WEBSOCKET_CONTROL));
	fuzz_must(part->used <= length && (part->used > 0) == !run->state.begun);
	fuzz_must(part->used > 0 || control);
	fuzz_must(part->length <= (control ? WEBSOCKET_CONTROL_MAX : max));
	fuzz_must(part->data >= data && part->data + part->length <= data + length);
	run->parts[run->count++] = (struct fuzz_part){
	    part->opcode, part->length, part->code, fuzz_sum(part->data, part->length)};
	run->taken += part->used;
}

/* `length` bytes of the stream have arrived: find what there is. */
static void
fuzz_arrive(struct fuzz_run *run, const char *stream, size_t length, size_t max)
{
	while (!run->bad && run->count < FUZZ_PARTS_MAX) {
		size_t rest = length - run->taken;
		char *exact = malloc(rest ? rest : 1);
		struct load_websocket_part part;
		enum load_websocket_found found;

		/* A copy without a byte behind it, so that reading too far is noticed. */
		memcpy(exact, stream + run->taken, rest);
		found = load_websocket_find(&run->state, exact, rest, max, &part);
		run->bad = found == LOAD_WEBSOCKET_BAD;
		if (run->bad)
			run->why = part.why;
		else if (found != LOAD_WEBSOCKET_MORE)
			fuzz_note(run, exact, rest, max, found, &part);
		free(exact);
		if (found == LOAD_WEBSOCKET_MORE)
			return;
	}
}

static void
fuzz_same(const struct fuzz_run *a, const struct fuzz_run *b)
{
	fuzz_must(a->count == b->count && a->taken == b->taken && a->bad == b->bad);
	fuzz_must(a->why == b->why && a->state.at == b->state.at);
	for (size_t i = 0; i < a->count; i++) {
		fuzz_must(a->parts[i].opcode == b->parts[i].opcode);
		fuzz_must(a->parts[i].length == b->parts[i].length);
		fuzz_must(a->parts[i].code == b->parts[i].code);
		fuzz_must(a->parts[i].content == b->parts[i].content);
	}
}

/* Writes the body as frames of `each` bytes with a ping behind each; returns its bytes. */
static size_t
fuzz_wrap(const char *body, size_t length, size_t each, char *to)
{
	char *at = to;
	size_t done = 0;

	do {
		size_t part = length - done < each ? length - done : each;

		at += websocket_head(
		    done > 0 ? WEBSOCKET_CONTINUATION : WEBSOCKET_BINARY, part, false, at);
		if (done + part < length)
			at[-(ptrdiff_t)websocket_head_length(part)] &= 0x7f;
		memcpy(at, body + done, part);
		at += part;
		done += part;
		if (done < length)
			at += websocket_head(WEBSOCKET_PING, 0, false, at);
	} while (done < length);
	return (size_t)(at - to);
}

static void
fuzz_round_trip(const char *body, size_t length, size_t each)
{
	static char wrapped[8 * FUZZ_WRAP_MAX + 128];
	static struct fuzz_run run;
	size_t whole = fuzz_wrap(body, length, each, wrapped);

	for (size_t part = 0; part <= whole; part++) {
		struct fuzz_part *last;

		memset(&run, 0, sizeof(run));
		fuzz_arrive(&run, wrapped, part, FUZZ_WRAP_MAX);
		fuzz_must(!run.bad && run.taken == (part == whole ? whole : 0));
		if (part < whole)
			continue;
		last = &run.parts[run.count - 1];
		fuzz_must(last->opcode == WEBSOCKET_BINARY && last->length == length);
		fuzz_must(last->content == fuzz_sum(body, length));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_run whole, halves, bytes;
	const char *stream = (const char *)data + 3;
	size_t length, max, cut;

	if (size < 3)
		return 0;
	length = size - 3;
	max = data[0] * 8u;
	cut = length ? ((size_t)data[1] << 8 | data[2]) % (length + 1) : 0;
	memset(&whole, 0, sizeof(whole));
	memset(&halves, 0, sizeof(halves));
	memset(&bytes, 0, sizeof(bytes));
	fuzz_arrive(&whole, stream, length, max);
	fuzz_arrive(&halves, stream, cut, max);
	fuzz_arrive(&halves, stream, length, max);
	for (size_t i = 0; i <= length; i++)
		fuzz_arrive(&bytes, stream, i, max);
	fuzz_same(&whole, &halves);
	fuzz_same(&whole, &bytes);
	if (length <= FUZZ_WRAP_MAX)
		fuzz_round_trip(stream, length, cut % 130 + 1);
	return 0;
}
