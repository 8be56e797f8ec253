/*
 * The access log of a service as one worker writes it: a line for every request that ended.
 *
 * Lines gather in a buffer and leave at the end of the turn, or when it is full. A file that takes
 * none (a full disk, a FIFO that nobody reads) never holds up a request: lines that do not fit into
 * the buffer are dropped whole and counted, and the log tells of them once in a while.
 */
#ifndef WORKERS_ACCESS_H
#define WORKERS_ACCESS_H

#include "workers/req.h"

#include <stddef.h>

#define ACCESS_ASKED_MAX 512 /* bytes that a line has of method and target, not escaped */

struct access;
struct msg_log;
struct worker;

/* A new one that takes over `fd`, of log_open_file(); NULL when it is negative: there is none. */
struct access *access_new(const char *service, int fd);
/*
 * The address of a connection's client for its lines: "127.0.0.1:5000", "[::1]:5000", "unix", or
 * "-" when it is gone already. The caller frees it.
 */
char *access_client(int fd);
/* How a request ended. */
struct access_end {
	enum outcome outcome; /* OUTCOME_PENDING: its client left before */
	size_t out;           /* bytes of its reply */
	unsigned status;      /* of that, with HTTP; else 0 */
};

/* A request of the service ended. What else is told stands in the request. */
void access_note(struct access *access, const struct req *req, const struct access_end *end);
/* The master sends a log that it opened anew: an access log or the daemon's. Takes over `fd`. */
void access_on_log(struct worker *worker, const struct msg_log *msg, int fd);
/* The end of a turn: what was noted is written. */
void access_turn(const struct worker *worker);

#endif
