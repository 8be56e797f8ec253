/*
 * Header fields: what may stand in them, and what a client wishes for with some. Owns the number of
 * the newest request of this process; never looks at a connection.
 */
#include "workers/http_fields.h"

#include "common/clock.h"
#include "common/conf.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#define HTTP_TIME_MAX (365 * 86400u) /* seconds; more is as good as this */

/* ---- what may stand where ---- */

bool
http_is_token(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x80 ||
		    (!isalnum(c) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)))
			return false;
	}
	return length > 0;
}

bool
http_is_value(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* ---- codes ---- */

static int
http_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t
http_decode(char *to, const char *from, size_t length, bool plus)
{
	size_t made = 0;

	for (size_t i = 0; i < length; i++) {
		int high = -1, low = -1;

		if (from[i] == '%' && i + 2 < length) {
			high = http_digit(from[i + 1]);
			low = http_digit(from[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			to[made++] = (char)(high << 4 | low);
			i += 2;
		} else {
			to[made++] = plus && from[i] == '+' ? ' ' : from[i];
		}
	}
	return made;
}

/* ---- wishes ---- */

/* 1 to 128 visible characters of ASCII; anything else counts as none. */
static void
http_read_id(struct http_wish *wish, const char *text, size_t length)
{
	if (length > HTTP_ID_MAX)
		length = 0;
	for (size_t i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] > '~')
			length = 0;
	memcpy(wish->id, text, length);
	wish->id[length] = '\0';
}

/* Digits, and behind a point some more. 0 where it is anything else. */
static uint64_t
http_read_time(const char *text, size_t length)
{
	uint64_t seconds = 0, part = 0, unit = CLOCK_SECOND;
	size_t at = 0, digits = 0;

	for (; at < length && isdigit((unsigned char)text[at]); at++, digits++) {
		seconds = seconds * 10 + (uint64_t)(text[at] - '0');
		seconds = seconds > HTTP_TIME_MAX ? HTTP_TIME_MAX : seconds;
	}
	if (digits > 0 && at < length && text[at] == '.')
		for (at++, digits = 0; at < length && isdigit((unsigned char)text[at]); at++) {
			unit /= 10;
			part += (uint64_t)(text[at] - '0') * unit;
			digits++;
		}
	return at == length && digits > 0 ? seconds * CLOCK_SECOND + part : 0;
}

static bool
http_wish_take(struct http_wish *wish, const struct http_header *header, const char *data)
{
	struct http_span name = header->name, value = header->value;

	/* Nearly all other fields are told from these by their first letter or their length. */
	if ((data[name.at] | 0x20) != 'x' && (data[name.at] | 0x20) != 'o' &&
	    name.length < sizeof("access-control-request-method") - 1)
		return true;
	switch (name.length) {
	case 6:
		if (http_is(data, name, "origin"))
			wish->origin = value;
		break;
	case 9:
		if (!http_is(data, name, "x-timeout"))
			break;
		if (wish->time != 0)
			return false;
		wish->time = http_read_time(data + value.at, value.length);
		return wish->time != 0;
	case 12:
		if (http_is(data, name, "x-request-id"))
			http_read_id(wish, data + value.at, value.length);
		break;
	case 29:
		if (http_is(data, name, "access-control-request-method"))
			wish->method = value;
		break;
	case 30:
		if (http_is(data, name, "access-control-request-headers"))
			wish->fields = value;
		break;
	}
	return true;
}

bool
http_wish_read(struct http_wish *wish, const struct http_request *request, const char *data)
{
	wish->id[0] = '\0';
	wish->time = 0;
	wish->origin = wish->method = wish->fields = (struct http_span){0};
	for (unsigned i = 0; i < request->header_count; i++)
		if (!http_wish_take(wish, &request->headers[i], data))
			return false;
	return true;
}

/* ---- ids ---- */

static char *
http_put_hex(char *at, uint64_t number, unsigned digits)
{
	while (digits-- > 0)
		*at++ = "0123456789abcdef"[number >> 4 * digits & 15];
	return at;
}

/* A random number for each process, a running one for each of its requests. */
void
http_make_id(char id[HTTP_ID_MAX + 1])
{
	static uint64_t process, newest;

	if (newest == 0 && getrandom(&process, sizeof(process), 0) != sizeof(process))
		process = clock_now() << 20 ^ (uint64_t)getpid();
	*http_put_hex(http_put_hex(id, process, 16), ++newest, 10) = '\0';
}

/* ---- other pages ---- */

bool
http_is_preflight(const struct http_request *request, const struct http_wish *wish)
{
	return request->is_options && wish->origin.length > 0 && wish->method.length > 0;
}

static void
http_allow_span(struct buf *fields, const char *name, const char *data, struct http_span span)
{
	buf_append(fields, name, strlen(name));
	buf_append(fields, data + span.at, span.length);
	buf_append(fields, "\r\n", 2);
}

static void
http_allow_text(struct buf *fields, const char *text)
{
	buf_append(fields, text, strlen(text));
}

/* The method and the fields that were asked for: a handler may still refuse them. */
static void
http_allow_preflight(struct buf *fields, const struct http_wish *wish, const char *data)
{
	if (http_is_token(data + wish->method.at, wish->method.length))
		http_allow_span(fields, "Access-Control-Allow-Methods: ", data, wish->method);
	if (wish->fields.length > 0)
		http_allow_span(fields, "Access-Control-Allow-Headers: ", data, wish->fields);
	http_allow_text(fields, "Access-Control-Max-Age: 600\r\n");
}

void
http_allow_origin(struct buf *fields, const char *origins, const struct http_wish *wish,
    const char *data, bool preflight)
{
	const char *origin = data + wish->origin.at;
	bool every = strcmp(origins, "*") == 0;

	/* A cache must know even of the reply to a page that was not allowed, or to none. */
	if (!every || preflight)
		http_allow_text(fields, preflight ? "Vary: Origin, Access-Control-Request-Method, "
						    "Access-Control-Request-Headers\r\n"
						  : "Vary: Origin\r\n");
	if (wish->origin.length == 0 ||
	    (!every && !conf_word_is_in(origins, origin, wish->origin.length)))
		return;
	if (every)
		http_allow_text(fields, "Access-Control-Allow-Origin: *\r\n");
	else
		http_allow_span(fields, "Access-Control-Allow-Origin: ", data, wish->origin);
	if (preflight)
		http_allow_preflight(fields, wish, data);
	else
		http_allow_text(fields, "Access-Control-Expose-Headers: X-Request-Id\r\n");
}
