/*
 * Requests: one for each message, exactly one outcome each, replies in the order in which the
 * client asked or, where the protocol can tell them apart, as they come. Owns the free list; never
 * touches a socket.
 */
#include "workers/req.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/access.h"
#include "workers/conn.h"
#include "workers/handler.h"
#include "workers/proto.h"
#include "workers/service.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define REQ_SPARE_MAX 256

static struct req_list req_spare = TAILQ_HEAD_INITIALIZER(req_spare);
static unsigned req_spares;

const char *
outcome_text(enum outcome outcome)
{
	static const char *const texts[] = {
	    [OUTCOME_BUSY] = "ERR busy",
	    [OUTCOME_TIMEOUT] = "ERR timeout",
	    [OUTCOME_FAILED] = "ERR failed",
	    [OUTCOME_LIMITED] = "ERR limited",
	    [OUTCOME_TOO_LARGE] = "ERR too-large",
	    [OUTCOME_BAD] = "ERR bad",
	};

	return texts[outcome];
}

static enum counter
req_counter(enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_BUSY:
		return COUNTER_busy;
	case OUTCOME_TIMEOUT:
		return COUNTER_timeout;
	case OUTCOME_FAILED:
		return COUNTER_failed;
	case OUTCOME_LIMITED:
		return COUNTER_limited;
	case OUTCOME_TOO_LARGE:
		return COUNTER_too_large;
	case OUTCOME_BAD:
		return COUNTER_bad;
	case OUTCOME_SILENT:
		return COUNTER_silent;
	default:
		return COUNTER_replies;
	}
}

static struct req *
req_alloc(struct conn *conn, struct service *service)
{
	struct req *req = TAILQ_FIRST(&req_spare);

	if (req != NULL) {
		TAILQ_REMOVE(&req_spare, req, in_conn);
		req_spares--;
		mem_zero(req, offsetof(struct req, small));
	} else {
		req = mem_alloc(1, sizeof(*req));
	}
	req->conn = conn;
	req->service = service;
	req->arrived = service->worker->now;
	return req;
}

struct req *
req_new_for(
    struct conn *conn, struct service *service, const char *data, size_t length, uint32_t tag)
{
	struct req *req = req_alloc(conn, service);

	req->data = data;
	req->length = length;
	req->tag = tag;
	TAILQ_INSERT_TAIL(&conn->busy->reqs, req, in_conn);
	conn->busy->under_way++;
	conn->busy->taken++;
	conn->was_asked = true;
	conn->requests++;
	stats_count(req->service->stats, COUNTER_requests);
	return req;
}

struct req *
req_new(struct conn *conn, const char *data, size_t length, uint32_t tag)
{
	return req_new_for(conn, conn->service, data, length, tag);
}

/*
 * The one place where an outcome is counted. A reply may have waited for earlier requests of its
 * client, so the whole may be more than the sum of its parts.
 */
static void
req_count(const struct req *req, enum counter outcome)
{
	struct service *service = req->service;
	uint64_t now = service->worker->now;
	uint64_t ended = req->ended != 0 ? req->ended : now;
	uint64_t granted = req->granted != 0 ? req->granted : ended;

	stats_record(service->stats, service->times, outcome,
	    (const uint64_t[STATS_SPANS]){
		[STATS_queue] = granted - req->arrived,
		[STATS_run] = ended - granted,
		[STATS_whole] = now - req->arrived,
	    });
}

static void
req_free(struct req *req)
{
	deadline_clear(&req->deadline);
	deadline_clear(&req->limit);
	if (req->kept != req->small)
		free(req->kept);
	free(req->reply);
	buf_free(&req->parts);
	free(req->client);
	free(req->id);
	free(req->note);
	free(req->line);
	if (req_spares >= REQ_SPARE_MAX) {
		free(req);
		return;
	}
	TAILQ_INSERT_HEAD(&req_spare, req, in_conn);
	req_spares++;
}

void
req_submit(struct conn *conn, const char *data, size_t length, uint32_t tag)
{
	req_start(req_new(conn, data, length, tag));
}

void
req_start(struct req *req)
{
	req->service->handler->handle(req);
}

void
req_refuse(struct conn *conn, enum outcome outcome, uint32_t tag)
{
	req_fail(req_new(conn, NULL, 0, tag), outcome);
}

void
req_keep(struct req *req)
{
	if (req->kept != NULL)
		return;
	req->kept = req->length < REQ_SMALL ? req->small : mem_alloc(1, req->length + 1);
	if (req->length > 0)
		memcpy(req->kept, req->data, req->length);
	req->data = req->kept;
}

/* It is its turn: hands what there is of its reply to the protocol. */
static void
req_say_parts(struct req *req)
{
	size_t length = buf_length(&req->parts);

	if (length == 0)
		return;
	req->conn->proto->part(req->conn, req, buf_bytes(&req->parts), length);
	req->said += length;
	buf_free(&req->parts);
}

void
req_part(struct req *req, const char *data, size_t length)
{
	struct conn *conn = req->conn;

	if (conn == NULL || conn->cut)
		return;
	if (TAILQ_FIRST(&conn->busy->reqs) != req) {
		buf_append(&req->parts, data, length);
		return;
	}
	conn->proto->part(conn, req, data, length);
	req->said += length;
	conn_schedule(conn);
}

/* It was delivered; with HTTP under that status. */
static void
req_end(struct req *req, size_t length, unsigned status)
{
	const struct access_end end = {req->outcome, req->said + length, status};

	req_count(req, req_counter(req->outcome));
	if (req->service->access != NULL)
		access_note(req->service->access, req, &end);
	req_free(req);
}

