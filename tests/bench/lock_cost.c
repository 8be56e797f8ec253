/*
 * What the pool's lock costs: worker processes enter requests and give leases as fast as they can,
 * without any bytes, programs or system calls between. It prints how many requests a second came
 * through, how often a request locked, how long the lock was held each time, and how long it was
 * waited for. The mutex functions are wrapped by the linker, so the pool is the very code that
 * hostlerd has. See docs/decisions/0009-the-pools-lock.md.
 */
#include "common/clock.h"
#include "ipc/pool.h"
#include "tests/bench/bench_net.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define COST_HELD_MAX 256
#define COST_LOOKS    1000000 /* at the clock, to know what a look costs */

/* Of one worker; each has cache lines of its own. */
struct cost {
	_Alignas(128) uint64_t requests, locks, held, waited, queued;
};

struct cost_shared {
	atomic_bool go, stop;
	struct cost costs[];
};

static struct cost cost_own;
static uint64_t cost_asked, cost_had; /* when the lock was first asked for, and got */

int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __real_pthread_mutex_clocklock(
    pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_clocklock(
    pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

static int
cost_got(int error)
{
	if (error == 0)
		cost_had = clock_now();
	return error;
}

int
__wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	if (cost_asked == 0)
		cost_asked = clock_now();
	return cost_got(__real_pthread_mutex_trylock(mutex));
}

int
__wrap_pthread_mutex_clocklock(
    pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
	return cost_got(__real_pthread_mutex_clocklock(mutex, clock, until));
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	uint64_t now = clock_now();

	cost_own.locks++;
	cost_own.held += now - cost_had;
	cost_own.waited += cost_had - cost_asked;
	cost_asked = 0;
	return __real_pthread_mutex_unlock(mutex);
}

static void
cost_on_nothing(void *arg)
{
	(void)arg;
}

/* Everybody is awake all the time: nobody needs a wake-up. */
static void
cost_on_wake(void *arg, unsigned worker)
{
	(void)arg;
	(void)worker;
}

/* Keeps `depth` requests in the pool: what it holds it gives at once, what is missing it enters. */
static void
cost_work(struct pool *pool, const struct cost_shared *shared, unsigned depth)
{
	struct pool_grant held[COST_HELD_MAX];
	unsigned waiting = 0, holds = 0;

	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		struct pool_ticket ticket;

		while (waiting + holds < depth) {
			enum pool_answer answer = pool_enter(pool, 1, &ticket, &held[holds]);

			if (answer == POOL_BUSY)
				break;
			waiting += answer == POOL_WAITING;
			holds += answer == POOL_GRANTED;
			cost_own.queued += answer == POOL_WAITING;
		}
		if (pool_was_granted(pool))
			pool_look(pool, 1);
		while (holds < COST_HELD_MAX && pool_next_grant(pool, &held[holds])) {
			waiting--;
			holds++;
		}
		for (unsigned i = 0; i < holds;) {
			struct pool_grant next;

			cost_own.requests++;
			if (pool_give(pool, &held[i], 1, POOL_REASON_NONE, &next)) {
				held[i++] = next;
				waiting--;
			} else {
				held[i] = held[--holds];
			}
		}
	}
}

static void __attribute__((noreturn))
cost_worker(struct pool *pool, struct cost_shared *shared, unsigned id, unsigned depth)
{
	const struct pool_hooks hooks = {
	    NULL, cost_on_wake, cost_on_nothing, cost_on_nothing, cost_on_nothing};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pool_attach(pool, id, &hooks);
	pool_stay_awake(pool);
	while (!atomic_load(&shared->go))
		usleep(100);
	memset(&cost_own, 0, sizeof(cost_own));
	cost_work(pool, shared, depth);
	shared->costs[id] = cost_own;
	_exit(0);
}

/* Nanoseconds of one look at the clock, which are in each figure once. */
static double
cost_of_clock(void)
{
	uint64_t begin = clock_now();

	for (int i = 0; i < COST_LOOKS; i++)
		(void)clock_now();
	return (double)(clock_now() - begin) / COST_LOOKS;
}

static void
cost_report(const struct cost_shared *shared, unsigned workers, double seconds)
{
	double clock = cost_of_clock();
	struct cost sum = {0};

	for (unsigned i = 0; i < workers; i++) {
		sum.requests += shared->costs[i].requests;
		sum.locks += shared->costs[i].locks;
		sum.held += shared->costs[i].held;
		sum.waited += shared->costs[i].waited;
		sum.queued += shared->costs[i].queued;
	}
	if (sum.locks == 0 || sum.requests == 0)
		bench_die("no request came through");
	printf("%.0f requests/s, %.0f %% waited in the line, %.2f locks a request, held %.0f ns, "
	       "waited for %.0f ns, %.0f ns of a worker's CPU for each request\n",
	    (double)sum.requests / seconds, 100 * (double)sum.queued / (double)sum.requests,
	    (double)sum.locks / (double)sum.requests, (double)sum.held / (double)sum.locks - clock,
	    (double)sum.waited / (double)sum.locks - clock,
	    1e9 * seconds * workers / (double)sum.requests);
}

int
main(int argc, char **argv)
{
	unsigned workers = bench_option(argc, argv, "workers", 2);
	unsigned slots = bench_option(argc, argv, "slots", 2);
	unsigned depth = bench_option(argc, argv, "depth", 8);
	unsigned milliseconds = bench_option(argc, argv, "ms", 1000);
	struct pool_shape shape = {slots, workers * depth + 1, 1, workers, CLOCK_SECOND};
	struct cost_shared *shared = mmap(NULL, sizeof(*shared) + workers * sizeof(struct cost),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pool *pool;
	uint64_t begin;

	if (workers < 1 || workers > POOL_WORKERS_MAX || slots < 1 || slots > POOL_SLOTS_MAX ||
	    depth < 1 || depth > COST_HELD_MAX / 2) {
		fprintf(stderr, "lock_cost [--workers N] [--slots N] [--depth 1..%d] [--ms N]\n",
		    COST_HELD_MAX / 2);
		return 2;
	}
	pool = pool_new(&shape);
	if (shared == MAP_FAILED || pool == NULL)
		bench_die("cannot make a pool");
	for (unsigned slot = 0; slot < slots; slot++)
		pool_offer(pool, slot, 1);
	for (unsigned id = 0; id < workers; id++)
		if (fork() == 0)
			cost_worker(pool, shared, id, depth);
	usleep(100000);
	begin = clock_now();
	atomic_store(&shared->go, true);
	usleep(milliseconds * 1000);
	atomic_store(&shared->stop, true);
	begin = clock_now() - begin;
	while (wait(NULL) > 0)
		continue;
	cost_report(shared, workers, (double)begin / CLOCK_SECOND);
	return 0;
}
