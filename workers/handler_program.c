/*
 * program: any stdin/stdout program in a warm pool. This is the handler's face: a request comes in,
 * its client leaves, its time is up. Who is served when is decided in program.c.
 */
#include "common/log.h"
#include "common/mem.h"
#include "workers/handler.h"
#include "workers/program.h"
#include "workers/service.h"
#include "workers/worker.h"

#include <stddef.h>

/* ---- what the pool says to others ---- */

static void
handler_program_wake(void *arg, unsigned worker)
{
	struct program *program = arg;

	worker_wake(program->service->worker, worker);
}

static void
handler_program_wake_master(void *arg)
{
	struct program *program = arg;

	worker_wake_master(program->service->worker);
}

static void
handler_program_stuck(void *arg)
{
	struct program *program = arg;

	worker_lock_stuck(program->service->worker, program->service->index);
}

static void
handler_program_damaged(void *arg)
{
	struct program *program = arg;

	worker_pool_damaged(program->service->worker, program->service->index);
}

/* ---- the handler ---- */

static void
handler_program_on_late(struct deadline *deadline)
{
	program_break((struct link *)(void *)((char *)deadline - offsetof(struct link, deadline)),
	    POOL_REASON_TIMEOUT);
}

static void
handler_program_start(struct service *service)
{
	struct program *program = mem_alloc(1, sizeof(*program));
	struct worker *worker = service->worker;
	struct pool_hooks hooks = {
	    .arg = program,
	    .wake = handler_program_wake,
	    .wake_master = handler_program_wake_master,
	    .stuck = handler_program_stuck,
	    .damaged = handler_program_damaged,
	};

	program->service = service;
	program->pool = worker->start->pools[service->index];
	program->links = mem_alloc(pool_capacity(program->pool), sizeof(*program->links));
	TAILQ_INIT(&program->held);
	TAILQ_INIT(&program->waiting);
	deadline_open(&program->queue, worker->base, &worker->now, program_on_queue_late);
	deadline_open(&program->running, worker->base, &worker->now, handler_program_on_late);
	service->program = program;
	if (worker->start->is_trial)
		pool_join(program->pool, worker->start->id, &hooks);
	else
		pool_attach(program->pool, worker->start->id, &hooks);
}

/* The client is told that it was bad; what is to be done about it is for the operator, once. */
static void
handler_program_hint(struct program *program)
{
	if (!program->hinted)
		log_warnx("service %s: messages with a newline in them are refused: framing = line "
			  "cannot carry them, framing = frame can (see docs/programs.md)",
		    program->service->conf->name);
	program->hinted = true;
}

static void
handler_program_handle(struct req *req)
{
	if (codec_can_carry(req->service->conf->framing, req->data, req->length)) {
		program_enter(req->service->program, req);
		return;
	}
	handler_program_hint(req->service->program);
	req_fail(req, OUTCOME_BAD);
}

static void
handler_program_cancel(struct req *req)
{
	struct link *link = req->link;

	if (link == NULL)
		program_leave(req->service->program, req);
	else if (req->service->conf->on_cancel == ON_CANCEL_KILL &&
		 TAILQ_FIRST(&link->reqs) == req && TAILQ_NEXT(req, in_handler) == NULL)
		program_break(link, POOL_REASON_CANCELLED);
}

extern const struct handler handler_program;
const struct handler handler_program = {
    .start = handler_program_start,
    .handle = handler_program_handle,
    .cancel = handler_program_cancel,
};
