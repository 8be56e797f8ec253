/*
 * The drills of pool_drill.h. Each prepares a small pool in which all parts matter, lets one forked
 * worker die in an operation, and then plays the survivors and the master: nothing of the dead may
 * stay, nothing of the living may be lost, and the pool must take a full load afterwards.
 */
#include "tests/unit/pool_drill.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who is who. */
enum { VICTIM, SALLY, TOM, GHOST, FIXER, NEWCOMER, WORKERS };

struct drill {
	const char *name;
	void (*prepare)(struct world *world);
	void (*act)(struct world *world);
};

static unsigned drill_passed, drill_fatal; /* points passed; the one that kills, 0 for none */

/* ---- the pool before ---- */

/* All three slots leased, to the victim, Sally and Tom; slot 0 to the victim. */
static void
prepare_leased(struct world *world)
{
	world_open(world);
	world_enter(world, VICTIM);
	world_enter(world, SALLY);
	world_enter(world, TOM);
}

/* And a line of six, two of the victim's among them. */
static void
prepare_line(struct world *world)
{
	static const unsigned line[] = {SALLY, VICTIM, TOM, TOM, VICTIM, SALLY};

	prepare_leased(world);
	for (unsigned i = 0; i < 6; i++)
		world_enter(world, line[i]);
}

/* A line in which cells were freed and used again, out of the order of their numbers. */
static void
prepare_mixed_line(struct world *world)
{
	prepare_line(world);
	for (int i = 0; i < 2; i++) {
		struct world_ticket *t = world_oldest(world, i == 0 ? TOM : SALLY, WORLD_WAITS);

		pool_leave(world->as[t->worker], &t->ticket);
		t->fate = WORLD_DONE;
	}
	world_enter(world, SALLY);
	world_enter(world, TOM);
}

static void
prepare_short_line(struct world *world)
{
	prepare_leased(world);
	world_enter(world, SALLY);
	world_enter(world, TOM);
}

/* Only the victim's second ticket waits. */
static void
prepare_own_line(struct world *world)
{
	prepare_leased(world);
	world_enter(world, VICTIM);
}

/* Nobody has compared the master's three offers yet. */
static void
prepare_offers(struct world *world)
{
	static const unsigned line[] = {SALLY, TOM, VICTIM, SALLY, TOM};

	for (unsigned i = 0; i < 5; i++)
		world_enter(world, line[i]);
	for (unsigned i = 0; i < 3; i++)
		world_offer(world, i);
}

/* Sally holds slot 0; the two others rest, one is doomed. */
static void
prepare_doom(struct world *world)
{
	world_open(world);
	world_enter(world, SALLY);
	pool_doom(world->pool, 1, world->incarnation[1]);
	pool_doom(world->pool, 0, world->incarnation[0]);
}

/* The victim's instance is doomed, and replaced under its hands. */
static void
prepare_replaced(struct world *world)
{
	prepare_short_line(world);
	pool_doom(world->pool, 0, world->incarnation[0]);
	world_offer(world, 0);
}

static void
prepare_doomed(struct world *world)
{
	prepare_short_line(world);
	pool_doom(world->pool, 0, world->incarnation[0]);
}

/* A worker died with two leases and two tickets; nobody has swept up yet. */
static void
prepare_ghost(struct world *world)
{
	static const unsigned line[] = {GHOST, SALLY, TOM, GHOST, VICTIM};

	world_open(world);
	world_enter(world, GHOST);
	world_enter(world, SALLY);
	world_enter(world, GHOST);
	for (unsigned i = 0; i < 5; i++)
		world_enter(world, line[i]);
	world_forget(world, GHOST);
	pool_bury(world->pool, GHOST);
	world_offer(world, 2);
}

/* ---- what the victim does ---- */

static void
act_enter(struct world *world)
{
	world_enter(world, VICTIM);
}

static void
act_enter_again(struct world *world)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD);
	struct pool_grant grant;
	struct pool_ticket ticket;

	pool_give(world->as[VICTIM], &held->grant, world->now, POOL_REASON_CLOSED, &grant);
	pool_enter_again(world->as[VICTIM], world->now, held->grant.arrival, &ticket, &grant);
}

static void
act_enter_again_granted(struct world *world)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD);
	struct pool_grant grant;
	struct pool_ticket ticket;

	pool_give(world->as[VICTIM], &held->grant, world->now, POOL_REASON_NONE, &grant);
	pool_enter_again(world->as[VICTIM], world->now, held->grant.arrival, &ticket, &grant);
}

static void
act_leave_oldest(struct world *world)
{
	pool_leave(world->as[VICTIM], &world_oldest(world, VICTIM, WORLD_WAITS)->ticket);
}

