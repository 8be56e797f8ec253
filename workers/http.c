/*
 * HTTP requests: what llhttp finds is noted as places, then judged by the rules that it does not
 * have. Owns the body of a chunked request and nothing else.
 */
#include "workers/http.h"

#include "common/mem.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- what llhttp tells ---- */

static struct http_request *
http_of(llhttp_t *parser)
{
	return parser->data;
}

static int
http_refuse(struct http_request *request, unsigned status)
{
	if (request->status == 0)
		request->status = status;
	return HPE_USER;
}

/* Pieces of one thing are neighbours, except where a line was folded: that is refused later. */
static void
http_extend(struct http_request *request, struct http_span *span, const char *at, size_t length)
{
	size_t place = (size_t)(at - request->data);

	if (span->length == 0)
		span->at = place;
	span->length = place + length - span->at;
}

static int
http_on_url(llhttp_t *parser, const char *at, size_t length)
{
	struct http_request *request = http_of(parser);

	http_extend(request, &request->target, at, length);
	return request->target.length > request->limits->target ? http_refuse(request, 414) : 0;
}

static int
http_on_version(llhttp_t *parser)
{
	struct http_request *request = http_of(parser);

	request->minor = parser->http_minor;
	return parser->http_major == 1 ? 0 : http_refuse(request, 505);
}

static int
http_on_field(llhttp_t *parser, const char *at, size_t length)
{
	struct http_request *request = http_of(parser);

	if (request->head_told)
		return 0; /* a trailer: nobody asked for it */
	if (request->in_value || request->header_count == 0) {
		if (request->header_count == HTTP_HEADERS_MAX)
			return http_refuse(request, 431);
		request->headers[request->header_count++] = (struct http_header){0};
		request->in_value = false;
	}
	http_extend(request, &request->headers[request->header_count - 1].name, at, length);
	return 0;
}

static int
http_on_value(llhttp_t *parser, const char *at, size_t length)
{
	struct http_request *request = http_of(parser);

	if (request->head_told)
		return 0; /* a trailer: nobody asked for it */
	if (request->header_count == 0)
		return http_refuse(request, 400); /* a field without a name */
	request->in_value = true;
	http_extend(request, &request->headers[request->header_count - 1].value, at, length);
	return 0;
}

static int
http_on_value_end(llhttp_t *parser)
{
	http_of(parser)->in_value = true; /* it may have been empty */
	return 0;
}

static int
http_on_head(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED;
}

/* Of a chunk: where the length of a body is known, the parser does not see it. */
static int
http_on_body(llhttp_t *parser, const char *at, size_t length)
{
	struct http_request *request = http_of(parser);

	buf_append(&request->chunks, at, length);
	/* Behind these bytes and a line end, unless more of this chunk comes. */
	request->line = (size_t)(at - request->data) + length + 2;
	return 0;
}

/* How many digits the size has that begins there, or one too many. */
static size_t
http_count_digits(const char *from, const char *end)
{
	size_t count = 0;

	while (
	    from + count < end && count <= HTTP_DIGITS_MAX && isxdigit((unsigned char)from[count]))
		count++;
	return count;
}

/* The line with a chunk's size, as far as it has come: bounded in its digits and extensions. */
static bool
http_is_short_line(const struct http_request *request, const char *end)
{
	const char *line = request->data + request->line;
	size_t digits;

	if (end <= line)
		return true;
	digits = http_count_digits(line, end);
	return digits <= HTTP_DIGITS_MAX &&
	       (size_t)(end - line) - digits + request->extensions <= HTTP_EXTENSIONS_MAX;
}

/* Its size is known now: what would be too large need not come. */
static int
http_on_chunk(llhttp_t *parser)
{
	struct http_request *request = http_of(parser);
	const char *line = request->data + request->line;
	const char *end = memchr(line, '\r', request->given - request->line);

	if (end == NULL || !http_is_short_line(request, end))
		return http_refuse(request, 400);
	request->extensions += (size_t)(end - line) - http_count_digits(line, end);
	if (parser->content_length > request->limits->body - buf_length(&request->chunks))
		return http_refuse(request, 413);
	request->line = (size_t)(end - request->data) + 2;
	if (parser->content_length == 0)
		request->trailer = request->line;
	return 0;
}

