/*
 * The escaping of escape.h. Pure; owns nothing. UTF-8 is checked strictly (shortest form, no
 * surrogates), because a lax reader behind us might see a control character in a long form.
 */
#include "common/escape.h"

#include <string.h>

/*
 * The bytes of the character at `text` if it is printable UTF-8 of more than one byte, else 0.
 * U+0080 to U+009F are control characters to a terminal and are treated like them.
 */
static size_t
escape_utf8(const unsigned char *text, size_t length)
{
	static const unsigned long least[] = {0, 0, 0xa0, 0x800, 0x10000};
	size_t size = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	unsigned long code = text[0] & (0x7fu >> size);

	if (text[0] < 0xc2 || text[0] > 0xf4 || length < size)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return size;
}

size_t
escape_text(char *to, const char *text, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = (const unsigned char *)text;
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		size_t size = from[i] < 0x80 ? 0 : escape_utf8(from + i, length - i);

		if (size > 0) {
			memcpy(to + used, from + i, size);
			used += size;
			i += size - 1;
		} else if (from[i] >= 0x20 && from[i] < 0x7f) {
			to[used++] = (char)from[i];
		} else {
			to[used++] = '\\';
			to[used++] = 'x';
			to[used++] = digits[from[i] >> 4];
			to[used++] = digits[from[i] & 0xf];
		}
	}
	return used;
}
