/*
 * A byte queue: append at the end, consume from the front. Empty means no memory held, so an idle
 * connection costs nothing.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stddef.h>

struct buf {
	char *data;      /* owns; NULL when empty */
	size_t start;    /* first unread byte */
	size_t end;      /* one past the last byte */
	size_t capacity; /* bytes allocated */
};

static inline size_t
buf_length(const struct buf *b)
{
	return b->end - b->start;
}

/* The first unread byte; NULL where no memory is held. */
static inline char *
buf_bytes(const struct buf *b)
{
	return b->data ? b->data + b->start : NULL;
}

/*
 * Room for `length` more bytes behind the last one; buf_added() says how many were written. Where
 * that is none, buf_consume(b, 0) gives the memory of an empty queue back.
 */
char *buf_reserve(struct buf *b, size_t length);
static inline void
buf_added(struct buf *b, size_t length)
{
	b->end += length;
}

void buf_append(struct buf *b, const void *data, size_t length);
/* Drops bytes from the front; the memory is released when nothing is left. */
void buf_consume(struct buf *b, size_t length);
void buf_free(struct buf *b);

#endif
