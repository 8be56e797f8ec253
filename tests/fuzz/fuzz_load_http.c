/*
 * Fuzzing of HTTP replies. The first byte is the largest body, and where it is odd the replies are
 * to the handshake of a WebSocket; the next two say where the input is cut in two; the rest is the
 * stream.
 *
 * However the stream arrives, whole, in two pieces or byte by byte, the same replies must be found
 * and the same end reached. Then the stream is taken for a body: wrapped in a good reply in each of
 * the three ways it must come out as it was, and cut anywhere it must not come out at all.
 */
#include "ctl/load_http.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_REPLIES_MAX 1024
#define FUZZ_WRAP_MAX    64 /* bytes of a stream that is wrapped */
#define FUZZ_ACCEPT      "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_found {
	size_t at, length, used;
	unsigned status;
	bool closes;
	uint64_t body; /* a sum of its bytes */
};

/* What became of a stream. */
struct fuzz_run {
	struct fuzz_found found[FUZZ_REPLIES_MAX];
	size_t count;
	size_t taken; /* bytes of whole replies */
	enum load_http_found end;
	const char *why;
	struct load_http state;
	const char *accept; /* borrows; or NULL */
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
fuzz_note(
    struct fuzz_run *run, const char *data, size_t length, const struct load_http_reply *reply)
{
	fuzz_must(reply->used > 0 && reply->used <= length);
	fuzz_must((reply->status >= 200 && reply->status <= 599) ||
		  (reply->status == 101 && run->accept && reply->length == 0));
	fuzz_must(reply->body >= data && reply->body + reply->length <= data + reply->used);
	fuzz_must(run->state.phase == LOAD_HTTP_STATUS && run->state.at == 0);
	run->found[run->count++] = (struct fuzz_found){run->taken, reply->length, reply->used,
	    reply->status, reply->closes, fuzz_sum(reply->body, reply->length)};
	run->taken += reply->used;
}

/* `length` bytes of the stream have arrived: find what there is. */
static void
fuzz_arrive(struct fuzz_run *run, const char *stream, size_t length, size_t max)
{
	while (run->end == LOAD_HTTP_MORE && run->count < FUZZ_REPLIES_MAX) {
		size_t rest = length - run->taken;
		char *exact = malloc(rest ? rest : 1);
		struct load_http_reply reply;

		/* A copy without a byte behind it, so that reading too far is noticed. */
		memcpy(exact, stream + run->taken, rest);
		run->state.accept = run->accept;
		run->end = load_http_find(&run->state, exact, rest, max, &reply);
		if (run->end == LOAD_HTTP_REPLY)
			fuzz_note(run, exact, rest, &reply);
		free(exact);
		if (run->end == LOAD_HTTP_BAD)
			run->why = reply.why;
		if (run->end != LOAD_HTTP_REPLY)
			return;
		run->end = LOAD_HTTP_MORE;
	}
}

/* The stream has ended. */
static void
fuzz_end(struct fuzz_run *run, const char *stream, size_t length)
{
	size_t rest = length - run->taken;
	struct load_http_reply reply;
	char *exact;

	if (run->end != LOAD_HTTP_MORE || run->count == FUZZ_REPLIES_MAX)
		return;
	exact = malloc(rest ? rest : 1);
	memcpy(exact, stream + run->taken, rest);
	run->end = load_http_end(&run->state, exact, rest, &reply);
	if (run->end == LOAD_HTTP_REPLY) {
		fuzz_must(reply.used == rest && reply.closes);
		fuzz_note(run, exact, rest, &reply);
	}
	free(exact);
}

static void
fuzz_same(const struct fuzz_run *a, const struct fuzz_run *b)
{
	fuzz_must(a->count == b->count && a->taken == b->taken && a->end == b->end);
	fuzz_must(a->why == b->why);
	for (size_t i = 0; i < a->count; i++) {
		fuzz_must(a->found[i].at == b->found[i].at);
		fuzz_must(a->found[i].length == b->found[i].length);
		fuzz_must(a->found[i].used == b->found[i].used);
		fuzz_must(a->found[i].status == b->found[i].status);
		fuzz_must(a->found[i].closes == b->found[i].closes);
		fuzz_must(a->found[i].body == b->found[i].body);
	}
}

enum fuzz_way { FUZZ_LENGTH, FUZZ_CHUNKS, FUZZ_CLOSE, FUZZ_WAYS };

/* Writes a good reply with that body; returns its bytes. */
static size_t
fuzz_wrap(enum fuzz_way way, const char *body, size_t length, size_t chunk, char *to)
{
	char *at = to;

	if (way == FUZZ_LENGTH)
		at += sprintf(at, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", length);
	else if (way == FUZZ_CHUNKS)
		at += sprintf(at, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	else
		at += sprintf(at, "HTTP/1.1 200 OK\r\n\r\n");
	for (size_t done = 0; done < length; done += chunk) {
		size_t part = length - done < chunk ? length - done : chunk;

		if (way == FUZZ_CHUNKS)
			at += sprintf(at, "%zx\r\n", part);
		memcpy(at, body + done, part);
		at += part;
		if (way == FUZZ_CHUNKS)
			at += sprintf(at, "\r\n");
	}
	if (way == FUZZ_CHUNKS)
		at += sprintf(at, "0\r\n\r\n");
	return (size_t)(at - to);
}

/* `part` bytes of a wrapped body arrived, then the stream ended. */
static void
fuzz_unwrap(enum fuzz_way way, const char *wrapped, size_t part, size_t whole, const char *body,
    size_t length)
{
	char *exact = malloc(part ? part : 1);
	struct load_http state = {0};
	struct load_http_reply reply;
	enum load_http_found found;

	memcpy(exact, wrapped, part);
	found = load_http_find(&state, exact, part, 8 * FUZZ_WRAP_MAX, &reply);
	fuzz_must(found == (part == whole && way != FUZZ_CLOSE ? LOAD_HTTP_REPLY : LOAD_HTTP_MORE));
	if (found == LOAD_HTTP_MORE)
		found = load_http_end(&state, exact, part, &reply);
	if (part == whole) {
		fuzz_must(found == LOAD_HTTP_REPLY && reply.used == whole);
		fuzz_must(reply.length == length && memcmp(reply.body, body, length) == 0);
	} else if (way != FUZZ_CLOSE) {
		fuzz_must(found == (part == 0 ? LOAD_HTTP_MORE : LOAD_HTTP_BAD));
	}
	free(exact);
}

static void
fuzz_round_trip(const char *body, size_t length, size_t chunk)
{
	static char wrapped[8 * FUZZ_WRAP_MAX + 128];

	for (enum fuzz_way way = 0; way < FUZZ_WAYS; way++) {
		size_t whole = fuzz_wrap(way, body, length, chunk, wrapped);

		for (size_t part = 0; part <= whole; part++)
			fuzz_unwrap(way, wrapped, part, whole, body, length);
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
	max = data[0];
	cut = length ? ((size_t)data[1] << 8 | data[2]) % (length + 1) : 0;
	memset(&whole, 0, sizeof(whole));
	memset(&halves, 0, sizeof(halves));
	memset(&bytes, 0, sizeof(bytes));
	if (max % 2 == 1)
		whole.accept = halves.accept = bytes.accept = FUZZ_ACCEPT;
	fuzz_arrive(&whole, stream, length, max);
	fuzz_arrive(&halves, stream, cut, max);
	fuzz_arrive(&halves, stream, length, max);
	for (size_t i = 0; i <= length; i++)
		fuzz_arrive(&bytes, stream, i, max);
	fuzz_end(&whole, stream, length);
	fuzz_end(&halves, stream, length);
	fuzz_end(&bytes, stream, length);
	fuzz_same(&whole, &halves);
	fuzz_same(&whole, &bytes);
	if (length <= FUZZ_WRAP_MAX)
		fuzz_round_trip(stream, length, cut % 16 + 1);
	return 0;
}
