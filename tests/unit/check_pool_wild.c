/*
 * A worker gone wild: it writes nonsense into the pool's shared memory and dies, or goes on doing
 * so beside others. Those and the master may find the pool useless, and say so, but they must
 * neither crash nor hang; after pool_reset() everything works again.
 */
#include "common/clock.h"
#include "ipc/pool_layout.h"
#include "tests/unit/pool_crew.h"
#include "tests/unit/pool_world.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIBBLES    150 /* of each kind */
#define HUNG_AFTER   20  /* s: alarm(2) of a child on scribbled memory */
#define SCRIBBLE_OPS 400

static uint64_t seed;

static void
must(const char *wrong)
{
	ck_assert_msg(wrong == NULL, "%s (HOSTLER_SEED=%llu)", wrong, (unsigned long long)seed);
}

enum scribble_kind {
	SCRIBBLE_FEW,        /* some words anywhere but the mutex */
	SCRIBBLE_SMALL,      /* small numbers, which look like indexes */
	SCRIBBLE_BOOKS,      /* all the books but the mutex */
	SCRIBBLE_TRUTH,      /* all slots and cells */
	SCRIBBLE_HEAD,       /* all the master's words */
	SCRIBBLE_ALL,        /* everything but the mutex */
	SCRIBBLE_WITH_MUTEX, /* everything */
	SCRIBBLE_KINDS
};

#define SCRIBBLE_ENDED_DAMAGED 42
#define SCRIBBLE_ENDED_STUCK   43

static void
scribble_range(void *start, size_t bytes, uint64_t *random)
{
	for (size_t i = 0; i + 8 <= bytes; i += 8) {
		uint64_t value = crew_random(random);

		memcpy((char *)start + i, &value, 8);
	}
}

static void
scribble_words(const struct pool *pool, unsigned count, bool small, uint64_t *random)
{
	size_t mutex = (size_t)((char *)pool->books - (char *)pool->head);

	while (count > 0) {
		/* half of them where it hurts: small pools use little of their pages */
		size_t page = crew_random(random) % 2 == 0 ? mutex : 0, at;
		uint64_t value = crew_random(random);

		at = page + crew_random(random) % (page != 0 ? 1024 : pool->size) / 4 * 4;
		if (at + 8 > pool->size || (at + 8 > mutex && at < mutex + sizeof(pthread_mutex_t)))
			continue;
		if (small)
			value %= 64;
		memcpy((char *)pool->head + at, &value, small ? 4 : 8);
		count--;
	}
}

static void
scribble(const struct pool *pool, enum scribble_kind kind, uint64_t *random)
{
	char *books = (char *)pool->books + sizeof(pthread_mutex_t);
	size_t after = pool->size - (size_t)(books - (char *)pool->head);

	switch (kind) {
	case SCRIBBLE_FEW:
	case SCRIBBLE_SMALL:
		scribble_words(
		    pool, 1 + (unsigned)(crew_random(random) % 60), kind == SCRIBBLE_SMALL, random);
		break;
	case SCRIBBLE_BOOKS:
		scribble_range(books, sizeof(*pool->books) - sizeof(pthread_mutex_t), random);
		break;
	case SCRIBBLE_TRUTH:
		scribble_range(pool->slots, pool->shape.slots * sizeof(*pool->slots), random);
		scribble_range(pool->line, pool->cells * sizeof(*pool->line), random);
		break;
	case SCRIBBLE_HEAD:
		scribble_range(pool->head, sizeof(*pool->head), random);
		break;
	case SCRIBBLE_WITH_MUTEX:
		scribble_range(pool->books, sizeof(pthread_mutex_t), random);
		/* fall through */
	default:
		scribble_range(books, after, random);
		scribble_range(pool->head, sizeof(*pool->head), random);
		break;
	}
}

static void
scribble_on_damaged(void *arg)
{
	(void)arg;
	_exit(SCRIBBLE_ENDED_DAMAGED);
}

