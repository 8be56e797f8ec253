/*
 * Writes a request as a JSON object (RFC 8259) on one line. By hand: everything is at hand as bytes
 * and each is copied once. Owns nothing.
 *
 * A JSON text is UTF-8, and what a client sends need not be: a field's value that is not is read as
 * Latin-1, which loses nothing; elsewhere a byte that fits nowhere becomes U+FFFD.
 */
#include "workers/http_json.h"

#include "common/base64.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "workers/http_fields.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HTTP_JSON_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* ---- strings ---- */

static void
http_json_text(struct buf *to, const char *text)
{
	buf_append(to, text, strlen(text));
}

static bool
http_json_is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

static void
http_json_escape(struct buf *to, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

	switch (c) {
	case '"':
	case '\\':
		text[1] = (char)c;
		break;
	case '\n':
		text[1] = 'n';
		break;
	case '\r':
		text[1] = 'r';
		break;
	case '\t':
		text[1] = 't';
		break;
	default:
		buf_append(to, text, 6);
		return;
	}
	buf_append(to, text, 2);
}

/* What stands between the quotes, of UTF-8. */
static void
http_json_inner(struct buf *to, const char *text, size_t length)
{
	size_t at = 0;

	while (at < length) {
		size_t first = at;

		while (at < length && http_json_is_plain((unsigned char)text[at]))
			at++;
		if (at > first)
			buf_append(to, text + first, at - first);
		if (at < length)
			http_json_escape(to, (unsigned char)text[at++]);
	}
}

static void
http_json_string(struct buf *to, const char *text, size_t length)
{
	buf_append(to, "\"", 1);
	http_json_inner(to, text, length);
	buf_append(to, "\"", 1);
}

/* Makes UTF-8 of what should be; `to` has room for three times the bytes. Returns the length. */
static size_t
http_json_mend(char *to, const char *text, size_t length)
{
	size_t made = 0;

	for (size_t at = 0, size; at < length; at += size) {
		size = utf8_size(text + at, length - at);
		if (size > 0) {
			memcpy(to + made, text + at, size);
			made += size;
			continue;
		}
		memcpy(to + made, HTTP_JSON_REPLACEMENT, 3);
		made += 3;
		size = 1;
	}
	return made;
}

/* Decodes and mends. `to` has room for four times the bytes, the last fourth for the codes. */
static size_t
http_json_decode(char *to, const char *text, size_t length, bool plus)
{
	char *codes = to + 3 * length;

	return http_json_mend(to, codes, http_decode(codes, text, length, plus));
}

static void
http_json_mended(struct buf *to, const char *text, size_t length)
{
	char *mended;

	if (utf8_is_valid(text, length)) {
		http_json_string(to, text, length);
		return;
	}
	mended = mem_alloc(3, length);
	http_json_string(to, mended, http_json_mend(mended, text, length));
	free(mended);
}

/* ---- the target ---- */

static void
http_json_path(struct buf *to, const char *path, size_t length)
{
	char *decoded;

	if (memchr(path, '%', length) == NULL) {
		http_json_mended(to, path, length);
		return;
	}
	decoded = mem_alloc(4, length);
	http_json_string(to, decoded, http_json_decode(decoded, path, length, false));
	free(decoded);
}

/* One NAME=VALUE of a query, decoded. */
struct http_json_pair {
	const char *name, *value;
	size_t name_length, value_length;
	size_t number;
};

static bool
http_json_same_name(const struct http_json_pair *a, const struct http_json_pair *b)
{
	return a->name_length == b->name_length &&
	       (a->name_length == 0 || memcmp(a->name, b->name, a->name_length) == 0);
}

/* By name, and those of one name as they came. */
static int
http_json_compare(const void *x, const void *y)
{
	const struct http_json_pair *a = x, *b = y;
	int order;

	if (a->name_length != b->name_length)
		return a->name_length < b->name_length ? -1 : 1;
	order = a->name_length == 0 ? 0 : memcmp(a->name, b->name, a->name_length);
	return order != 0 ? order : a->number < b->number ? -1 : 1;
}

/* Returns how many pairs there are; their texts lie in `room`, four bytes for each of the query. */
static size_t
http_json_split(struct http_json_pair *pairs, const char *query, size_t length, char *room)
{
	size_t count = 0;

	for (size_t at = 0; at < length;) {
		const char *end = memchr(query + at, '&', length - at), *equal;
		size_t size = end != NULL ? (size_t)(end - query) - at : length - at, name;
		struct http_json_pair *pair = &pairs[count];

		equal = memchr(query + at, '=', size);
		name = equal != NULL ? (size_t)(equal - query) - at : size;
		if (size > 0) {
			char *value = room + 4 * name;

			*pair = (struct http_json_pair){
			    .name = room, .value = value, .number = count++};
			pair->name_length = http_json_decode(room, query + at, name, true);
			if (equal != NULL)
				pair->value_length =
				    http_json_decode(value, equal + 1, size - name - 1, true);
			room += 4 * size;
		}
		at += size + 1;
	}
	return count;
}

