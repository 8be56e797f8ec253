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

bool
utf8_is_valid(const char *text, size_t length)
{
	size_t at = 0, size;
	uint64_t eight;

	while (at < length) {
		if (at + sizeof(eight) <= length) {
			memcpy(&eight, text + at, sizeof(eight));
			if ((eight & UINT64_C(0x8080808080808080)) == 0) {
				at += sizeof(eight);
				continue;
			}
		}
		size = utf8_size(text + at, length - at);
		if (size == 0)
			return false;
		at += size;
	}
	return true;
}
