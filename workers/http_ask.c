/*
 * What a handler is asked: the body, the decoded query, or all of the request as JSON; and what is
 * kept beside that for the reply: its name, its fields, how long its client waits. Owns nothing.
 */
#include "workers/http_ask.h"

#include "common/mem.h"
#include "workers/access.h"
#include "workers/conn.h"
#include "workers/http_fields.h"
#include "workers/http_json.h"
#include "workers/req.h"
#include "workers/req_web.h"
#include "workers/service.h"

#include <stdlib.h>
#include <string.h>

#define HTTP_ASK_ROOM 1024 /* bytes of JSON around a body, mostly */

struct http_asked {
	struct conn *conn;
	struct service *service;
	const struct http_request *request;
	const char *data;
	struct http_wish wish;
};

/* Who names no request is given a name where somebody gets to see it. */
static void
http_ask_name(struct http_asked *asked)
{
	const struct service *service = asked->service;

	if (asked->wish.id[0] == '\0' &&
	    (service->conf->message == MESSAGE_JSON || service->access != NULL))
		http_make_id(asked->wish.id);
}

char *
http_ask_line(const struct service *service, const struct http_request *request, const char *data)
{
	struct http_span target = request->target;
	size_t room;

	if (service->access == NULL || !request->head_told)
		return NULL;
	room = ACCESS_ASKED_MAX - strlen(request->method) - 1;
	return mem_printf("%s %.*s", request->method,
	    (int)(target.length < room ? target.length : room), data + target.at);
}

/* Takes a message up, with what the fields of its request wish for. */
static struct req *
http_ask_new(const struct http_asked *asked, const char *bytes, size_t length, uint32_t tag)
{
	const struct conf_service *conf = asked->service->conf;
	const struct http_wish *wish = &asked->wish;
	struct req *req = req_new_for(asked->conn, asked->service, bytes, length, tag);
	struct buf fields = {0};

	if (wish->id[0] != '\0')
		req->id = mem_strdup(wish->id);
	req->line = http_ask_line(asked->service, asked->request, asked->data);
	if (conf->cors_origins == NULL)
		return req;
	http_allow_origin(&fields, conf->cors_origins, wish, asked->data,
	    http_is_preflight(asked->request, wish));
	if (buf_length(&fields) > 0)
		req->note = mem_strndup(buf_bytes(&fields), buf_length(&fields));
	buf_free(&fields);
	return req;
}

static void
http_ask_handler(const struct http_asked *asked, const char *bytes, size_t length, uint32_t tag)
{
	struct req *req = http_ask_new(asked, bytes, length, tag);

	if (asked->wish.time != 0)
		req_limit(req, asked->wish.time);
	req_start(req);
}

static void
http_ask_json(struct http_asked *asked, uint32_t tag)
{
	const struct http_request *request = asked->request;
	struct conn *conn = asked->conn;
	struct buf text = {0};

	if (conn->client == NULL)
		conn->client = access_client(conn->fd);
	buf_reserve(&text, HTTP_ASK_ROOM + (size_t)request->length);
	http_json_write(&text, request, asked->data, conn->client, asked->wish.id);
	http_ask_handler(asked, buf_bytes(&text), buf_length(&text), tag);
	buf_free(&text);
}

/* A method that has no body sends its message in the query. */
static void
http_ask_query(const struct http_asked *asked, uint32_t tag)
{
	struct http_span span = asked->request->query;
	const char *sent = asked->data + span.at;
	char *query;

	/* Mostly there is nothing to decode. */
	if (memchr(sent, '%', span.length) == NULL && memchr(sent, '+', span.length) == NULL) {
		http_ask_handler(asked, sent, span.length, tag);
		return;
	}
	query = mem_alloc(1, span.length + 1);
	http_ask_handler(asked, query, http_decode(query, sent, span.length, true), tag);
	free(query);
}

/* What is behind the prefix that led to the service; it begins with a slash, or is empty. */
static const char *
http_ask_below(const char *path, const char *prefix)
{
	size_t length = strlen(prefix);

	if (*path != '/')
		return path; /* "*" */
	return path + length - (prefix[length - 1] == '/');
}

/* Handlers that serve HTTP alone. */
static void
http_ask_web(const struct http_asked *asked, uint32_t tag)
{
	const struct http_request *request = asked->request;
	const char *data = asked->data;
	char path[REQ_WEB_PATH_MAX + 1];
	struct req_web web = {.method = request->method,
	    .is_get = request->is_get,
	    .is_head = request->is_head,
	    .is_options = request->is_options,
	    .target = data + request->path.at,
	    .target_length = request->path.length,
	    .query = data + request->query.at,
	    .query_length = request->query.length,
	    .request = request,
	    .data = data};
	struct req *req;

	if (request->path.length > REQ_WEB_PATH_MAX) {
		req_fail(http_ask_new(asked, NULL, 0, tag | 414u << 16), OUTCOME_BAD);
		return;
	}
	web.path_length = http_decode(path, web.target, web.target_length, false);
	path[web.path_length] = '\0';
	web.path = http_ask_below(path, asked->service->conf->path);
	web.path_length -= (size_t)(web.path - path);
	req = request->is_chunked
		  ? http_ask_new(
			asked, buf_bytes(&request->chunks), buf_length(&request->chunks), tag)
		  : http_ask_new(asked, data + request->body.at, request->body.length, tag);
	req->web = &web;
	req_start(req);
}

static void
http_ask_raw(const struct http_asked *asked, uint32_t tag)
{
	const struct http_request *request = asked->request;

	if (request->is_get || request->is_head)
		http_ask_query(asked, tag);
	else if (request->is_chunked)
		http_ask_handler(
		    asked, buf_bytes(&request->chunks), buf_length(&request->chunks), tag);
	else
		http_ask_handler(asked, asked->data + request->body.at, request->body.length, tag);
}

/* Whether the answer is known without the handler. */
static bool
http_ask_is_ours(const struct http_asked *asked)
{
	const struct conf_service *conf = asked->service->conf;

	return asked->request->is_options &&
	       ((conf->message == MESSAGE_RAW && !req_web_serves(asked->service)) ||
		   (conf->cors_origins != NULL && http_is_preflight(asked->request, &asked->wish)));
}

void
http_ask(struct conn *conn, struct service *service, const struct http_request *request,
    const char *data, uint32_t tag)
{
	struct http_asked asked; /* not set to zero: it is larger than all else here */
	bool is_good = http_wish_read(&asked.wish, request, data);

	asked.conn = conn;
	asked.service = service;
	asked.request = request;
	asked.data = data;
	http_ask_name(&asked);
	if (!is_good)
		req_fail(http_ask_new(&asked, NULL, 0, tag | 400u << 16), OUTCOME_BAD);
	else if (http_ask_is_ours(&asked))
		req_reply(http_ask_new(&asked, NULL, 0, tag | 204u << 16), NULL, 0);
	else if (req_web_serves(service))
		http_ask_web(&asked, tag);
	else if (service->conf->message == MESSAGE_JSON)
		http_ask_json(&asked, tag);
	else
		http_ask_raw(&asked, tag);
}