static int
http_on_whole(llhttp_t *parser)
{
	http_of(parser)->whole = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t http_settings = {
    .on_url = http_on_url,
    .on_version_complete = http_on_version,
    .on_header_field = http_on_field,
    .on_header_value = http_on_value,
    .on_header_value_complete = http_on_value_end,
    .on_headers_complete = http_on_head,
    .on_body = http_on_body,
    .on_chunk_header = http_on_chunk,
    .on_message_complete = http_on_whole,
};

/* ---- feeding ---- */

/* A parser that has seen nothing; to copy it costs less than to make it. */
static const llhttp_t *
http_fresh_parser(void)
{
	static llhttp_t fresh;

	if (fresh.settings == NULL)
		llhttp_init(&fresh, HTTP_REQUEST, &http_settings);
	return &fresh;
}

void
http_open(struct http_request *request, const struct http_limits *limits)
{
	mem_zero(request, offsetof(struct http_request, headers));
	request->parser = *http_fresh_parser();
	request->parser.data = request;
	request->limits = limits;
}

void
http_close(struct http_request *request)
{
	buf_free(&request->chunks);
}

static enum http_found
http_bad(struct http_request *request, unsigned status)
{
	request->status = status;
	return HTTP_IS_BAD;
}

static enum http_found
http_head_done(struct http_request *request)
{
	unsigned status;

	request->head = request->line = request->fed;
	request->head_told = true;
	status = http_judge(request, request->data);
	return status == 0 ? HTTP_HAS_HEAD : http_bad(request, status);
}

/* So many bytes behind the head, mostly none: nothing to parse. */
static enum http_found
http_take_body(struct http_request *request, size_t length)
{
	if (length - request->head < request->length)
		return HTTP_NEEDS_MORE;
	request->body = (struct http_span){request->head, (size_t)request->length};
	request->used = request->head + request->body.length;
	return HTTP_HAS_ALL;
}

static enum http_found
http_chunks_done(struct http_request *request)
{
	unsigned status = http_judge_trailer(request, request->data);

	request->used = request->fed;
	return status == 0 ? HTTP_HAS_ALL : http_bad(request, status);
}

/* What has come is right so far, and all of it is seen; but it may not go on so for ever. */
static enum http_found
http_unfinished(struct http_request *request, size_t length)
{
	if (!request->head_told)
		return length > request->fed ? http_bad(request, 431) : HTTP_NEEDS_MORE;
	if (request->trailer > 0 && length > request->trailer + HTTP_TRAILER_MAX)
		return http_bad(request, 431);
	if (request->trailer == 0 &&
	    !http_is_short_line(request, request->data + length - strlen("\r\n")))
		return http_bad(request, 400);
	return HTTP_NEEDS_MORE;
}

/* The parser's own errors are left in *error. */
static enum http_found
http_run(struct http_request *request, size_t length, llhttp_errno_t *error)
{
	llhttp_t *parser = &request->parser;
	size_t until = length;

	*error = HPE_OK;
	if (request->head_told && !request->is_chunked)
		return http_take_body(request, length);
	/* It never sees more of a head than there may be. */
	if (!request->head_told && length > request->limits->head)
		until = request->limits->head;
	request->given = until;
	if (llhttp_get_errno(parser) == HPE_PAUSED)
		llhttp_resume(parser);
	*error = llhttp_execute(parser, request->data + request->fed, until - request->fed);
	if (*error == HPE_OK) {
		request->fed = until;
		return http_unfinished(request, length);
	}
	if (*error != HPE_PAUSED && *error != HPE_PAUSED_UPGRADE)
		return HTTP_IS_BAD;
	*error = HPE_OK;
	request->fed = (size_t)(llhttp_get_error_pos(parser) - request->data);
	return request->whole ? http_chunks_done(request) : http_head_done(request);
}

/* Feeds a part anew. Whether something was wrong with it that the parser does not know. */
static bool
http_is_bad_before(struct http_request *request, size_t length, llhttp_errno_t *error)
{
	const char *data = request->data;
	enum http_found found;

	http_close(request);
	http_open(request, request->limits);
	request->data = data;
	do
		found = http_run(request, length, error);
	while (found == HTTP_HAS_HEAD);
	return request->status != 0;
}

/*
 * What stands in front of a fault is judged as if nothing stood behind it: a target that is too
 * long is that, whether or not the byte that is no target came along. So the answer does not
 * depend on the pieces in which a request comes.
 */
static enum http_found
http_fault(struct http_request *request, llhttp_errno_t error, size_t length)
{
	unsigned status = http_judge_error(request, error, length);
	size_t fault = (size_t)(llhttp_get_error_pos(&request->parser) - request->data);

	if (status == 0)
		return HTTP_NEEDS_MORE;
	if (request->status != 0 || http_is_bad_before(request, fault, &error))
		return HTTP_IS_BAD;
	/* The parser tells the place of some faults, and the place behind others. */
	if (error != HPE_OK && fault > 0 && http_is_bad_before(request, fault - 1, &error))
		return HTTP_IS_BAD;
	return http_bad(request, status);
}

enum http_found
http_feed(struct http_request *request, const char *data, size_t length)
{
	llhttp_errno_t error;
	enum http_found found;

	request->data = data;
	found = http_run(request, length, &error);
	return error == HPE_OK ? found : http_fault(request, error, length);
}
