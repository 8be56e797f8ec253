/*
 * The rules of RFC 9110 and 9112 that a request has to keep beside those of the parser, and which
 * status it gets for which. Owns nothing.
 */
#include "workers/http.h"

#include "workers/http_fields.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- looking at fields ---- */

const struct http_header *
http_find(const struct http_request *request, const char *data, const char *name, unsigned *count)
{
	const struct http_header *found = NULL;

	*count = 0;
	for (unsigned i = 0; i < request->header_count; i++) {
		if (!http_is(data, request->headers[i].name, name))
			continue;
		found = &request->headers[i];
		++*count;
	}
	return *count == 1 ? found : NULL;
}

static bool
http_is_space(char c)
{
	return c == ' ' || c == '\t';
}

bool
http_has_token(const char *data, struct http_span span, const char *token)
{
	size_t at = span.at, end = span.at + span.length;

	while (at < end) {
		const char *comma = memchr(data + at, ',', end - at);
		size_t next = comma != NULL ? (size_t)(comma - data) : end, last = next;

		while (at < last && http_is_space(data[at]))
			at++;
		while (last > at && http_is_space(data[last - 1]))
			last--;
		if (http_is(data, (struct http_span){at, last - at}, token))
			return true;
		at = next + 1;
	}
	return false;
}

/* White space, then CR LF, and nothing else, from one place to another. */
static bool
http_is_line_end(const char *data, size_t from, size_t to)
{
	while (from < to && http_is_space(data[from]))
		from++;
	return to == from + 2 && data[from] == '\r' && data[from + 1] == '\n';
}

/*
 * Between the fields there is nothing but a colon, white space and one line end: no folded line, no
 * bare LF, no name that is empty, whatever the parser thinks of them. `next` is where the next
 * field begins, or the empty line.
 */
static bool
http_is_tidy(const struct http_header *header, const char *data, size_t next)
{
	size_t at = header->name.at + header->name.length;

	if (header->name.length == 0 || data[at++] != ':')
		return false;
	if (header->value.length > 0) {
		for (; at < header->value.at; at++)
			if (!http_is_space(data[at]))
				return false;
		if (memchr(data + at, '\n', header->value.length) != NULL)
			return false;
		at += header->value.length;
	}
	return http_is_line_end(data, at, next);
}

static void
http_trim(struct http_span *value, const char *data)
{
	while (value->length > 0 && http_is_space(data[value->at + value->length - 1]))
		value->length--;
}

/* RFC 3986, 3.2.2: what a name is made of. */
static const bool http_host_chars[UINT8_MAX + 1] = {
    ['0' ... '9'] = true,
    ['A' ... 'Z'] = true,
    ['a' ... 'z'] = true,
    /* unreserved and sub-delims, and what begins an escape */
    ['-'] = true,
    ['.'] = true,
    ['_'] = true,
    ['~'] = true,
    ['!'] = true,
    ['$'] = true,
    ['&'] = true,
    ['\''] = true,
    ['('] = true,
    [')'] = true,
    ['*'] = true,
    ['+'] = true,
    [','] = true,
    [';'] = true,
    ['='] = true,
    ['%'] = true,
};

/* RFC 3986, 3.2.2 and 3.2.3: a name or address, and a port. */
static bool
http_is_host(const char *data, struct http_span host)
{
	const char *at = data + host.at, *end = at + host.length;

	if (at == end)
		return false;
	if (*at == '[') {
		for (at++; at < end && (isxdigit((unsigned char)*at) || *at == ':' || *at == '.');)
			at++;
		if (at == end || *at++ != ']')
			return false;
	} else {
		const char *first = at;

		while (at < end && http_host_chars[(unsigned char)*at])
			at++;
		if (at == first)
			return false;
	}
	if (at == end)
		return true;
	if (*at++ != ':' || end - at > 5)
		return false;
	while (at < end && isdigit((unsigned char)*at))
		at++;
	return at == end;
}

/* ---- the target ---- */

/* http://host/path?query: the host in it counts, RFC 9112, 3.2.2. */
static bool
http_take_authority(struct http_request *request, const char *data)
{
	static const char *const schemes[] = {"http://", "https://"};
	const struct http_span target = request->target;

	for (int i = 0; i < 2; i++) {
		size_t length = strlen(schemes[i]), end;

		if (target.length < length ||
		    strncasecmp(data + target.at, schemes[i], length) != 0)
			continue;
		for (end = length; end < target.length; end++)
			if (data[target.at + end] == '/' || data[target.at + end] == '?')
				break;
		request->host = (struct http_span){target.at + length, end - length};
		request->path = (struct http_span){target.at + end, target.length - end};
		return http_is_host(data, request->host);
	}
	return false;
}

