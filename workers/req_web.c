/*
 * The side of HTTP that handlers see: fields of a request, and replies with a status. Owns nothing;
 * what goes out is written by the protocol.
 */
#include "workers/req_web.h"

#include "common/buf.h"
#include "common/log.h"
#include "workers/conn.h"
#include "workers/handler.h"
#include "workers/http.h"
#include "workers/req.h"
#include "workers/service.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool
req_web_serves(const struct service *service)
{
	return service->handler->is_web;
}

const char *
req_web_field(const struct req_web *web, const char *name, size_t *length)
{
	unsigned count;
	const struct http_header *header = http_find(web->request, web->data, name, &count);

	if (header == NULL || count != 1)
		return NULL;
	*length = header->value.length;
	return web->data + header->value.at;
}

void
req_web_reply(struct req *req, const struct req_web_answer *answer)
{
	/* An answer is not kept: the protocol sees to it that none has to wait. */
	if (req->conn != NULL && TAILQ_FIRST(&req->conn->busy->reqs) != req)
		fatalx("a request was answered out of its turn");
	if ((req->conn == NULL || req->conn->cut) && answer->has_file)
		close(answer->file);
	req->answer = answer;
	req_reply(req, answer->body, answer->length);
}

void
req_web_refuse(struct req *req, unsigned status, const char *fields)
{
	struct req_web_answer answer = {.status = status, .fields = fields, .explains = true};

	req_web_reply(req, &answer);
}

/* Nothing that a URI may not hold, and no slash. */
static bool
req_web_is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~%!$&'()*+,;=:@", c) != NULL);
}

static void
req_web_text(struct buf *fields, const char *text)
{
	buf_append(fields, text, strlen(text));
}

void
req_web_add_slash(struct req *req, const char *more)
{
	const struct req_web *web = req->web;
	const char *end = web->target + web->target_length;
	const char *part = memrchr(web->target, '/', web->target_length);
	struct buf fields = {0};
	char code[4];

	req_web_text(&fields, more != NULL ? more : "");
	req_web_text(&fields, "Location: ./");
	for (part = part != NULL ? part + 1 : end; part < end; part++) {
		snprintf(code, sizeof(code), "%%%02X", (unsigned char)*part);
		buf_append(&fields, req_web_is_plain(*part) ? part : code,
		    req_web_is_plain(*part) ? 1 : 3);
	}
	req_web_text(&fields, "/");
	if (web->query_length > 0) {
		req_web_text(&fields, "?");
		buf_append(&fields, web->query, web->query_length);
	}
	buf_append(&fields, "\r\n", 3); /* with a NUL */
	req_web_refuse(req, 301, buf_bytes(&fields));
	buf_free(&fields);
}
