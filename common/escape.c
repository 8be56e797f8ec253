/*
 * The escapings of escape.h. Pure; owns nothing. UTF-8 is checked strictly (shortest form, no
 * surrogates), because a lax reader behind us might see a control character in a long form.
 */
#include "common/escape.h"

#include <stdbool.h>
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

static const char escape_digits[] = "0123456789abcdef";

size_t
escape_text(char *to, const char *text, size_t length)
{
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
			to[used++] = escape_digits[from[i] >> 4];
			to[used++] = escape_digits[from[i] & 0xf];
		}
	}
	return used;
}

/* One character of ASCII, or a byte that is no UTF-8; many readers choke on \u0000. */
static size_t
escape_json_byte(char *to, unsigned char byte)
{
	bool control = byte > 0 && byte < 0x80;
	size_t used = 0;

	if (byte >= 0x20 && byte < 0x7f) {
		if (byte == '"' || byte == '\\')
			to[used++] = '\\';
		to[used++] = (char)byte;
		return used;
	}
	to[used++] = '\\';
	to[used++] = control ? 'u' : '\\';
	to[used++] = control ? '0' : 'x';
	if (control)
		to[used++] = '0';
	to[used++] = escape_digits[byte >> 4];
	to[used++] = escape_digits[byte & 0xf];
	return used;
}

/* U+0080 to U+009F in two bytes: control characters, and yet UTF-8. */
static bool
escape_is_c1(const unsigned char *from, size_t length)
{
	return length >= 2 && from[0] == 0xc2 && from[1] >= 0x80 && from[1] < 0xa0;
}

size_t
escape_json(char *to, const char *text, size_t length)
{
	const unsigned char *from = (const unsigned char *)text;
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		size_t size = from[i] < 0x80 ? 0 : escape_utf8(from + i, length - i);

		if (size > 0) {
			memcpy(to + used, from + i, size);
			used += size;
			i += size - 1;
		} else if (escape_is_c1(from + i, length - i)) {
			memcpy(to + used, "\\u00", 4);
			to[used + 4] = escape_digits[from[i + 1] >> 4];
			to[used + 5] = escape_digits[from[i + 1] & 0xf];
			used += 6;
			i++;
		} else {
			used += escape_json_byte(to + used, from[i]);
		}
	}
	return used;
}
