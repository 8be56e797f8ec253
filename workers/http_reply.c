/* Writes HTTP replies. Owns nothing but the line with the date, which is good for a second. */
#include "workers/http_reply.h"

#include "workers/http.h"
#include "workers/web_date.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define HTTP_REPLY_HEAD_MAX 512 /* bytes of a head without the fields that others add */

const char *
http_reply_date(void)
{
	static char line[64];
	static time_t made;
	struct timespec now;
	char date[WEB_DATE_MAX];

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec == made)
		return line;
	made = now.tv_sec;
	snprintf(line, sizeof(line), "Date: %s\r\n", web_date_write(date, made));
	return line;
}

static inline char *
http_reply_put(char *at, const char *text, size_t length)
{
	memcpy(at, text, length);
	return at + length;
}

/* Inlined, it knows the length of a constant text. */
static inline char *
http_reply_add(char *at, const char *text)
{
	return http_reply_put(at, text, strlen(text));
}

static char *
http_reply_number(char *at, uint64_t number)
{
	char digits[20];
	size_t count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (count > 0)
		*at++ = digits[--count];
	return at;
}

static char *
http_reply_status(char *at, unsigned status)
{
	if (status == 200)
		return http_reply_add(at, "HTTP/1.1 200 OK\r\n");
	at = http_reply_add(at, "HTTP/1.1 ");
	at = http_reply_number(at, status);
	at = http_reply_add(at, " ");
	at = http_reply_add(at, http_reply_text(status));
	return http_reply_add(at, "\r\n");
}

/* 204 and 304 have no body and must not speak of one; RFC 9110, 8.6. */
static bool
http_reply_has_length(unsigned status)
{
	return status >= 200 && status != 204 && status != 304;
}

void
http_reply_switch(struct buf *out, const char *upgrade, const struct buf *fields)
{
	static const char status[] = "HTTP/1.1 101 Switching Protocols\r\n";

	buf_append(out, status, strlen(status));
	buf_append(out, upgrade, strlen(upgrade));
	buf_append(out, buf_bytes(fields), buf_length(fields));
	buf_append(out, "\r\n", 2);
}

void
http_reply_write(struct buf *out, const struct http_reply *reply, const char *body, size_t length)
{
	size_t types = reply->type != NULL ? strlen(reply->type) : 0;
	size_t fields = reply->fields != NULL ? strlen(reply->fields) : 0;
	size_t notes = reply->note != NULL ? strlen(reply->note) : 0;
	size_t ids = reply->id != NULL ? strlen(reply->id) : 0;
	size_t bodies = body != NULL ? length : 0;
	char *start = buf_reserve(out, HTTP_REPLY_HEAD_MAX + types + fields + notes + ids + bodies);
	char *at = start;
	bool has_length = http_reply_has_length(reply->status);

	at = http_reply_status(at, reply->status);
	if (reply->names_server)
		at = http_reply_add(at, "Server: hostler\r\n");
	at = http_reply_add(at, http_reply_date());
	if (reply->type != NULL && has_length) {
		at = http_reply_add(at, "Content-Type: ");
		at = http_reply_put(at, reply->type, types);
		at = http_reply_add(at, "\r\n");
	}
	if (reply->in_parts && !(reply->flags & HTTP_REPLY_KEEP_10)) {
		at = http_reply_add(at, "Transfer-Encoding: chunked\r\n");
	} else if (has_length && !reply->in_parts) {
		at = http_reply_add(at, "Content-Length: ");
		at = http_reply_number(at, length);
		at = http_reply_add(at, "\r\n");
	}
	if (reply->flags & HTTP_REPLY_CLOSE)
		at = http_reply_add(at, "Connection: close\r\n");
	else if (reply->flags & HTTP_REPLY_KEEP_10)
		at = http_reply_add(at, "Connection: keep-alive\r\n");
	if (fields > 0)
		at = http_reply_put(at, reply->fields, fields);
	if (notes > 0)
		at = http_reply_put(at, reply->note, notes);
	if (ids > 0) {
		at = http_reply_add(at, "X-Request-Id: ");
		at = http_reply_put(at, reply->id, ids);
		at = http_reply_add(at, "\r\n");
	}
	at = http_reply_add(at, "\r\n");
	if (has_length && !(reply->flags & HTTP_REPLY_NO_BODY) && bodies > 0) {
		memcpy(at, body, bodies);
		at += bodies;
	}
	buf_added(out, (size_t)(at - start));
}

void
http_reply_part(struct buf *out, unsigned flags, const char *data, size_t length)
{
	char line[2 + sizeof(length) * 2 + 2 + 1];

	if (flags & HTTP_REPLY_NO_BODY)
		return;
	if (flags & HTTP_REPLY_KEEP_10) {
		buf_append(out, data, length);
		return;
	}
	buf_append(out, line, (size_t)snprintf(line, sizeof(line), "%zx\r\n", length));
	buf_append(out, data, length);
	buf_append(out, "\r\n", 2);
}

const char *
http_reply_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} table[] = {
	    {100, "Continue"},
	    {101, "Switching Protocols"},
	    {200, "OK"},
	    {201, "Created"},
	    {202, "Accepted"},
	    {203, "Non-Authoritative Information"},
	    {204, "No Content"},
	    {205, "Reset Content"},
	    {206, "Partial Content"},
	    {300, "Multiple Choices"},
	    {301, "Moved Permanently"},
	    {302, "Found"},
	    {303, "See Other"},
	    {304, "Not Modified"},
	    {307, "Temporary Redirect"},
	    {308, "Permanent Redirect"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {402, "Payment Required"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {406, "Not Acceptable"},
	    {408, "Request Timeout"},
	    {409, "Conflict"},
	    {410, "Gone"},
	    {411, "Length Required"},
	    {412, "Precondition Failed"},
	    {413, "Content Too Large"},
	    {414, "URI Too Long"},
	    {415, "Unsupported Media Type"},
	    {416, "Range Not Satisfiable"},
	    {417, "Expectation Failed"},
	    {418, "I'm a teapot"},
	    {421, "Misdirected Request"},
	    {422, "Unprocessable Content"},
	    {423, "Locked"},
	    {424, "Failed Dependency"},
	    {425, "Too Early"},
	    {426, "Upgrade Required"},
	    {428, "Precondition Required"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {451, "Unavailable For Legal Reasons"},
	    {500, "Internal Server Error"},
	    {501, "Not Implemented"},
	    {502, "Bad Gateway"},
	    {503, "Service Unavailable"},
	    {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"},
	    {507, "Insufficient Storage"},
	    {511, "Network Authentication Required"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].status == status)
			return table[i].text;
	return "Unknown";
}
