/*
 * permessage-deflate (RFC 7692) without context takeover: each message is packed and unpacked by
 * itself, so nothing is kept for a connection, and one that moves takes nothing along. Pure, but
 * for the memory of zlib, which is the process's: some 40 KiB to unpack and 256 KiB to pack, from
 * the first message on.
 */
#ifndef WORKERS_WS_DEFLATE_H
#define WORKERS_WS_DEFLATE_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* The window, in bits, that we can keep to when we pack; zlib knows no smaller one. */
#define WS_DEFLATE_BITS_MIN 9
#define WS_DEFLATE_BITS_MAX 15

enum ws_inflate_result {
	WS_INFLATE_DONE,
	WS_INFLATE_TOO_LARGE, /* more than `max` bytes; no more than those were made */
	WS_INFLATE_BAD        /* it is not packed, or cut off */
};

/* Appends what a packed message stands for; with anything but DONE `to` is empty. */
enum ws_inflate_result ws_inflate(struct buf *to, const char *data, size_t length, size_t max);
/* Appends it packed. False where that is not shorter: then nothing was appended. */
bool ws_deflate(struct buf *to, const char *data, size_t length, unsigned bits);

#endif
