/*
 * What a worker looks at several times a second: instances that say nothing, and requests whose
 * grant came to nothing while the worker stood still. Owns nothing.
 */
#include "common/clock.h"
#include "common/log.h"
#include "workers/program.h"
#include "workers/service.h"

#define PROGRAM_MUTE_TIME (5 * CLOCK_SECOND)

/* It read the whole request, and no reply came: it forgot to flush, or to end what it says. */
static void
program_hint(struct program *program, struct link *link)
{
	size_t begun = buf_length(&link->reply);

	if (link->hinted || !link_is_mute(link, program->service->worker->now, PROGRAM_MUTE_TIME))
		return;
	link->hinted = true;
	if (begun > 0)
		log_warnx("service %s: instance %u (pid %u) has said %zu bytes in 5 seconds and "
			  "not ended its reply: does it write %s? (see docs/programs.md)",
		    program->service->conf->name, link->slot, link->pid, begun,
		    link->lines.end != NULL ? "the line of reply_end" : "the newline");
	else
		log_warnx("service %s: instance %u (pid %u) has read a request and said nothing "
			  "for 5 seconds: does it flush its output, or wait for the end of its "
			  "input? (see docs/programs.md)",
		    program->service->conf->name, link->slot, link->pid);
}

/*
 * A worker that stood still for long may have been granted an instance that is dead and replaced by
 * now: its ticket is gone and no grant is there. Such requests go back to the line.
 */
static void
program_find_lost(struct program *program)
{
	struct req *req, *next;

	TAILQ_FOREACH (req, &program->waiting, in_handler)
		req->lost = !pool_waits(program->pool, &req->ticket);
	program_look(program);
	for (req = TAILQ_FIRST(&program->waiting); req != NULL; req = next) {
		next = TAILQ_NEXT(req, in_handler);
		if (!req->lost)
			continue;
		program_stop_waiting(program, req);
		req->lost = false;
		program_again(program, req);
		next = TAILQ_FIRST(&program->waiting);
	}
}

void
program_tick(struct program *program)
{
	struct link *link;

	if (program_is_busy(program))
		program_find_lost(program);
	TAILQ_FOREACH (link, &program->held, entry)
		program_hint(program, link);
}
