/*
 * The master of the crew: it starts, kills and buries workers, and replaces lost instances. It
 * never locks the pool.
 */
#include "tests/unit/pool_crew.h"
#include "common/clock.h"
#include "tests/unit/pool_world.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t
crew_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void
crew_wake(struct crew *crew, unsigned id)
{
	eventfd_write(crew->wakes[id], 1);
}

static void *
crew_share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		exit(2);
	return memory;
}

struct crew *
crew_new(const struct pool_shape *shape, uint64_t seed)
{
	struct crew *crew = calloc(1, sizeof(*crew));

	if (crew == NULL || shape->slots > CREW_SLOTS || shape->workers > CREW_IDS)
		exit(2);
	crew->shape = *shape;
	crew->seed = seed;
	crew->pool = pool_new(shape);
	crew->shared = crew_share(sizeof(*crew->shared));
	crew->master_wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < CREW_IDS; i++)
		crew->wakes[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (crew->pool == NULL || crew->wakes[CREW_IDS - 1] < 0)
		exit(2);
	return crew;
}

void
crew_free(struct crew *crew)
{
	for (unsigned i = 0; i < CREW_IDS; i++) {
		if (crew->pids[i] != 0) {
			kill(crew->pids[i], SIGKILL);
			waitpid(crew->pids[i], NULL, 0);
		}
		close(crew->wakes[i]);
	}
	close(crew->master_wake);
	munmap(crew->shared, sizeof(*crew->shared));
	pool_free(crew->pool);
	free(crew);
}

int
crew_start(struct crew *crew)
{
	for (unsigned id = 0; id < crew->shape.workers; id++) {
		if (crew->pids[id] != 0 || !pool_swept(crew->pool, id))
			continue;
		atomic_store(&crew->shared->idle[id], false);
		crew->pids[id] = fork();
		if (crew->pids[id] < 0)
			exit(2);
		if (crew->pids[id] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			crew_work(crew, id);
			_exit(0);
		}
		return (int)id;
	}
	return -1;
}

void
crew_wake_all(struct crew *crew)
{
	for (unsigned id = 0; id < crew->shape.workers; id++)
		if (crew->pids[id] != 0)
			crew_wake(crew, id);
}

void
crew_kill(struct crew *crew, unsigned id)
{
	kill(crew->pids[id], SIGKILL);
	waitpid(crew->pids[id], NULL, 0);
	crew->pids[id] = 0;
	pool_bury(crew->pool, id);
	crew_wake_all(crew);
}

static bool
crew_alive(const struct crew *crew, pid_t pid)
{
	for (unsigned id = 0; id < CREW_IDS; id++)
		if (crew->pids[id] == pid)
			return true;
	return false;
}

void
crew_doom(struct crew *crew, unsigned slot)
{
	crew->doomed[slot] = crew->incarnation[slot];
	pool_doom(crew->pool, slot, crew->doomed[slot]);
	crew_wake_all(crew);
}

void
crew_retire(struct crew *crew, unsigned slot)
{
	pool_retire(crew->pool, slot, crew->incarnation[slot]);
	crew_wake_all(crew);
}

void
crew_reset(struct crew *crew)
{
	for (unsigned id = 0; id < crew->shape.workers; id++)
		if (crew->pids[id] != 0)
			crew_kill(crew, id);
	pool_reset(crew->pool);
	for (unsigned i = 0; i < crew->shape.slots; i++) {
		crew->doomed[i] = crew->incarnation[i];
		atomic_store(&crew->shared->used_by[i], 0);
	}
	atomic_store(&crew->shared->lawless, false);
	crew_replace(crew);
}