static void
scribble_on_stuck(void *arg)
{
	(void)arg;
	_exit(SCRIBBLE_ENDED_STUCK);
}

static void
scribble_on_wake(void *arg, unsigned worker)
{
	(void)arg;
	if (worker >= 4)
		_exit(5);
}

static void
scribble_on_wake_master(void *arg)
{
	(void)arg;
}

/* One operation of a worker that believes what it read before the memory was scribbled on. */
static void
scribble_work(struct world *world, unsigned worker, uint64_t *random)
{
	struct pool *pool = world->as[worker];
	struct world_ticket *t = &world->tickets[crew_random(random) % world->count];
	struct pool_ticket ticket;
	struct pool_grant grant, next;
	unsigned slots = 0;

	switch (crew_random(random) % 7) {
	case 0:
		pool_look(pool, world->now);
		while (slots++ < 10 && pool_next_grant(pool, &grant)) {
			if (grant.slot >= world->shape.slots)
				_exit(6);
			pool_give(pool, &grant, world->now, POOL_REASON_NONE, &next);
		}
		break;
	case 1:
	case 2:
		if (pool_enter(pool, world->now, &ticket, &grant) != POOL_GRANTED)
			break;
		if (grant.slot >= world->shape.slots)
			_exit(6);
		pool_send_ahead(pool, &grant, &t->ticket, 1);
		pool_set_deadline(pool, &grant, 7);
		pool_count_served(pool, &grant);
		pool_is_doomed(pool, &grant);
		pool_give(pool, &grant, world->now, POOL_REASON_NONE, &next);
		break;
	case 3:
		pool_enter_again(pool, world->now, t->ticket.arrival, &ticket, &grant);
		break;
	case 4:
		pool_leave(pool, &t->ticket);
		break;
	case 5:
		if (t->grant.incarnation != 0)
			pool_give(pool, &t->grant, world->now, POOL_REASON_BABBLE, &next);
		break;
	default:
		pool_attach(pool, worker,
		    &(struct pool_hooks){.wake = scribble_on_wake,
			.wake_master = scribble_on_wake_master,
			.stuck = scribble_on_stuck,
			.damaged = scribble_on_damaged});
		break;
	}
}

static void
scribble_master(struct world *world, uint64_t *random)
{
	static struct pool_trace trace[POOL_TRACE];
	struct pool_figures figures;
	struct pool_view view;
	unsigned slot = (unsigned)(crew_random(random) % world->shape.slots);
	unsigned worker = (unsigned)(crew_random(random) % world->shape.workers);

	pool_figures(world->pool, &figures);
	if (pool_trace(world->pool, trace, 100) > 100)
		_exit(7);
	if (pool_peek(world->pool, slot, &view) &&
	    (view.state == POOL_EMPTY || view.state == POOL_BROKEN)) {
		pool_reason_text(view.reason);
		world_offer(world, slot);
	}
	if (crew_random(random) % 20 == 0)
		pool_doom(world->pool, slot, world->incarnation[slot]);
	if (crew_random(random) % 20 == 0)
		pool_bury(world->pool, worker);
	pool_swept(world->pool, worker);
}

static void
scribble_live_on(struct world *world, uint64_t random)
{
	for (unsigned w = 0; w < 4; w++)
		world->as[w]->hooks = (struct pool_hooks){.wake = scribble_on_wake,
		    .wake_master = scribble_on_wake_master,
		    .stuck = scribble_on_stuck,
		    .damaged = scribble_on_damaged};
	for (unsigned i = 0; i < SCRIBBLE_OPS; i++) {
		scribble_work(world, (unsigned)(crew_random(&random) % 4), &random);
		scribble_master(world, &random);
	}
}

