/*
 * http: HTTP/1.1 in front of any handler. What a request is stands in http.c, what the handler is
 * asked in http_ask.c, how replies and refusals become HTTP in http_say.c; here connections become
 * requests.
 */
#include "workers/proto.h"

#include "common/mem.h"
#include "workers/conn.h"
#include "workers/http.h"
#include "workers/http_ask.h"
#include "workers/http_reply.h"
#include "workers/http_say.h"
#include "workers/req.h"
#include "workers/req_web.h"
#include "workers/route.h"
#include "workers/service.h"
#include "workers/visit.h"

#include <stdlib.h>
#include <string.h>

#define PROTO_HTTP_VERSION 1 /* of what freeze writes */

extern const struct proto proto_http;

/* What a connection keeps while a request is coming. */
struct proto_http {
	struct http_request request;
	struct http_limits limits;
	struct service *service; /* borrows; for which it is; NULL: not known */
	unsigned refusal;        /* status; it is heard to its end all the same */
	bool continued;          /* the client was told to go on */
};

/* ---- the request that is coming ---- */

static struct proto_http *proto_http_spare;

static struct proto_http *
proto_http_open(struct conn *conn)
{
	const struct conf_service *conf = conn->service->conf;
	struct proto_http *http = conn->busy->state;

	if (http != NULL)
		return http;
	http = proto_http_spare != NULL ? proto_http_spare : mem_alloc(1, sizeof(*http));
	proto_http_spare = NULL;
	http->limits = (struct http_limits){.target = conf->max_target,
	    .head = conf->max_head,
	    .body = route_of(conn)->max_message};
	http->service = NULL;
	http->refusal = 0;
	http->continued = false;
	http_open(&http->request, &http->limits);
	conn->busy->state = http;
	return http;
}

static void
proto_http_drop(struct conn *conn)
{
	struct proto_http *http = conn->busy->state;

	if (http == NULL)
		return;
	conn->busy->state = NULL;
	http_close(&http->request);
	free(proto_http_spare);
	proto_http_spare = http;
}

/* ---- input ---- */

static unsigned
proto_http_flags(const struct http_request *request)
{
	return (request->is_head ? (unsigned)HTTP_REPLY_NO_BODY : 0u) |
	       (request->keeps_alive ? 0u : (unsigned)HTTP_REPLY_CLOSE) |
	       (request->minor == 0 ? (unsigned)HTTP_REPLY_KEEP_10 : 0u) |
	       (request->prefers_json ? (unsigned)HTTP_REPLY_JSON : 0u);
}

/* `fields` are more of the reply's; takes over `line`, of http_ask_line(). */
static void
proto_http_refuse_with(struct conn *conn, struct service *service, unsigned status, unsigned flags,
    const struct buf *fields, char *line)
{
	enum outcome outcome = status == 413   ? OUTCOME_TOO_LARGE
			       : status == 429 ? OUTCOME_LIMITED
			       : status == 503 ? OUTCOME_BUSY
					       : OUTCOME_BAD;
	struct req *req = req_new_for(conn, service, NULL, 0, HTTP_SAY_TAG(status, flags));

	if (buf_length(fields) > 0)
		req->note = mem_strndup(buf_bytes(fields), buf_length(fields));
	req->line = line;
	req_fail(req, outcome);
}

/* `data` is the request, as far as it came. */
static void
proto_http_refuse_one(struct conn *conn, const char *data, unsigned status, unsigned flags)
{
	struct proto_http *http = conn->busy->state;
	struct service *service = conn->service;
	struct buf none = {0};
	char *line = NULL;

	if (http != NULL) {
		service = http->service != NULL ? http->service : service;
		line = http_ask_line(service, &http->request, data);
	}
	proto_http_refuse_with(conn, service, status, flags, &none, line);
}

/* What comes behind it has no meaning: this reply is the last. */
static void
proto_http_refuse_rest(struct conn *conn, const char *data, unsigned status, unsigned flags)
{
	proto_http_refuse_one(conn, data, status, flags | HTTP_REPLY_CLOSE);
	proto_http_drop(conn);
	conn_end_input(conn);
}

/*
 * A client that waits for a word before it sends the body gets it when it is its turn; until then
 * it is we who are late, and it is looked at again. At the end what it would send is not waited
 * for.
 */
