/*
 * What a stream of WebSocket frames means, in the plainest words: it has all of the stream, looks
 * at it from the start, and shares no code with the worker but UTF-8 and zlib. Each answer is what
 * an echo has to say.
 */
#ifndef TESTS_FUZZ_WEBSOCKET_MODEL_H
#define TESTS_FUZZ_WEBSOCKET_MODEL_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_GOES_ON (-1) /* nothing ended it */
#define MODEL_EITHER  (-2) /* 1007 or 1009: it is broken where it is too large already */

struct model {
	/* Each a byte of its kind, four of its length, and what it says. */
	struct buf messages; /* owns */
	struct buf pings;    /* owns */
	int end;             /* what a Close has to say; 0: nothing, or 1000 */
};

/* Appends one of those. */
void model_note(struct buf *to, unsigned kind, const char *data, size_t length);

void model_run(
    struct model *model, const uint8_t *stream, size_t length, size_t max, bool may_deflate);
void model_free(struct model *model);

#endif
