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

static unsigned drill_passed, drill_fatal; /* points passed; the one that kills, 0 for none */

unsigned
drill_count(void)
{
	return drill_table_size;
}

const char *
drill_name(unsigned drill)
{
	return drill_table[drill].name;
}

/* ---- dying ---- */

static struct world *
drill_world(unsigned drill)
{
	struct world *world = world_new(3, 6, 3, WORKERS);

	drill_table[drill].prepare(world);
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
	drill_table[drill].act(world);
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

/* Whether somebody has compared all of the master's words. */
static const char *
drill_absorbed(const struct pool *pool)
{
	for (unsigned i = 0; i < pool->shape.slots; i++) {
		uint64_t word = pool->slots[i].word, doomed = pool->head->orders[i].doomed;
		uint64_t offered = pool->head->orders[i].offered;

		if (offered > doomed && pool_word_incarnation(word) < offered)
			return "an offer was overlooked";
		if (pool_word_state(word) == POOL_FREE && pool_word_incarnation(word) <= doomed)
			return "a doomed instance rests";
		if (pool_word_state(word) == POOL_FREE &&
		    pool_word_incarnation(word) <= pool->head->orders[i].retired)
			return "a retired instance rests";
	}
	return pool_swept(pool, GHOST) ? NULL : "an older death was overlooked";
}

/* The survivors go on, the master buries; then everything must be whole. */
static const char *
drill_aftermath(struct world *world, unsigned way, bool fixer_died)
{
	static const unsigned crew[] = {SALLY, VICTIM, TOM};
	const char *wrong;

	if (way < 5) {
		/* nobody has noticed the death yet, but for the lock */
		if ((wrong = drill_first(world, way)) != NULL)
			return wrong;
		pool_look(world->as[SALLY], world->now);
		if ((wrong = drill_absorbed(world->pool)) != NULL)
			return wrong;
		if ((wrong = world_whole(world->pool)) != NULL)
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
	const char *wrong = drill_die(world, drill_table[drill].act, point);
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

	if (drill_die(world, drill_table[drill].act, point) != NULL)
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
		drill_table[drill].act(world);
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
