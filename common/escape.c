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

/*
 * Writes one character that is not printable UTF-8 of several bytes. Returns how many bytes it
 * wrote; *taken, how many it read, is 1 before.
 */
static size_t
escape_text_byte(char *to, const unsigned char *from, size_t length, size_t *taken)
{
	(void)length;
	(void)taken;
	if (from[0] >= 0x20 && from[0] < 0x7f) {
		to[0] = (char)from[0];
		return 1;
	}
	to[0] = '\\';
	to[1] = 'x';
	to[2] = escape_digits[from[0] >> 4];
	to[3] = escape_digits[from[0] & 0xf];
	return 4;
}

/* U+0080 to U+009F in two bytes: control characters, and yet UTF-8. */
static bool
escape_is_c1(const unsigned char *from, size_t length)
{
	return length >= 2 && from[0] == 0xc2 && from[1] >= 0x80 && from[1] < 0xa0;
}

/* Many readers choke on \u0000: a NUL is shown like a byte that is no UTF-8. */
static size_t
escape_json_byte(char *to, const unsigned char *from, size_t length, size_t *taken)
{
	unsigned char byte = from[0];
	bool control = byte > 0 && byte < 0x80;
	size_t used = 0;

	if (byte >= 0x20 && byte < 0x7f) {
		if (byte == '"' || byte == '\\')
			to[used++] = '\\';
		to[used++] = (char)byte;
		return used;
	}
	if (escape_is_c1(from, length)) {
		control = true;
		byte = from[1];
		*taken = 2;
	}
	memcpy(to, control ? "\\u00" : "\\\\x", control ? 4 : 3);
	used = control ? 4 : 3;
	to[used++] = escape_digits[byte >> 4];
	to[used++] = escape_digits[byte & 0xf];
	return used;
}

static inline size_t
escape_walk(char *to, const char *text, size_t length,
    size_t (*byte)(char *to, const unsigned char *from, size_t length, size_t *taken))
{
	const unsigned char *from = (const unsigned char *)text;
	size_t used = 0, taken;

	for (size_t i = 0; i < length; i += taken) {
		taken = from[i] < 0x80 ? 0 : escape_utf8(from + i, length - i);
		if (taken > 0) {
			memcpy(to + used, from + i, taken);
			used += taken;
		} else {
			taken = 1;
			used += byte(to + used, from + i, length - i, &taken);
		}
	}
	return used;
}

size_t
escape_text(char *to, const char *text, size_t length)
{
	return escape_walk(to, text, length, escape_text_byte);
}

size_t
escape_json(char *to, const char *text, size_t length)
{
	return escape_walk(to, text, length, escape_json_byte);
}
