/*
 * A request: what protocols and handlers share, and the only thing.
 *
 * The path of one request:
 *   conn.c      conn_turn() reads
 *   proto_x.c   input() finds a message
 *   req.c       req_submit()
 *   handler_x.c handle() ... link.c writes to the instance and reads the reply
 *   req.c       req_reply() or req_fail(), exactly once
 *   proto_x.c   reply() or refuse(), in the order of the requests unless the protocol says any
 *   conn.c      conn_turn() writes
 */
#ifndef WORKERS_REQ_H
#define WORKERS_REQ_H

#include "common/buf.h"
#include "ipc/pool.h"
#include "workers/deadline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct conn;
struct link;
struct req_web;
struct req_web_answer;
struct service;

enum outcome {
	OUTCOME_PENDING,
	OUTCOME_REPLY,
	OUTCOME_SILENT,    /* answered by saying nothing */
	OUTCOME_BUSY,      /* the waiting line is full */
	OUTCOME_TIMEOUT,   /* waited or ran too long */
	OUTCOME_FAILED,    /* the instance died or broke its contract */
	OUTCOME_LIMITED,   /* its address asks too often; only where there is a word for it */
	OUTCOME_TOO_LARGE, /* the message is over max_message */
	OUTCOME_BAD        /* the message or the reply cannot be carried */
};

/* "ERR busy" and the like; NULL for the first three. */
const char *outcome_text(enum outcome outcome);

#define REQ_SMALL 128 /* bytes of a message that costs no memory of its own */

struct req {
	TAILQ_ENTRY(req) in_conn; /* in the order of the client's requests */
	struct conn *conn;        /* borrows; NULL when the client has left */
	struct service *service;  /* borrows */
	const char *data;         /* the message: borrows the input, or `kept` */
	size_t length;
	char *kept;   /* owns, or is `small`; NULL while the bytes are borrowed */
	uint32_t tag; /* the protocol's own, to write the reply with */
	enum outcome outcome;
	uint64_t arrived; /* when it was taken up; all three are the worker's clock, ns */
	uint64_t granted; /* when it was given to an instance, the last time; 0: never */
	uint64_t ended;   /* when its outcome was known */
	char *reply;      /* owns; an outcome that waits for earlier requests of its client */
	size_t reply_length;
	struct buf parts; /* owns; of a reply that comes in parts: those that wait likewise */
	size_t said;      /* bytes of the others, which the protocol has */

	char *client;          /* owns; for the access log, once the client has left */
	char *id;              /* owns; what the client and the access log call it; NULL: nothing */
	char *note;            /* owns; the protocol's own, as `tag` */
	char *line;            /* owns; of HTTP, for the access log: method and target */
	struct deadline limit; /* of the client's own; see req_limit() */

	const struct req_web *web;           /* borrows, during handle(); where that is_web */
	const struct req_web_answer *answer; /* borrows, while it is written; likewise */

	bool mute; /* nothing is said, whatever its outcome */
	bool told; /* its outcome was another: its own counts for nothing */

	/* Of the handler that has it. */
	TAILQ_ENTRY(req) in_handler;
	struct link *link;  /* borrows; the instance that it was given to, else NULL */
	unsigned slot, pid; /* of the newest instance that it was given to; pid 0: none */
	struct pool_ticket ticket;
	struct deadline deadline;
	bool lost;           /* neither ticket nor grant was seen at the last look */
	uint64_t start, end; /* its bytes' places in all that was given to the instance */

	/* `kept` of a short message; not set to zero, so it comes last. */
	char small[REQ_SMALL];
};

TAILQ_HEAD(req_list, req);

/* For protocols: a message came; a message came that is refused without asking the handler. */
void req_submit(struct conn *conn, const char *data, size_t length, uint32_t tag);
void req_refuse(struct conn *conn, enum outcome outcome, uint32_t tag);
/*
 * The same in steps, for a protocol with more to say of it: req_new() takes the message up;
 * req_limit() says that the client waits for `time` ns and no longer; then req_start() asks the
 * handler, or the request is ended by one of those below.
 *
 * After `time` the client is told OUTCOME_TIMEOUT, and for the handler the client has left: no
 * instance is killed because a client is in a hurry, unless on_cancel says so.
 */
struct req *req_new(struct conn *conn, const char *data, size_t length, uint32_t tag);
/* For another service than that of its connection. */
struct req *req_new_for(
    struct conn *conn, struct service *service, const char *data, size_t length, uint32_t tag);
void req_limit(struct req *req, uint64_t time);
void req_start(struct req *req);
/* What comes due on service->limits. */
void req_on_limit(struct deadline *deadline);

/*
 * For handlers: some of the reply, which goes out as soon as it is the client's turn. Only for a
 * protocol with part(); then req_reply() tells that it was all, and its `data` is NULL.
 */
void req_part(struct req *req, const char *data, size_t length);
/*
 * For handlers: each ends the request; it must not be touched afterwards. `data` NULL is a reply of
 * several lines that has not even one, as opposed to one empty line.
 */
void req_reply(struct req *req, const char *data, size_t length);
void req_fail(struct req *req, enum outcome outcome);
void req_finish_silently(struct req *req);
/* The client has left and nobody else needs it. */
void req_drop(struct req *req);

/* For the connection: the file at the end of the first request's reply is gone. */
void req_sent(struct conn *conn);

/* Makes the message outlive handle(). */
void req_keep(struct req *req);

/* For the connection: the client has left; each request of it is cancelled. */
void req_cancel_all(struct conn *conn);

#endif
