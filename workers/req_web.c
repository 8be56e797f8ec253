/*
 * The side of HTTP that handlers see: fields of a request, and replies with a status. Owns nothing;
 * what goes out is written by the protocol.
 */
#include "workers/req_web.h"

#include "common/log.h"
#include "workers/conn.h"
#include "workers/handler.h"
#include "workers/http.h"
#include "workers/req.h"
#include "workers/service.h"

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
