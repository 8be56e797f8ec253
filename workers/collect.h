/*
 * handler = collect, as the rest of workers/ sees it: records gather, a thread writes and syncs
 * them (committer.h), then their requests are answered. The master's descriptors come and go.
 */
#ifndef WORKERS_COLLECT_H
#define WORKERS_COLLECT_H

#include "ipc/msg.h"
#include "workers/req.h"

#include <stdbool.h>

struct collect;
struct service;
struct worker;

/* Once per worker and service. */
struct collect *collect_new(struct service *service);
/* For the handler: a record comes; its client has left, which does not take it back. */
void collect_add(struct collect *collect, struct req *req);
void collect_forget(struct collect *collect, struct req *req);
/* The master's message: records go to this file from now on. Takes over the descriptors. */
void collect_on_file(struct worker *worker, const struct msg_file *msg, int fds[MSG_FDS_MAX]);
/* The end of a turn: what has gathered is written, unless something still is. */
void collect_turn(void);
/* Whether records are still to be written. */
bool collect_is_busy(const struct collect *collect);

#endif
