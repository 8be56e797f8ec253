/*
 * A sum that tells two things apart where nobody wants them to be alike: FNV-1a, 64 bits. Not for
 * what a client chooses.
 */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* The sum so far, and what comes behind; a number counts as eight bytes, whatever its type. */
uint64_t hash_bytes(uint64_t sum, const void *bytes, size_t length);
uint64_t hash_number(uint64_t sum, uint64_t number);

#endif