static void
act_leave_newest(struct world *world)
{
	struct world_ticket *t = world_enter(world, VICTIM);

	if (t == NULL) {
		world_oldest(world, VICTIM, WORLD_WAITS)->fate = WORLD_DONE;
		t = world_oldest(world, VICTIM, WORLD_WAITS);
	}
	pool_leave(world->as[VICTIM], &t->ticket);
}

static void
act_send_ahead(struct world *world)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD), *first, *second;

	first = world_oldest(world, VICTIM, WORLD_WAITS);
	first->fate = WORLD_DONE;
	second = world_oldest(world, VICTIM, WORLD_WAITS);
	pool_send_ahead(world->as[VICTIM], &held->grant,
	    (struct pool_ticket[]){first->ticket, second->ticket}, 2);
}

static void
act_give_as(struct world *world, enum pool_reason reason)
{
	struct world_ticket *held = world_oldest(world, VICTIM, WORLD_HELD);
	struct pool_grant next;

	pool_give(world->as[VICTIM], &held->grant, world->now, reason, &next);
}

static void
act_give(struct world *world)
{
	act_give_as(world, POOL_REASON_NONE);
}

static void
act_give_broken(struct world *world)
{
	act_give_as(world, POOL_REASON_BABBLE);
}

static void
act_look(struct world *world)
{
	pool_look(world->as[VICTIM], world->now);
}

static void
act_attach(struct world *world)
{
	world_attach(world, VICTIM);
}

static const struct drill drills[] = {
    {"enter, granted", world_open, act_enter},
    {"enter, waits", prepare_short_line, act_enter},
    {"enter, waits alone", prepare_leased, act_enter},
    {"enter, refused", prepare_line, act_enter},
    {"enter, after offers", prepare_offers, act_enter},
    {"enter, after a doom", prepare_doom, act_enter},
    {"enter again, waits", prepare_line, act_enter_again},
    {"enter again, in a mixed line", prepare_mixed_line, act_enter_again},
    {"enter again, granted", prepare_leased, act_enter_again_granted},
    {"leave, in the middle", prepare_line, act_leave_oldest},
    {"leave, in a mixed line", prepare_mixed_line, act_leave_oldest},
    {"leave, alone", prepare_own_line, act_leave_oldest},
    {"leave, at the end", prepare_short_line, act_leave_newest},
    {"send ahead", prepare_line, act_send_ahead},
    {"give, to another", prepare_line, act_give},
    {"give, in a mixed line", prepare_mixed_line, act_give},
    {"give, to itself", prepare_own_line, act_give},
    {"give, to nobody", prepare_leased, act_give},
    {"give, broken", prepare_line, act_give_broken},
    {"give, doomed", prepare_doomed, act_give},
    {"give, replaced", prepare_replaced, act_give},
    {"look, at offers", prepare_offers, act_look},
    {"look, at a doom", prepare_doom, act_look},
    {"look, at a dead worker", prepare_ghost, act_look},
    {"look, at a replacement", prepare_replaced, act_look},
    {"attach, behind a dead worker", prepare_ghost, act_attach},
};

unsigned
drill_count(void)
{
	return sizeof(drills) / sizeof(drills[0]);
}

const char *
drill_name(unsigned drill)
{
	return drills[drill].name;
}

/* ---- dying ---- */

static struct world *
drill_world(unsigned drill)
{
	struct world *world = world_new(3, 6, 3, WORKERS);

	drills[drill].prepare(world);
	return world;
}

static void
drill_on_point(int point)
{
	(void)point;
	if (++drill_passed == drill_fatal)
		kill(getpid(), SIGKILL);
}

static void
drill_arm(unsigned fatal)
{
	drill_passed = 0;
	drill_fatal = fatal;
	pool_point = drill_on_point;
}

unsigned
drill_points(unsigned drill)
{
	struct world *world = drill_world(drill);

	drill_arm(0);
	drills[drill].act(world);
	pool_point = NULL;
	world_free(world);
	return drill_passed;
}

static void
drill_look_as_fixer(struct world *world)
{
	pool_look(world->as[FIXER], world->now);
}

/* Forks somebody who does this and dies at that point, or else right behind it. */
static const char *
drill_die(struct world *world, void (*act)(struct world *), unsigned point)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return "no fork";
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		drill_arm(point);
		act(world);
		kill(getpid(), SIGKILL);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return "the victim did not die of its kill";
	return NULL;
}

/* ---- what is left ---- */

static const char *
drill_no_trace_of(const struct pool *pool, unsigned worker)
{
	if (!pool_swept(pool, worker))
		return "nobody swept up";
	for (unsigned i = 0; i < pool->shape.slots; i++)
		if (pool_word_state(pool->slots[i].word) == POOL_LEASED &&
		    pool_word_owner(pool->slots[i].word) == worker)
			return "the dead still holds a lease";
	for (uint32_t i = 0; i < pool->cells; i++)
		if ((pool->line[i].word & POOL_CELL_WAITING) != 0 &&
		    pool_cell_owner(pool->line[i].word) == worker)
			return "the dead still waits in the line";
	return NULL;
}

