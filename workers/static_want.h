/*
 * What a client wants of a file: all of it, a part, or only to know that it is still the same.
 * RFC 9110, 13 and 14. Pure.
 */
#ifndef WORKERS_STATIC_WANT_H
#define WORKERS_STATIC_WANT_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct req_web;

#define STATIC_WANT_TAG_MAX 64 /* bytes of a tag with its quotes and NUL */

/* A file, as far as it matters. */
struct static_kept {
	char tag[STATIC_WANT_TAG_MAX]; /* another one whenever the file is another one */
	time_t changed;                /* as it is told: never later than now */
	uint64_t size;
};

struct static_want {
	unsigned status;       /* 200, 206, 304, 412 or 416 */
	uint64_t from, length; /* of 200 and 206 */
};

void static_want_describe(struct static_kept *kept, const struct stat *st, time_t now);
/* `now` is the time of day. */
void static_want_read(struct static_want *want, const struct req_web *web,
    const struct static_kept *kept, time_t now);

#endif