/* Each name has a list, however often it is there: so no client decides of what type it is. */
static void
http_json_query(struct buf *to, const char *query, size_t length)
{
	struct http_json_pair *pairs;
	size_t count = 1, first;
	char *room;

	if (length == 0) {
		http_json_text(to, "{}");
		return;
	}
	for (size_t i = 0; i < length; i++)
		count += query[i] == '&';
	pairs = mem_alloc(count, sizeof(*pairs));
	room = mem_alloc(4, length);
	count = http_json_split(pairs, query, length, room);
	/* There may be tens of thousands: whoever compares each with each has lost. */
	qsort(pairs, count, sizeof(*pairs), http_json_compare);
	buf_append(to, "{", 1);
	for (size_t i = 0; i < count; i = first) {
		http_json_text(to, i > 0 ? "," : "");
		http_json_string(to, pairs[i].name, pairs[i].name_length);
		for (first = i; first < count && http_json_same_name(&pairs[first], &pairs[i]);
		     first++) {
			http_json_text(to, first > i ? "," : ":[");
			http_json_string(to, pairs[first].value, pairs[first].value_length);
		}
		buf_append(to, "]", 1);
	}
	buf_append(to, "}", 1);
	free(pairs);
	free(room);
}

/* ---- fields ---- */

static void
http_json_value(struct buf *to, const char *text, size_t length)
{
	if (utf8_is_valid(text, length)) {
		http_json_inner(to, text, length);
		return;
	}
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		char two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};

		if (c < 0x80)
			http_json_inner(to, text + i, 1);
		else
			buf_append(to, two, 2);
	}
}

static bool
http_json_same_field(const struct http_request *request, const char *data, unsigned a, unsigned b)
{
	struct http_span x = request->headers[a].name, y = request->headers[b].name;

	return x.length == y.length && strncasecmp(data + x.at, data + y.at, x.length) == 0;
}

static bool
http_json_was_told(const struct http_request *request, const char *data, unsigned number)
{
	for (unsigned i = 0; i < number; i++)
		if (http_json_same_field(request, data, i, number))
			return true;
	return false;
}

static void
http_json_lower(struct buf *to, const char *name, size_t length)
{
	char *at = buf_reserve(to, length);

	for (size_t i = 0; i < length; i++)
		at[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
	buf_added(to, length);
}

/* A field, and all that have its name: RFC 9110, 5.3; cookies as RFC 9113, 8.2.3. */
static void
http_json_field(
    struct buf *to, const struct http_request *request, const char *data, unsigned number)
{
	struct http_span name = request->headers[number].name;
	const char *between = http_is(data, name, "cookie") ? "; " : ", ";

	buf_append(to, ",\"", 2);
	http_json_lower(to, data + name.at, name.length);
	buf_append(to, "\":\"", 3);
	for (unsigned i = number; i < request->header_count; i++) {
		struct http_span value = request->headers[i].value;

		if (i != number && !http_json_same_field(request, data, i, number))
			continue;
		if (i != number)
			http_json_text(to, between);
		http_json_value(to, data + value.at, value.length);
	}
	buf_append(to, "\"", 1);
}

/* RFC 9112, 3.2.2: a host in the target stands in for the one in the field. */
static void
http_json_fields(
    struct buf *to, const struct http_request *request, const char *data, const char *id)
{
	http_json_text(to, "{\"x-request-id\":");
	http_json_string(to, id, strlen(id));
	if (request->host.length > 0) {
		http_json_text(to, ",\"host\":\"");
		http_json_value(to, data + request->host.at, request->host.length);
		buf_append(to, "\"", 1);
	}
	for (unsigned i = 0; i < request->header_count; i++) {
		struct http_span name = request->headers[i].name;

		if (!http_is(data, name, "x-request-id") && !http_is(data, name, "host") &&
		    !http_json_was_told(request, data, i))
			http_json_field(to, request, data, i);
	}
	buf_append(to, "}", 1);
}

/* ---- the whole ---- */

static void
http_json_body(struct buf *to, const char *body, size_t length)
{
	if (utf8_is_valid(body, length)) {
		http_json_text(to, ",\"body\":");
		http_json_string(to, body, length);
		return;
	}
	http_json_text(to, ",\"body_base64\":\"");
	base64_encode(buf_reserve(to, BASE64_LENGTH(length)), body, length);
	buf_added(to, BASE64_LENGTH(length));
	buf_append(to, "\"", 1);
}

void
http_json_write(struct buf *to, const struct http_request *request, const char *data,
    const char *peer, const char *id)
{
	http_json_text(to, "{\"method\":\"");
	http_json_text(to, request->method);
	http_json_text(to, "\",\"target\":");
	http_json_mended(to, data + request->target.at, request->target.length);
	http_json_text(to, ",\"path\":");
	http_json_path(to, data + request->path.at, request->path.length);
	http_json_text(to, ",\"query_string\":");
	http_json_mended(to, data + request->query.at, request->query.length);
	http_json_text(to, ",\"query\":");
	http_json_query(to, data + request->query.at, request->query.length);
	http_json_text(to, ",\"headers\":");
	http_json_fields(to, request, data, id);
	if (request->is_chunked)
		http_json_body(to, buf_bytes(&request->chunks), buf_length(&request->chunks));
	else
		http_json_body(to, data + request->body.at, request->body.length);
	http_json_text(to, ",\"peer\":");
	http_json_string(to, peer, strlen(peer));
	buf_append(to, "}", 1);
}
