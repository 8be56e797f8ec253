/*
 * What a client is told: replies of handlers and refusals of our own become HTTP in the output of
 * their connection. Owns nothing.
 */
#include "workers/http_say.h"

#include "common/log.h"
#include "workers/conn.h"
#include "workers/http.h"
#include "workers/http_json.h"
#include "workers/http_reply.h"
#include "workers/req_web.h"
#include "workers/service.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HTTP_SAY_JSON_MAX 80 /* bytes of a refusal in JSON */
#define HTTP_SAY_RETRY    "Retry-After: 1\r\n"
#define HTTP_SAY_ALLOW    "Allow: GET, HEAD, POST, PUT, OPTIONS\r\n"

/* ---- replies ---- */

/* Nothing more is taken on it: its service or its worker ends. */
bool
http_say_is_last(const struct conn *conn)
{
	return conn->last_look || conn->drain_later;
}

/* Whether no other reply will follow, as far as is known. */
static bool
http_say_ends(const struct conn *conn, const struct req *req)
{
	const struct req *newest = TAILQ_LAST(&conn->busy->reqs, req_list);

	return http_say_is_last(conn) && (newest == NULL || newest == req) &&
	       !conn->busy->held_back;
}

static void
http_say_whole(struct conn *conn, const struct req *req, struct http_reply *reply, const char *body,
    size_t length)
{
	const struct conf_service *conf = req->service->conf;

	reply->flags = req->tag & UINT16_MAX;
	reply->names_server = conf->server_field && !reply->has_server;
	reply->note = req->note;
	reply->id = req->id;
	if (http_say_ends(conn, req))
		reply->flags |= HTTP_REPLY_CLOSE;
	conn->busy->status = reply->status;
	conn->busy->body = reply->flags & HTTP_REPLY_NO_BODY ? 0 : length;
	http_reply_write(&conn->busy->out, reply, body, length);
}

/* The status in words. */
static void
http_say_status(struct conn *conn, const struct req *req, struct http_reply *reply)
{
	const char *text = http_reply_text(reply->status);
	char json[HTTP_SAY_JSON_MAX];

	reply->type = "text/plain; charset=utf-8";
	if (req->tag & HTTP_REPLY_JSON) {
		snprintf(
		    json, sizeof(json), "{\"status\":%u,\"error\":\"%s\"}", reply->status, text);
		reply->type = "application/json";
		text = json;
	}
	http_say_whole(conn, req, reply, text, strlen(text));
}

/* What a program says in message = json. */
static bool
http_say_json(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	const struct conf_service *conf = req->service->conf;
	struct http_answer answer;
	char why[HTTP_ANSWER_WHY_MAX];
	bool is_good = http_answer_read(&answer, data, length, conf->cors_origins != NULL, why);

	if (is_good) {
		struct http_reply reply = {.status = answer.status,
		    .type = answer.type != NULL ? answer.type : conf->content_type,
		    .fields = buf_bytes(&answer.fields),
		    .has_server = answer.names_server};

		http_say_whole(conn, req, &reply, answer.body, answer.length);
	} else {
		log_warnx("service %s: a reply of instance %u (pid %u) cannot be sent on: %s",
		    conf->name, req->slot, req->pid, why);
	}
	http_answer_free(&answer);
	return is_good;
}

/* What a handler of HTTP alone says. */
static void
http_say_web(struct conn *conn, const struct req *req)
{
	const struct req_web_answer *answer = req->answer;
	struct http_reply reply = {
	    .status = answer->status, .type = answer->type, .fields = answer->fields};

	/* First, so that nothing comes between its head and the file. */
	if (answer->has_file && answer->length > 0 && !(req->tag & HTTP_REPLY_NO_BODY))
		conn_file_send(conn, answer->file, answer->from, answer->length);
	else if (answer->has_file)
		close(answer->file);
	if (answer->explains)
		http_say_status(conn, req, &reply);
	else
		http_say_whole(conn, req, &reply, answer->body, answer->length);
}

/* Its length is not known: chunks, and in HTTP/1.0 the end of the connection is that of the body.
 */
void
http_say_part(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	struct http_reply reply = {
	    .status = 200, .type = req->service->conf->content_type, .in_parts = true};

	if (req->said == 0)
		http_say_whole(conn, req, &reply, NULL, 0);
	http_reply_part(&conn->busy->out, req->tag, data, length);
}

bool
http_say_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	const struct conf_service *conf = req->service->conf;
	unsigned status = req->tag >> 16; /* of our own */
	bool is_json = conf->message == MESSAGE_JSON;
	struct http_reply reply = {
	    .status = status != 0 ? status : 200, .type = conf->content_type};

	if (req->answer != NULL) {
		http_say_web(conn, req);
		return true;
	}
	if (req->said > 0) {
		http_reply_part(&conn->busy->out, req->tag, NULL, 0);
		return true;
	}
	if (status == 0 && is_json && conf->handler == HANDLER_PROGRAM)
		return http_say_json(conn, req, data, length);
	if (is_json)
		reply.type = "application/json"; /* it is what the handler was asked */
	else if (status == 204)
		reply.fields = HTTP_SAY_ALLOW;
	http_say_whole(conn, req, &reply, data, length);
	return true;
}

static unsigned
http_say_why(const struct req *req, enum outcome outcome)
{
	unsigned status = req->tag >> 16;

	if (status != 0)
		return status;
	switch (outcome) {
	case OUTCOME_BUSY:
		return 503;
	case OUTCOME_TIMEOUT:
		return 504;
	case OUTCOME_TOO_LARGE:
		return 413;
	case OUTCOME_BAD:
		return req->granted == 0 ? 400 : 502;
	default:
		return 502;
	}
}

void
http_say_refusal(struct conn *conn, const struct req *req, enum outcome outcome)
{
	unsigned status = http_say_why(req, outcome);
	struct http_reply reply = {.status = status};

	if (req->said > 0) {
		conn_cut(conn, (req->tag & HTTP_REPLY_KEEP_10) != 0);
		return;
	}
	if (status == 503 || status == 429)
		reply.fields = HTTP_SAY_RETRY;
	else if (status == 426)
		reply.fields = HTTP_UPGRADE;
	else if (status == 405 && req->service->conf->protocol == PROTOCOL_HTTP)
		reply.fields = HTTP_SAY_ALLOW;
	http_say_status(conn, req, &reply);
}

void
http_say_too_many(struct conn *conn)
{
	struct http_reply reply = {.status = 429,
	    .flags = HTTP_REPLY_CLOSE,
	    .type = "text/plain; charset=utf-8",
	    .fields = HTTP_SAY_RETRY,
	    .names_server = conn->service->conf->server_field};
	const char *text = http_reply_text(reply.status);

	http_reply_write(&conn_get_busy(conn)->out, &reply, text, strlen(text));
}
