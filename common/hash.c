/*
 * FNV-1a: short, without tables, and good enough for what is no attack. Owns nothing; never asks
 * what the bytes mean.
 */
#include "common/hash.h"

#define HASH_PRIME UINT64_C(0x100000001b3)

uint64_t
hash_bytes(uint64_t sum, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		sum = (sum ^ ((const unsigned char *)bytes)[i]) * HASH_PRIME;
	return sum;
}

uint64_t
hash_number(uint64_t sum, uint64_t number)
{
	for (int i = 0; i < 8; i++)
		sum = (sum ^ (number >> 8 * i & 0xff)) * HASH_PRIME;
	return sum;
}