/* Hands an outcome to the protocol and frees the request. */
static void
req_deliver(struct req *req, const char *data, size_t length)
{
	struct conn *conn = req->conn;
	const struct proto *proto = conn->proto;

	TAILQ_REMOVE(&conn->busy->reqs, req, in_conn);
	conn->busy->under_way--;
	if (req->said == 0)
		conn->busy->status = 0;
	if (req->outcome == OUTCOME_REPLY) {
		req_say_parts(req);
		if (!proto->reply(conn, req, data, length))
			req->outcome = proto->blames ? OUTCOME_FAILED : OUTCOME_BAD;
	}
	if (outcome_text(req->outcome) != NULL && !req->mute) {
		proto->refuse(conn, req, req->outcome);
		length = req->said == 0 ? strlen(outcome_text(req->outcome)) : 0;
	}
	if (req->said == 0 && conn->busy->status != 0)
		length = conn->busy->body;
	if (conn_file_is_there(conn)) {
		/* All others wait behind it. */
		TAILQ_INSERT_HEAD(&conn->busy->reqs, req, in_conn);
		conn->busy->under_way++;
		req->reply_length = length;
		return;
	}
	req_end(req, length, conn->busy->status);
}

/* Those at the front that are known. */
static void
req_deliver_all(struct conn *conn)
{
	struct req *req;

	while ((req = TAILQ_FIRST(&conn->busy->reqs)) != NULL && !conn->cut &&
	       !conn_file_is_there(conn)) {
		if (req->outcome == OUTCOME_PENDING) {
			req_say_parts(req);
			return;
		}
		req_deliver(req, req->reply, req->reply_length);
	}
}

void
req_sent(struct conn *conn)
{
	struct req *req = TAILQ_FIRST(&conn->busy->reqs);

	TAILQ_REMOVE(&conn->busy->reqs, req, in_conn);
	conn->busy->under_way--;
	req_end(req, req->reply_length, conn->busy->status);
	req_deliver_all(conn);
}

static void
req_finish(struct req *req, enum outcome outcome, const char *data, size_t length)
{
	struct conn *conn = req->conn;

	if (req->outcome != OUTCOME_PENDING)
		fatalx("a request was answered twice");
	req->outcome = outcome;
	req->ended = req->service->worker->now;
	deadline_clear(&req->deadline);
	deadline_clear(&req->limit);
	if (conn == NULL) {
		req_drop(req);
		return;
	}
	conn_schedule(conn);
	if (conn->cut)
		return; /* nothing is said any more */
	if (TAILQ_FIRST(&conn->busy->reqs) != req && !conn->proto->any_order) {
		if (outcome == OUTCOME_REPLY && data != NULL) {
			req->reply = mem_alloc(1, length + 1);
			if (length > 0)
				memcpy(req->reply, data, length);
			req->reply_length = length;
		}
		return;
	}
	req_deliver(req, data, length);
	req_deliver_all(conn);
}

void
req_reply(struct req *req, const char *data, size_t length)
{
	req_finish(req, OUTCOME_REPLY, data, length);
}

void
req_fail(struct req *req, enum outcome outcome)
{
	req_finish(req, outcome, NULL, 0);
}

void
req_finish_silently(struct req *req)
{
	req_finish(req, OUTCOME_SILENT, NULL, 0);
}

void
req_drop(struct req *req)
{
	if (!req->told)
		req_count(req, COUNTER_withdrawn);
	if (!req->told && req->service->access != NULL)
		access_note(req->service->access, req, &(struct access_end){OUTCOME_PENDING, 0, 0});
	req_free(req);
}

/* ---- the client waits no longer ---- */

void
req_limit(struct req *req, uint64_t time)
{
	/* Who answers at once is never too late. */
	if (req->service->handler->cancel != NULL)
		deadline_set(&req->service->limits, &req->limit, req->arrived + time);
}

/* Another one takes its place in the client's order, with all that is known of it. */
static struct req *
req_replace(struct req *req)
{
	struct req *other = req_alloc(req->conn, req->service);

	other->tag = req->tag;
	other->length = req->length;
	other->id = req->id;
	other->note = req->note;
	other->arrived = req->arrived;
	other->granted = req->granted;
	other->slot = req->slot;
	other->pid = req->pid;
	other->mute = req->mute;
	other->said = req->said;
	req->id = req->note = NULL;
	req->conn = NULL;
	req->told = true;
	TAILQ_INSERT_BEFORE(req, other, in_conn);
	TAILQ_REMOVE(&other->conn->busy->reqs, req, in_conn);
	return other;
}

void
req_on_limit(struct deadline *deadline)
{
	struct req *req = (struct req *)(void *)((char *)deadline - offsetof(struct req, limit));
	struct req *other = req_replace(req);

	req->service->handler->cancel(req);
	req_fail(other, OUTCOME_TIMEOUT);
}

void
req_cancel_all(struct conn *conn)
{
	struct req *req;

	while ((req = TAILQ_FIRST(&conn->busy->reqs)) != NULL) {
		TAILQ_REMOVE(&conn->busy->reqs, req, in_conn);
		conn->busy->under_way--;
		req->conn = NULL;
		deadline_clear(&req->limit);
		if (conn->client != NULL)
			req->client = mem_strdup(conn->client);
		if (req->outcome != OUTCOME_PENDING)
			req_drop(req);
		else
			req->service->handler->cancel(req);
	}
}
