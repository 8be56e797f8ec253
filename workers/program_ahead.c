/*
 * Sending ahead: the holder of a lease gives its instance more of its own oldest requests before
 * the first is answered. Decides how many, for a fixed `concurrency` and for auto; who gets a lease
 * is decided in the pool. Owns the list of services with requests that came in this turn.
 */
#include "common/clock.h"
#include "common/conf.h"
#include "workers/program.h"
#include "workers/service.h"

#define PROGRAM_AHEAD_MAX 64 /* tickets sent ahead in one go */

/* An instance that dies takes what is in it along: for so long the next has one message at most. */
#define PROGRAM_WARY_TIME (10 * CLOCK_SECOND)

static STAILQ_HEAD(, program) program_due = STAILQ_HEAD_INITIALIZER(program_due);

/* ---- how many ---- */

/*
 * An equal share of all that this worker has waiting and under way, less what the instance has of
 * it, so that none runs dry while others have many. What is done in a moment is not divided: each
 * write wakes an instance.
 */
static unsigned
program_part(const struct program *program, const struct link *link)
{
	unsigned instances = program->instances > 0 ? program->instances : 1;
	unsigned all = program->waiting_count, share, bundle;
	const struct link *other;

	TAILQ_FOREACH (other, &program->held, entry)
		all += other->inside;
	share = (all + instances - 1) / instances;
	bundle = pace_bundle(&program->pace, CONF_CONCURRENCY_AUTO_MAX);
	if (share < bundle)
		share = bundle;
	return share > link->inside ? share - link->inside : 0;
}

/* Whether auto gives messages one by one whatever they cost. */
static bool
program_is_wary(const struct program *program)
{
	uint64_t now = program->service->worker->now, broke = pool_broke(program->pool);

	/* Where one more instance may be started, requests that wait are what calls it. */
	return pool_is_hungry(program->pool) || (broke != 0 && now < broke + PROGRAM_WARY_TIME);
}

/* How many more messages the instance may be given now. */
static unsigned
program_room(const struct program *program, const struct link *link)
{
	unsigned most = program->service->conf->concurrency, room, part;
	uint64_t now = program->service->worker->now;

	if (most != CONF_CONCURRENCY_AUTO)
		return link->given < most ? most - link->given : 0;
	if (program_is_wary(program))
		return 0;
	room = pace_room(&program->pace, link->given, link->inside,
	    now > link->since ? now - link->since : 0, CONF_CONCURRENCY_AUTO_MAX);
	part = program_part(program, link);
	return room < part ? room : part;
}

/* ---- sending ---- */

bool
program_may_send_ahead(const struct program *program)
{
	return program->service->conf->concurrency != 1 && !TAILQ_EMPTY(&program->waiting);
}

void
program_send_ahead(struct program *program, struct link *link)
{
	struct pool_ticket tickets[PROGRAM_AHEAD_MAX];
	unsigned room = program_room(program, link), count = 0, went;
	struct req *req;

	TAILQ_FOREACH (req, &program->waiting, in_handler) {
		if (count == room || count == PROGRAM_AHEAD_MAX)
			break;
		tickets[count++] = req->ticket;
	}
	if (count == 0)
		return;
	went = pool_send_ahead(program->pool, &link->grant, tickets, count);
	stats_add(&program->service->stats->counters[COUNTER_ahead], went);
	while (went-- > 0) {
		req = TAILQ_FIRST(&program->waiting);
		program_stop_waiting(program, req);
		link_give(link, req, true);
	}
	link_flush(link);
}

/* ---- once in a turn ---- */

void
program_send_later(struct program *program)
{
	if (program->is_due || TAILQ_EMPTY(&program->held) || !program_may_send_ahead(program))
		return;
	program->is_due = true;
	STAILQ_INSERT_TAIL(&program_due, program, due);
}

void
program_send_due(void)
{
	struct program *program;

	while ((program = STAILQ_FIRST(&program_due)) != NULL) {
		unsigned held = 0;
		struct link *link;

		STAILQ_REMOVE_HEAD(&program_due, due);
		program->is_due = false;
		TAILQ_FOREACH (link, &program->held, entry)
			held++;
		/* In turns: who got some goes behind those that got none. */
		while (held-- > 0 && !TAILQ_EMPTY(&program->waiting)) {
			link = TAILQ_FIRST(&program->held);
			TAILQ_REMOVE(&program->held, link, entry);
			TAILQ_INSERT_TAIL(&program->held, link, entry);
			program_send_ahead(program, link);
		}
	}
}
