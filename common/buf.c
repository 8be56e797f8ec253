/*
 * The byte queue of buf.h. Owns the bytes of each queue; knows nothing of limits: whoever fills a
 * queue bounds it. Memory doubles, so that appending byte by byte is cheap, and unread bytes are
 * moved only when at least as many have been consumed, so that consuming bit by bit is cheap too.
 */
#include "common/buf.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256 /* bytes of the smallest allocation */
#define BUF_SIZES 3   /* so many sizes, each twice the one before, are kept for the next queues: */
#ifdef __SANITIZE_ADDRESS__
#define BUF_SPARE 1 /* it sees who uses one for too long only if they are really freed */
#else
#define BUF_SPARE 64 /* most of these live for a moment; so many of each size */
#endif

struct buf_shelf {
	char *data[BUF_SPARE]; /* owns */
	unsigned count;
};

static struct buf_shelf buf_shelves[BUF_SIZES];

/* Where memory of that size is kept; NULL where it is not. All sizes are BUF_FIRST, doubled. */
static struct buf_shelf *
buf_find_shelf(size_t capacity)
{
	if (capacity == 0 || capacity > (size_t)BUF_FIRST << (BUF_SIZES - 1))
		return NULL;
	return &buf_shelves[__builtin_ctzl(capacity / BUF_FIRST)];
}

static char *
buf_alloc(size_t capacity)
{
	struct buf_shelf *shelf = buf_find_shelf(capacity);
	char *data;

	if (shelf != NULL && shelf->count > 0)
		return shelf->data[--shelf->count];
	data = malloc(capacity);
	if (data == NULL)
		fatal("cannot allocate a buffer of %zu bytes", capacity);
	return data;
}

static void
buf_release(struct buf *b)
{
	struct buf_shelf *shelf = buf_find_shelf(b->capacity);

	if (shelf != NULL && shelf->count < BUF_SPARE)
		shelf->data[shelf->count++] = b->data;
	else
		free(b->data);
}

static void
buf_grow(struct buf *b, size_t length)
{
	size_t used = buf_length(b);
	size_t capacity = b->capacity ? b->capacity : BUF_FIRST / 2;
	char *data;

	if (length > SIZE_MAX / 2 - used)
		fatalx("a buffer of %zu bytes cannot grow by %zu", used, length);
	/* Twice as much even where the bytes would just fit: else the next byte moves them all
	 * again. */
	do
		capacity *= 2;
	while (capacity < used + length);
	data = buf_alloc(capacity);
	if (used)
		memcpy(data, buf_bytes(b), used);
	if (b->data != NULL)
		buf_release(b);
	*b = (struct buf){.data = data, .end = used, .capacity = capacity};
}

static void
buf_compact(struct buf *b)
{
	size_t used = buf_length(b);

	memmove(b->data, b->data + b->start, used);
	b->start = 0;
	b->end = used;
}

char *
buf_reserve(struct buf *b, size_t length)
{
	if (!b->data || b->capacity - b->end < length) {
		if (b->data && b->start >= b->capacity / 2 && b->capacity - buf_length(b) >= length)
			buf_compact(b);
		else
			buf_grow(b, length);
	}
	return b->data + b->end;
}

void
buf_append(struct buf *b, const void *data, size_t length)
{
	if (length == 0)
		return;
	memcpy(buf_reserve(b, length), data, length);
	buf_added(b, length);
}

void
buf_consume(struct buf *b, size_t length)
{
	if (length > buf_length(b))
		fatalx("%zu bytes taken from a buffer of %zu", length, buf_length(b));
	b->start += length;
	if (b->start == b->end)
		buf_free(b);
}

void
buf_free(struct buf *b)
{
	if (b->data != NULL)
		buf_release(b);
	*b = (struct buf){0};
}