void
crew_replace(struct crew *crew)
{
	bool offered = false;

	for (unsigned i = 0; i < crew->shape.slots; i++) {
		struct pool_view view;
		int user;

		if (!pool_peek(crew->pool, i, &view) ||
		    (view.state != POOL_EMPTY && view.state != POOL_BROKEN) ||
		    (view.incarnation < crew->incarnation[i] &&
			crew->doomed[i] < crew->incarnation[i]))
			continue; /* well, or nobody has compared the last offer yet */
		/* Read after the state: whoever gives a slot back says so before it does. */
		user = atomic_load(&crew->shared->used_by[i]);
		if (user != 0 && crew_alive(crew, user) && !crew->shared->lawless) {
			snprintf(crew->shared->failure, sizeof(crew->shared->failure),
			    "slot %u was taken from pid %d, which is alive", i, user);
			atomic_store(&crew->shared->failed, true);
		}
		atomic_store(&crew->shared->used_by[i], 0);
		pool_offer(crew->pool, i, ++crew->incarnation[i]);
		offered = true;
	}
	if (offered)
		crew_wake_all(crew);
}

const char *
crew_trouble(struct crew *crew)
{
	static char text[100];

	if (atomic_load(&crew->shared->failed))
		return crew->shared->failure;
	for (unsigned id = 0; id < crew->shape.workers; id++) {
		int status;

		if (crew->pids[id] == 0 || waitpid(crew->pids[id], &status, WNOHANG) == 0)
			continue;
		crew->pids[id] = 0;
		if (atomic_load(&crew->shared->failed))
			return crew->shared->failure;
		snprintf(text, sizeof(text), "worker %u ended by itself, status 0x%x", id,
		    (unsigned)status);
		return text;
	}
	return NULL;
}

/* How many slots have no instance that rests or works. */
static unsigned
crew_lost(const struct crew *crew)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < crew->shape.slots; i++) {
		struct pool_view view;

		lost += !pool_peek(crew->pool, i, &view) || view.state == POOL_EMPTY ||
			view.state == POOL_BROKEN;
	}
	return lost;
}

const char *
crew_drain(struct crew *crew, unsigned seconds)
{
	static char text[100];
	uint64_t end = clock_now() + seconds * CLOCK_SECOND;

	atomic_store(&crew->shared->drain, true);
	for (;;) {
		struct pollfd wake = {.fd = crew->master_wake, .events = POLLIN};
		unsigned busy = 0;
		eventfd_t count;
		const char *wrong = crew_trouble(crew);

		for (unsigned id = 0; id < crew->shape.workers; id++)
			busy += crew->pids[id] != 0 && !atomic_load(&crew->shared->idle[id]);
		busy += crew_lost(crew);
		if (wrong != NULL || busy == 0)
			return wrong;
		if (clock_now() > end) {
			struct pool_figures figures;

			pool_figures(crew->pool, &figures);
			snprintf(text, sizeof(text),
			    "%u workers or slots wait for ever; %llu tickets in the line", busy,
			    (unsigned long long)figures.waiting);
			return text;
		}
		poll(&wake, 1, 5);
		eventfd_read(crew->master_wake, &count);
		crew_replace(crew);
	}
}

const char *
crew_stop(struct crew *crew)
{
	const char *wrong = NULL;

	atomic_store(&crew->shared->stop, true);
	for (unsigned id = 0; id < crew->shape.workers; id++) {
		int status;

		if (crew->pids[id] == 0)
			continue;
		crew_wake(crew, id);
		waitpid(crew->pids[id], &status, 0);
		crew->pids[id] = 0;
		if (status != 0)
			wrong = "a worker did not end in peace";
	}
	return wrong;
}

const char *
crew_end(struct crew *crew, unsigned seconds)
{
	static char text[100];
	struct pool_figures figures;
	const char *wrong;

	if ((wrong = crew_drain(crew, seconds)) != NULL || (wrong = crew_stop(crew)) != NULL)
		return wrong;
	if ((wrong = world_whole(crew->pool)) != NULL ||
	    (wrong = world_in_order(crew->pool)) != NULL)
		return wrong;
	pool_figures(crew->pool, &figures);
	if (figures.waiting != 0)
		return "somebody still waits";
	for (unsigned i = 0; i < crew->shape.slots; i++) {
		struct pool_view view;

		if (pool_peek(crew->pool, i, &view) && view.state == POOL_FREE &&
		    atomic_load(&crew->shared->used_by[i]) == 0)
			continue;
		snprintf(text, sizeof(text), "slot %u ends in state %d, used by pid %d", i,
		    view.state, atomic_load(&crew->shared->used_by[i]));
		return text;
	}
	return NULL;
}
