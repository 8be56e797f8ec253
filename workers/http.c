/*
 * HTTP requests: what llhttp finds is noted as places, then judged by the rules that it does not
 * have. Owns the body of a chunked request and nothing else.
 */
#include "workers/http.h"

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

/* Behind the head it is a trailer: nobody asked for it, so it is dropped, but not without end. */
static int
http_on_trailer(struct http_request *request, size_t length)
{
	request->trailer += length;
	return request->trailer > HTTP_TRAILER_MAX ? http_refuse(request, 431) : 0;
}

static int
http_on_field(llhttp_t *parser, const char *at, size_t length)
{
	struct http_request *request = http_of(parser);

	if (request->head_told)
		return http_on_trailer(request, length + 1);
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
		return http_on_trailer(request, length + 1);
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

static int
http_on_body(llhttp_t *parser, const char *at, size_t length)
{
	struct http_request *request = http_of(parser);

	if (!request->is_chunked) {
		http_extend(request, &request->body, at, length);
		return 0;
	}
	if (length > request->limits->body - buf_length(&request->chunks))
		return http_refuse(request, 413);
	buf_append(&request->chunks, at, length);
	return 0;
}

/* Its size is known now: what would be too large need not come. */
static int
http_on_chunk(llhttp_t *parser)
{
	struct http_request *request = http_of(parser);

	if (parser->content_length > request->limits->body - buf_length(&request->chunks))
		return http_refuse(request, 413);
	return 0;
}

static int
http_on_extension(llhttp_t *parser, const char *at, size_t length)
{
	struct http_request *request = http_of(parser);

	(void)at;
	request->extensions += length + 1;
	return request->extensions > HTTP_EXTENSIONS_MAX ? http_refuse(request, 400) : 0;
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
    .on_chunk_extension_name = http_on_extension,
    .on_chunk_extension_value = http_on_extension,
    .on_message_complete = http_on_whole,
};

/* ---- feeding ---- */

void
http_open(struct http_request *request, const struct http_limits *limits)
{
	/* The fields are many and most of them are never used. */
	memset(request, 0, offsetof(struct http_request, headers));
	memset(&request->header_count, 0,
	    sizeof(*request) - offsetof(struct http_request, header_count));
	llhttp_init(&request->parser, HTTP_REQUEST, &http_settings);
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

	request->head = request->fed;
	request->head_told = true;
	status = http_judge(request, request->data);
	return status == 0 ? HTTP_HAS_HEAD : http_bad(request, status);
}

enum http_found
http_feed(struct http_request *request, const char *data, size_t length)
{
	llhttp_t *parser = &request->parser;
	llhttp_errno_t error;

	request->data = data;
	if (llhttp_get_errno(parser) == HPE_PAUSED)
		llhttp_resume(parser);
	error = llhttp_execute(parser, data + request->fed, length - request->fed);
	if (error == HPE_OK) {
		request->fed = length;
		if (!request->head_told && length > request->limits->head)
			return http_bad(request, 431);
		return HTTP_NEEDS_MORE;
	}
	if (error != HPE_PAUSED && error != HPE_PAUSED_UPGRADE)
		return http_bad(request, http_judge_error(request, error, length));
	request->fed = (size_t)(llhttp_get_error_pos(parser) - data);
	if (!request->whole)
		return http_head_done(request);
	request->used = request->fed;
	return HTTP_HAS_ALL;
}