static void
proto_http_continue(struct conn *conn, struct proto_http *http, const char *data)
{
	if (!http->request.head_told || !http->request.expects || http->continued)
		return;
	if (conn->busy->under_way > 0) {
		conn_hold(conn);
		return;
	}
	if (conn->last_look) {
		proto_http_refuse_rest(conn, data, 503, proto_http_flags(&http->request));
		return;
	}
	buf_append(&conn->busy->out, HTTP_CONTINUE, strlen(HTTP_CONTINUE));
	http->continued = true;
}

/* Whether the rest is worth waiting for: 0, or a status. */
static unsigned
proto_http_judge(const struct proto_http *http)
{
	const struct http_request *request = &http->request;

	if (request->expects_more)
		return 417;
	if (request->length > http->limits.body)
		return 413;
	if (request->is_options || http->service->conf->message == MESSAGE_JSON ||
	    req_web_serves(http->service))
		return 0;
	return request->is_get || request->is_head || request->is_post || request->is_put ? 0 : 405;
}

/*
 * Where the answer is more than a message none is ready before it may go out; and what is spoken
 * changes behind all that was asked before.
 */
static bool
proto_http_must_wait(const struct conn *conn, const struct service *service)
{
	return service != NULL && conn->busy->under_way > 0 &&
	       (req_web_serves(service) || service->conf->protocol != PROTOCOL_HTTP);
}

/* Its head is whole: whether the one for whom it is takes it. False when it was refused. */
static bool
proto_http_admit(struct conn *conn, struct proto_http *http, const char *data)
{
	const struct http_request *request = &http->request;
	bool has_body = request->is_chunked || request->length > 0;
	unsigned status = 0;

	if (!visit_may_ask(conn)) {
		proto_http_refuse_rest(conn, data, 429, proto_http_flags(request));
		return false;
	}
	if (http->service != NULL) {
		http->limits.body = http->service->conf->max_message;
		status = proto_http_judge(http);
	} else if (has_body) {
		status = http->refusal; /* which nobody will read */
	}
	if (status == 0)
		return true;
	proto_http_refuse_rest(conn, data, status, proto_http_flags(request));
	return false;
}

/* What a handshake for a service is answered with; with 101 *become and the fields of the reply. */
static unsigned
proto_http_shake(const struct conn *conn, const struct proto_http *http, const char *data,
    struct buf *fields, const struct proto **become)
{
	const struct conf_service *conf = http->service->conf;
	const struct proto *proto = proto_named(conf, protocol_name(conf->protocol));

	if (http_say_is_last(conn))
		return 503;
	if (!http->request.keeps_alive)
		return 400;
	return proto->upgrade(conf, &http->request, data, fields, become);
}

/* What follows on the connection is no HTTP any more, and another service's. */
static void
proto_http_upgrade(struct conn *conn, struct proto_http *http, const char *data)
{
	struct service *service = http->service;
	unsigned flags = proto_http_flags(&http->request);
	const struct proto *become = NULL;
	struct buf fields = {0};
	unsigned status = proto_http_shake(conn, http, data, &fields, &become);
	char *line = http_ask_line(service, &http->request, data);

	proto_http_drop(conn);
	if (status == 101 && !visit_fits(conn, service))
		status = 429;
	else if (status == 101 && !conn_switch(conn, service, become))
		status = 503;
	if (status == 429 || status == 503)
		buf_free(&fields); /* those of a 101 */
	if (status == 101) {
		http_reply_switch(&conn->busy->out, HTTP_UPGRADE, &fields);
		free(line);
	} else {
		proto_http_refuse_with(conn, service, status, flags, &fields, line);
	}
	buf_free(&fields);
}

static void
proto_http_submit(struct conn *conn, struct proto_http *http, const char *data)
{
	struct http_request *request = &http->request;
	unsigned flags;
	bool ends;

	/* The end of the connection may have to be that of the reply. */
	if (request->minor == 0 && http->service != NULL && http->service->conf->stream)
		request->keeps_alive = false;
	flags = proto_http_flags(request);
	ends = !request->keeps_alive;

	if (http->refusal != 0)
		proto_http_refuse_one(conn, data, http->refusal, flags);
	else if (http->service->conf->protocol != PROTOCOL_HTTP)
		proto_http_upgrade(conn, http, data);
	else
		http_ask(conn, http->service, request, data, HTTP_SAY_TAG(0, flags));
	if (ends)
		conn_end_input(conn);
}