static bool
http_split_target(struct http_request *request, const char *data)
{
	const char *first = data + request->target.at, *mark;

	if (memchr(first, '#', request->target.length) != NULL)
		return false;
	if (request->target.length == 1 && *first == '*') {
		request->path = request->target;
		return request->is_options;
	}
	if (*first == '/')
		request->path = request->target;
	else if (!http_take_authority(request, data))
		return false;
	mark = memchr(data + request->path.at, '?', request->path.length);
	if (mark != NULL) {
		size_t at = (size_t)(mark - data);

		request->query =
		    (struct http_span){at + 1, request->path.at + request->path.length - at - 1};
		request->path.length = at - request->path.at;
	}
	return true;
}

/* ---- the rules ---- */

/* What the fields say that decide how a request is read, and what becomes of its connection. */
struct http_seen {
	struct http_span host, encoding; /* the last of them */
	unsigned hosts, encodings, lengths;
	bool close, keep, upgrade, protocol;
	bool expects, expects_more;
	struct http_weights accept;
};

/* Most fields are told from these by the length of their names. */
static void
http_see(struct http_seen *seen, const struct http_header *header, const char *data)
{
	struct http_span name = header->name, value = header->value;

	switch (name.length) {
	case sizeof("host") - 1:
		if (http_is(data, name, "host")) {
			seen->host = value;
			seen->hosts++;
		}
		break;
	case sizeof("expect") - 1: /* and of accept */
		if (http_is(data, name, "accept")) {
			http_weigh(&seen->accept, data, value);
		} else if (http_is(data, name, "expect")) {
			bool is_known = http_is(data, value, "100-continue");

			seen->expects |= is_known;
			seen->expects_more |= !is_known;
		}
		break;
	case sizeof("upgrade") - 1:
		seen->protocol |= http_is(data, name, "upgrade");
		break;
	case sizeof("connection") - 1:
		if (http_is(data, name, "connection")) {
			seen->close |= http_has_token(data, value, "close");
			seen->keep |= http_has_token(data, value, "keep-alive");
			seen->upgrade |= http_has_token(data, value, "upgrade");
		}
		break;
	case sizeof("content-length") - 1:
		seen->lengths += http_is(data, name, "content-length");
		break;
	case sizeof("transfer-encoding") - 1:
		if (http_is(data, name, "transfer-encoding")) {
			seen->encoding = value;
			seen->encodings++;
		}
		break;
	}
}

/* Goes over the fields once. False where something stands between them that must not. */
static bool
http_read_fields(struct http_request *request, const char *data, struct http_seen *seen)
{
	for (unsigned i = 0; i < request->header_count; i++) {
		struct http_header *header = &request->headers[i];
		size_t next = i + 1 < request->header_count ? header[1].name.at : request->head - 2;

		if (!http_is_tidy(header, data, next))
			return false;
		http_trim(&header->value, data);
		http_see(seen, header, data);
	}
	return data[request->head - 2] == '\r' && data[request->head - 1] == '\n';
}

/* How long the body is must have one answer: RFC 9112, 6.3, and stricter. 0, or a status. */
static unsigned
http_judge_length(struct http_request *request, const char *data, const struct http_seen *seen)
{
	if (seen->encodings > 0 && (seen->lengths > 0 || request->minor == 0))
		return 400;
	if (seen->encodings > 1 ||
	    (seen->encodings == 1 && !http_is(data, seen->encoding, "chunked")))
		return 501;
	if (seen->lengths > 1)
		return 400;
	/* In 1.0 the end of the connection would be that of the body: RFC 1945, 7.2.2. */
	if (seen->lengths + seen->encodings == 0 && request->minor == 0 &&
	    (request->is_post || request->is_put))
		return 411;
	request->is_chunked = seen->encodings > 0;
	request->length = seen->lengths > 0 ? request->parser.content_length : 0;
	return request->length > request->limits->body ? 413 : 0;
}

