/* Bytes as text and back. Pure; owns nothing. Strict, so that there is one text for each data. */
#include "common/base64.h"

#include <stdint.h>

static const char base64_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(char *to, const void *data, size_t length)
{
	const unsigned char *from = data;

	for (; length > 0; to += 4) {
		size_t some = length < 3 ? length : 3;
		uint32_t bits = (uint32_t)from[0] << 16;

		bits |= some > 1 ? (uint32_t)from[1] << 8 : 0;
		bits |= some > 2 ? from[2] : 0;
		to[0] = base64_letters[bits >> 18];
		to[1] = base64_letters[bits >> 12 & 63];
		to[2] = '=';
		to[3] = '=';
		if (some > 1)
			to[2] = base64_letters[bits >> 6 & 63];
		if (some > 2)
			to[3] = base64_letters[bits & 63];
		from += some;
		length -= some;
	}
}

/* 64 for what is no letter. */
static uint32_t
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint32_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four letters, the last `padding` of which are its signs. False when they are no base64. */
static bool
base64_decode_four(char *to, const char *text, unsigned padding)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint32_t value = i < 4 - padding ? base64_value(text[i]) : 0;

		if (value == 64)
			return false;
		bits = bits << 6 | value;
	}
	if ((padding == 1 && (bits & 0xff) != 0) || (padding == 2 && (bits & 0xffff) != 0))
		return false;
	to[0] = (char)(bits >> 16);
	if (padding < 2)
		to[1] = (char)(bits >> 8);
	if (padding < 1)
		to[2] = (char)bits;
	return true;
}

bool
base64_decode(char *to, size_t *made, const char *text, size_t length)
{
	*made = 0;
	if (length % 4 != 0)
		return false;
	for (size_t at = 0; at < length; at += 4) {
		unsigned padding = 0;

		if (at + 4 == length && text[at + 3] == '=')
			padding = text[at + 2] == '=' ? 2 : 1;
		if (!base64_decode_four(to + *made, text + at, padding))
			return false;
		*made += 3 - padding;
	}
	return true;
}