/* It is too large for any service, but whose it is can be told. */
static void
proto_http_find_guilty(struct conn *conn, struct proto_http *http, const char *data)
{
	unsigned refusal;

	if (http->service == NULL && http->request.head_told)
		http->service = route_find(conn, &http->request, data, &refusal);
}

/* Takes one request. Returns the bytes that were used, 0 when it is not whole or must wait. */
static size_t
proto_http_take(struct conn *conn, const char *data, size_t length)
{
	struct proto_http *http = proto_http_open(conn);
	struct http_request *request = &http->request;
	enum http_found found = http_feed(request, data, length);
	size_t used;

	if (found == HTTP_HAS_HEAD) {
		http->service = route_find(conn, request, data, &http->refusal);
		if (proto_http_must_wait(conn, http->service)) {
			proto_http_drop(conn);
			conn_hold(conn);
			return 0;
		}
		if (!proto_http_admit(conn, http, data))
			return length;
		found = http_feed(request, data, length);
	}
	if (found == HTTP_NEEDS_MORE) {
		proto_http_continue(conn, http, data);
		return 0;
	}
	if (found == HTTP_IS_BAD) {
		proto_http_find_guilty(conn, http, data);
		proto_http_refuse_rest(conn, data, request->status,
		    request->head_told ? proto_http_flags(request) : 0);
		return length;
	}
	used = request->used;
	proto_http_submit(conn, http, data);
	if (conn->state == CONN_CLOSED)
		return used;
	/* Whoever said that nothing follows, and sent nothing more, need not be waited for. */
	if (!request->keeps_alive && used == length)
		conn->linger = false;
	proto_http_drop(conn);
	return used;
}

/* RFC 9112, 2.2: empty lines in front of a request are none of it. */
static size_t
proto_http_skip(const struct conn *conn, const char *data, size_t length)
{
	size_t used = 0;

	if (conn->busy->state != NULL)
		return 0;
	while (used + 1 < length && data[used] == '\r' && data[used + 1] == '\n')
		used += 2;
	return used;
}

static size_t
proto_http_input(struct conn *conn, const char *data, size_t length)
{
	size_t used = 0;

	while (used < length && conn->proto == &proto_http && conn_may_take(conn)) {
		size_t more;

		used += proto_http_skip(conn, data + used, length - used);
		/* Whether that begins an empty line the next byte will tell. */
		if (used == length || (used + 1 == length && data[used] == '\r'))
			break;
		more = proto_http_take(conn, data + used, length - used);
		used += more;
		if (more == 0)
			break;
	}
	return used;
}

/* A request that was cut short. */
static void
proto_http_end(struct conn *conn, const char *data, size_t length)
{
	(void)length;
	proto_http_refuse_rest(conn, data, 400, 0);
}

static uint32_t
proto_http_peek(const char *data, size_t length)
{
	(void)data;
	(void)length;
	return HTTP_SAY_TAG(408, HTTP_REPLY_CLOSE);
}

/* ---- moving ---- */

/* The request is read once more where it goes; that its client was told to go on is not in it. */
static void
proto_http_freeze(const struct conn *conn, struct buf *state)
{
	const struct proto_http *http = conn->busy->state;
	char continued = http != NULL && http->continued;

	buf_append(state, &continued, 1);
}

static bool
proto_http_thaw(struct conn *conn, const char *state, size_t length)
{
	if (length != 1)
		return false;
	if (state[0])
		proto_http_open(conn)->continued = true;
	return true;
}

const struct proto proto_http = {
    .name = "http",
    .input = proto_http_input,
    .end = proto_http_end,
    .reply = http_say_reply,
    .part = http_say_part,
    .blames = true,
    .refuse = http_say_refusal,
    .turn_away = http_say_too_many,
    .peek = proto_http_peek,
    .drop = proto_http_drop,
    .freeze = proto_http_freeze,
    .thaw = proto_http_thaw,
    .version = PROTO_HTTP_VERSION,
};