static unsigned
http_judge_host(struct http_request *request, const char *data, const struct http_seen *seen)
{
	if (seen->hosts > 1 || (seen->hosts == 0 && request->minor >= 1))
		return 400;
	if (seen->hosts == 1 && !http_is_host(data, seen->host))
		return 400;
	if (request->host.length == 0 && seen->hosts == 1)
		request->host = seen->host;
	return 0;
}

static void
http_note_method(struct http_request *request)
{
	request->method = llhttp_method_name((llhttp_method_t)request->parser.method);
	request->is_head = request->parser.method == HTTP_HEAD;
	request->is_get = request->parser.method == HTTP_GET;
	request->is_post = request->parser.method == HTTP_POST;
	request->is_put = request->parser.method == HTTP_PUT;
	request->is_options = request->parser.method == HTTP_OPTIONS;
}

/* HTTP/1.0 knows neither Expect nor Upgrade. */
static void
http_note_wishes(struct http_request *request, const struct http_seen *seen)
{
	bool is_new = request->minor >= 1;

	request->expects = is_new && seen->expects;
	request->expects_more = is_new && seen->expects_more;
	request->keeps_alive = !seen->close && (is_new || seen->keep);
	request->upgrades = is_new && seen->upgrade && seen->protocol;
	request->prefers_json = seen->accept.json > 0 && seen->accept.json >= seen->accept.text;
}

/* The method, one space, the target, one space, the version: the parser would take more. */
static bool
http_is_request_line(const struct http_request *request, const char *data)
{
	size_t method = strlen(request->method);
	size_t version = request->target.at + request->target.length;

	/* Without a version the parser thinks of HTTP/0.9. */
	return request->target.at == method + 1 && memcmp(data, request->method, method) == 0 &&
	       data[method] == ' ' && version + 11 <= request->head &&
	       memcmp(data + version, " HTTP/1.", 8) == 0 &&
	       memcmp(data + version + 9, "\r\n", 2) == 0;
}

/* Its head is whole. 0, or the status that it is refused with. */
unsigned
http_judge(struct http_request *request, const char *data)
{
	struct http_seen seen = {0};
	unsigned status;

	http_note_method(request);
	if (!http_is_request_line(request, data) || !http_read_fields(request, data, &seen))
		return 400;
	http_note_wishes(request, &seen);
	if (request->parser.method == HTTP_CONNECT)
		return 405;
	if (!http_split_target(request, data))
		return 400;
	status = http_judge_length(request, data, &seen);
	if (status == 0)
		status = http_judge_host(request, data, &seen);
	return status;
}

/* Fields that nobody reads; but where the next request begins must be beyond doubt. */
unsigned
http_judge_trailer(const struct http_request *request, const char *data)
{
	const char *at = data + request->trailer, *end = data + request->fed;

	if (end - at > HTTP_TRAILER_MAX)
		return 431;
	while (end - at > 2) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));

		if (lf == NULL || lf - at < 2 || lf[-1] != '\r' || http_is_space(*at) || *at == ':')
			return 400;
		at = lf + 1;
	}
	return end - at == 2 && at[0] == '\r' && at[1] == '\n' ? 0 : 400;
}

/* ---- what the parser refuses ---- */

/* A method that nobody knows is not the same as no method. */
static unsigned
http_judge_method(const struct http_request *request, size_t length)
{
	for (size_t at = 0; at < length && at < HTTP_METHOD_MAX; at++) {
		if (request->data[at] == ' ' && at > 0)
			return 501;
		if (!http_is_token(request->data + at, 1))
			return 400;
	}
	return length < HTTP_METHOD_MAX ? 0 : 501;
}

/* HTTP/ and two digits are a version, of which there are but two that we speak. */
static unsigned
http_judge_version(const struct http_request *request, size_t length)
{
	size_t at = request->target.at + request->target.length;
	const char *version = request->data + at;

	if (length < at + 9 || memcmp(version, " HTTP/", 6) != 0)
		return 400;
	if (!isdigit((unsigned char)version[6]) || version[7] != '.' ||
	    !isdigit((unsigned char)version[8]))
		return 400;
	return version[6] != '1' || version[8] > '1' ? 505 : 400;
}

unsigned
http_judge_error(const struct http_request *request, llhttp_errno_t error, size_t length)
{
	if (request->status != 0)
		return request->status;
	switch (error) {
	case HPE_INVALID_METHOD:
		return http_judge_method(request, length);
	case HPE_INVALID_VERSION:
		return http_judge_version(request, length);
	default:
		return 400;
	}
}