/* The first thing that a survivor happens to do, and that finds the lock's owner dead. */
static const char *
drill_first(struct world *world, unsigned way)
{
	struct world_ticket *waits = world_oldest(world, TOM, WORLD_WAITS);
	struct world_ticket *held = world_oldest(world, SALLY, WORLD_HELD);

	if (way % 5 == 1) {
		world_enter(world, TOM);
		return NULL;
	}
	if (way % 5 == 2 && waits != NULL) {
		if (pool_leave(world->as[TOM], &waits->ticket))
			waits->fate = WORLD_DONE;
		return NULL;
	}
	if (way % 5 == 3 && held != NULL)
		return world_give(world, held, POOL_REASON_NONE);
	if (way % 5 == 4 && held != NULL && waits != NULL) {
		pool_send_ahead(world->as[SALLY], &held->grant, &waits->ticket, 1);
		return NULL;
	}
	pool_look(world->as[SALLY], world->now);
	return world_collect(world, SALLY);
}

/* The survivors go on, the master buries; then everything must be whole. */
static const char *
drill_aftermath(struct world *world, unsigned way, bool fixer_died)
{
	static const unsigned crew[] = {SALLY, VICTIM, TOM};
	const char *wrong;

	if (way < 5) {
		wrong = drill_first(world, way);
		if (wrong == NULL)
			wrong = world_whole(world->pool);
		if (wrong != NULL)
			return wrong;
	}
	pool_bury(world->pool, VICTIM);
	if (fixer_died)
		pool_bury(world->pool, FIXER);
	if (way >= 5 && (wrong = drill_first(world, way)) != NULL)
		return wrong;
	pool_look(world->as[TOM], world->now);
	if ((wrong = drill_no_trace_of(world->pool, VICTIM)) != NULL)
		return wrong;
	if ((wrong = world_whole(world->pool)) != NULL)
		return wrong;
	if ((wrong = world_drain(world)) != NULL)
		return wrong;
	world_attach(world, VICTIM);
	if ((wrong = world_collect(world, VICTIM)) != NULL)
		return wrong;
	if ((wrong = world_full_load(world, crew, 3)) != NULL)
		return wrong;
	if ((wrong = world_in_order(world->pool)) != NULL)
		return wrong;
	return world_whole(world->pool);
}

const char *
drill_kill(unsigned drill, unsigned point, unsigned repair, unsigned way)
{
	struct world *world = drill_world(drill);
	const char *wrong = drill_die(world, drills[drill].act, point);
	struct pool_figures figures;

	world_forget(world, VICTIM);
	if (wrong == NULL && repair > 0) {
		if (way >= 5)
			pool_bury(world->pool, VICTIM);
		wrong = drill_die(world, drill_look_as_fixer, repair);
		world_forget(world, FIXER);
	}
	if (wrong == NULL)
		wrong = drill_aftermath(world, way, repair > 0);
	pool_figures(world->pool, &figures);
	if (wrong == NULL && figures.rebuilds == 0)
		wrong = "nothing was rebuilt";
	world_free(world);
	return wrong;
}

unsigned
drill_repair_points(unsigned drill, unsigned point)
{
	struct world *world = drill_world(drill);

	if (drill_die(world, drills[drill].act, point) != NULL)
		abort();
	pool_bury(world->pool, VICTIM);
	drill_arm(0);
	drill_look_as_fixer(world);
	pool_point = NULL;
	world_free(world);
	return drill_passed;
}

/* ---- dying at any instruction ---- */

/* Forks the victim, stopped right before its operation. -1 where tracing is not allowed. */
static pid_t
drill_traced(struct world *world, unsigned drill)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(1);
		raise(SIGSTOP);
		drills[drill].act(world);
		raise(SIGSTOP);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	return pid;
}

/* Steps until `limit` or the end of the operation, then kills. Returns the steps made. */
static unsigned long
drill_walk(pid_t pid, unsigned long limit)
{
	unsigned long steps = 0;
	int status;

	while (steps < limit && ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0) {
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
		    WSTOPSIG(status) != SIGTRAP)
			break;
		steps++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return steps;
}

unsigned long
drill_steps(unsigned drill)
{
	struct world *world = drill_world(drill);
	pid_t pid = drill_traced(world, drill);
	unsigned long steps = pid > 0 ? drill_walk(pid, 1000000) : 0;

	world_free(world);
	return steps;
}

const char *
drill_kill_step(unsigned drill, unsigned long step, unsigned way)
{
	struct world *world = drill_world(drill);
	pid_t pid = drill_traced(world, drill);
	const char *wrong = NULL;

	if (pid > 0) {
		drill_walk(pid, step);
		world_forget(world, VICTIM);
		wrong = drill_aftermath(world, way, false);
	}
	world_free(world);
	return wrong;
}
