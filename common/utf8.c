/*
 * Which bytes are UTF-8. Pure; owns nothing. Most texts are ASCII, so eight bytes of it are passed
 * over at a time.
 */
#include "common/utf8.h"

#include <stdint.h>
#include <string.h>

size_t
utf8_size(const char *text, size_t length)
{
	static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first;
	unsigned long code;
	size_t size;

	if (length == 0)
		return 0;
	first = (unsigned char)text[0];
	if (first < 0x80)
		return 1;
	size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || length < size)
		return 0;
	code = first & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return size;
}

/* The first byte of a character tells how many follow, and what the next one may be. */
static bool
utf8_begin(struct utf8 *utf8, unsigned char first)
{
	if (first < 0x80)
		return true;
	if (first < 0xc2 || first > 0xf4)
		return false;
	utf8->more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
	/* Neither longer than it need be, nor a surrogate, nor beyond the last one. */
	utf8->low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	utf8->high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	return true;
}

static bool
utf8_take(struct utf8 *utf8, unsigned char byte)
{
	if (utf8->more == 0)
		return utf8_begin(utf8, byte);
	if (byte < utf8->low || byte > utf8->high)
		return false;
	utf8->more--;
	utf8->low = 0x80;
	utf8->high = 0xbf;
	return true;
}

/* How many bytes at the front are ASCII, in steps of 32 and then of 8; there may be more. */
static size_t
utf8_skip(const char *text, size_t length)
{
	const uint64_t high = UINT64_C(0x8080808080808080);
	uint64_t eight[4];
	size_t at = 0;

	for (; at + sizeof(eight) <= length; at += sizeof(eight)) {
		memcpy(eight, text + at, sizeof(eight));
		if (((eight[0] | eight[1] | eight[2] | eight[3]) & high) != 0)
			break;
	}
	for (; at + sizeof(*eight) <= length; at += sizeof(*eight)) {
		memcpy(eight, text + at, sizeof(*eight));
		if ((*eight & high) != 0)
			break;
	}
	return at;
}

bool
utf8_feed(struct utf8 *utf8, const char *text, size_t length)
{
	size_t at = 0;

	while (at < length) {
		if (utf8->more == 0) {
			at += utf8_skip(text + at, length - at);
			if (at == length)
				break;
		}
		if (!utf8_take(utf8, (unsigned char)text[at++]))
			return false;
	}
	return true;
}

bool
utf8_is_valid(const char *text, size_t length)
{
	struct utf8 utf8 = {0};

	return utf8_feed(&utf8, text, length) && utf8.more == 0;
}