static void
scribble_round(enum scribble_kind kind, uint64_t random)
{
	struct world *world = world_new(3, 8, 2, 4);
	static const unsigned everybody[] = {0, 1, 2, 3};
	int status;

	world_open(world);
	for (unsigned i = 0; i < 9; i++)
		world_enter(world, i % 4);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(HUNG_AFTER);
		scribble(world->pool, kind, &random);
		scribble_live_on(world, random);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 0 ||
					       WEXITSTATUS(status) == SCRIBBLE_ENDED_DAMAGED ||
					       WEXITSTATUS(status) == SCRIBBLE_ENDED_STUCK),
	    "status 0x%x after scribble %d with %llu", (unsigned)status, kind,
	    (unsigned long long)random);
	/* everybody is dead: the master starts over */
	pool_reset(world->pool);
	for (unsigned w = 0; w < 4; w++)
		world_attach(world, w);
	for (unsigned i = 0; i < world->shape.slots; i++)
		world->incarnation[i] += 1000;
	world->count = 0;
	must(world_drain(world));
	must(world_full_load(world, everybody, 4));
	must(world_whole(world->pool));
	world_free(world);
}

START_TEST(test_scribbled_memory)
{
	uint64_t random = seed + (uint64_t)_i * 7919;

	for (int i = 0; i < SCRIBBLES; i++)
		scribble_round((enum scribble_kind)_i, crew_random(&random));
}
END_TEST

/* Every worker still gets on, or says that it cannot. */
static const char *
scribble_wait_for_beats(struct crew *crew, const uint64_t *before)
{
	uint64_t end = clock_now() + 5 * CLOCK_SECOND;

	for (;;) {
		unsigned silent = 0;
		const char *wrong = crew_trouble(crew);

		for (unsigned id = 0; id < crew->shape.workers; id++)
			silent += crew->pids[id] != 0 && crew->shared->beats[id] < before[id] + 3;
		if (wrong != NULL || silent == 0)
			return wrong;
		if (clock_now() > end)
			return "a worker hangs in scribbled memory";
		crew_replace(crew);
		crew_wake_all(crew);
		poll(NULL, 0, 1);
	}
}

/* A fork that scribbles for a while beside the others, at full speed. */
static void
scribble_beside(struct crew *crew, uint64_t random)
{
	uint64_t end = clock_now() + 50 * CLOCK_MS;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (clock_now() < end)
			scribble(crew->pool, SCRIBBLE_FEW, &random);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static const struct pool_shape shapes[] = {
    {.slots = 4, .queue = 12, .batch = 1, .workers = 9, .lease_time = CLOCK_SECOND},
    {.slots = 2, .queue = 40, .batch = 4, .workers = 9, .lease_time = CLOCK_SECOND},
};

START_TEST(test_scribbler_beside_workers)
{
	uint64_t beats[CREW_IDS], random = seed;

	for (unsigned round = 0; round < 8; round++) {
		struct crew *crew = crew_new(&shapes[round % 2], seed);

		crew_replace(crew);
		for (int i = 0; i < 3; i++)
			ck_assert_int_ge(crew_start(crew), 0);
		atomic_store(&crew->shared->lawless, true);
		scribble_beside(crew, crew_random(&random));
		for (unsigned id = 0; id < CREW_IDS; id++)
			beats[id] = crew->shared->beats[id];
		must(scribble_wait_for_beats(crew, beats));
		crew_reset(crew);
		for (int i = 0; i < 3; i++)
			ck_assert_int_ge(crew_start(crew), 0);
		poll(NULL, 0, 50);
		must(crew_end(crew, 10));
		crew_free(crew);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_wild");
	TCase *wild = tcase_create("wild");
	const char *given = getenv("HOSTLER_SEED");
	int status;

	seed = given != NULL ? strtoull(given, NULL, 10) : clock_now() | 1;
	tcase_set_timeout(wild, 60);
	tcase_add_loop_test(wild, test_scribbled_memory, 0, SCRIBBLE_KINDS);
	tcase_add_test(wild, test_scribbler_beside_workers);
	suite_add_tcase(suite, wild);
	status = help_run(suite);
	if (status != EXIT_SUCCESS)
		fprintf(stderr, "HOSTLER_SEED=%llu\n", (unsigned long long)seed);
	return status;
}
