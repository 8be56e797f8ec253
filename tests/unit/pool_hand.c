/*
 * A worker of the crew: it enters requests, takes and gives leases, leaves, sends ahead and comes
 * again as fast as it can. It looks at the pool only when its eventfd says so, so that a lost
 * wake-up is a lost request, and is noticed.
 */
#include "common/clock.h"
#include "tests/unit/pool_crew.h"

#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HAND_TICKETS 8
#define HAND_LEASES  CREW_SLOTS

/* One worker process. */
struct hand {
	struct crew *crew; /* borrows */
	unsigned id;
	pid_t pid;
	uint64_t random;
	struct pool_ticket tickets[HAND_TICKETS * 2]; /* waiting, oldest first */
	unsigned waiting;
	struct pool_grant leases[HAND_LEASES];
	unsigned held;
};

static bool
hand_chance(struct hand *hand, unsigned in)
{
	return crew_random(&hand->random) % in == 0;
}

static void hand_fail(struct hand *hand, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* The first complaint is kept; the worker ends. */
static void
hand_fail(struct hand *hand, const char *format, ...)
{
	struct crew_shared *shared = hand->crew->shared;
	char text[sizeof(shared->failure) - 24];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (shared->failure[0] == '\0')
		snprintf(shared->failure, sizeof(shared->failure), "worker %u: %s", hand->id, text);
	atomic_store(&shared->failed, true);
	_exit(3);
}

/* ---- hooks ---- */

static void
hand_on_wake(void *arg, unsigned worker)
{
	struct hand *hand = arg;

	if (worker >= hand->crew->shape.workers)
		hand_fail(hand, "woke worker %u, which cannot be", worker);
	eventfd_write(hand->crew->wakes[worker], 1);
}

static void
hand_on_wake_master(void *arg)
{
	struct hand *hand = arg;

	eventfd_write(hand->crew->master_wake, 1);
}

static void
hand_beat(struct hand *hand)
{
	atomic_fetch_add(&hand->crew->shared->beats[hand->id], 1);
}

static void
hand_on_stuck(void *arg)
{
	struct hand *hand = arg;

	hand_beat(hand);
	atomic_fetch_add(&hand->crew->shared->stuck, 1);
}

static void
hand_on_damaged(void *arg)
{
	struct hand *hand = arg;

	hand_beat(hand);
	atomic_fetch_add(&hand->crew->shared->damaged, 1);
	if (!atomic_load(&hand->crew->shared->lawless))
		hand_fail(hand, "found the mutex damaged");
}

/* Now and then the lock is held for longer, so that more are killed in it. */
static void
hand_on_point(int point)
{
	static unsigned passed;

	(void)point;
	if (++passed % 257 == 0)
		sched_yield();
}

/* ---- a worker's day ---- */

static bool
hand_lawless(const struct hand *hand)
{
	return atomic_load(&hand->crew->shared->lawless);
}

static void
hand_add_ticket(struct hand *hand, const struct pool_ticket *ticket)
{
	unsigned i = hand->waiting;

	if (hand->waiting == HAND_TICKETS * 2)
		hand_fail(hand, "has too many tickets");
	for (; i > 0 && hand->tickets[i - 1].arrival > ticket->arrival; i--)
		hand->tickets[i] = hand->tickets[i - 1];
	hand->tickets[i] = *ticket;
	hand->waiting++;
}

static void
hand_drop_tickets(struct hand *hand, unsigned first, unsigned count)
{
	memmove(hand->tickets + first, hand->tickets + first + count,
	    (hand->waiting - first - count) * sizeof(*hand->tickets));
	hand->waiting -= count;
}

/* A lease starts: nobody else may be at the instance. */
static void
hand_take(struct hand *hand, const struct pool_grant *grant)
{
	_Atomic int *used_by = &hand->crew->shared->used_by[grant->slot];
	int nobody = 0;

	if (grant->slot >= hand->crew->shape.slots)
		hand_fail(hand, "was granted slot %u, which cannot be", grant->slot);
	if (!atomic_compare_exchange_strong(used_by, &nobody, hand->pid) && !hand_lawless(hand))
		hand_fail(hand, "was granted slot %u, which pid %d uses", grant->slot, nobody);
	if (hand->held == HAND_LEASES) {
		if (!hand_lawless(hand))
			hand_fail(hand, "holds more leases than there are slots");
		hand->held = 0;
	}
	hand->leases[hand->held++] = *grant;
	atomic_fetch_add(&hand->crew->shared->granted, 1);
	if (hand->waiting == 0 || !hand_chance(hand, 3))
		return;
	unsigned went = pool_send_ahead(hand->crew->pool, grant, hand->tickets, hand->waiting);
	if (went > hand->waiting || went >= hand->crew->shape.batch) {
		if (!hand_lawless(hand))
			hand_fail(hand, "sent %u of %u ahead", went, hand->waiting);
		went = 0;
	}
	hand_drop_tickets(hand, 0, went);
	atomic_fetch_add(&hand->crew->shared->ahead, went);
}

/* A waiting ticket was granted. */
static void
hand_take_ticket(struct hand *hand, const struct pool_grant *grant)
{
	for (unsigned i = 0; i < hand->waiting; i++) {
		if (hand->tickets[i].arrival != grant->arrival)
			continue;
		hand_drop_tickets(hand, i, 1);
		hand_take(hand, grant);
		return;
	}
	if (!hand_lawless(hand))
		hand_fail(hand, "was granted arrival %llu, for which it does not wait",
		    (unsigned long long)grant->arrival);
	hand_take(hand, grant);
}

static void
hand_look(struct hand *hand)
{
	struct pool_grant grant;

	pool_look(hand->crew->pool, clock_now());
	for (unsigned i = 0; pool_next_grant(hand->crew->pool, &grant); i++) {
		hand_take_ticket(hand, &grant);
		if (i > CREW_SLOTS && !hand_lawless(hand))
			hand_fail(hand, "is told grants without end");
		if (i > CREW_SLOTS)
			return;
	}
}

static void
hand_come_again(struct hand *hand, uint64_t arrival)
{
	struct pool_ticket ticket;
	struct pool_grant grant;

	atomic_fetch_add(&hand->crew->shared->again, 1);
	switch (pool_enter_again(hand->crew->pool, clock_now(), arrival, &ticket, &grant)) {
	case POOL_GRANTED:
		hand_take(hand, &grant);
		break;
	case POOL_WAITING:
		hand_add_ticket(hand, &ticket);
		break;
	case POOL_BUSY:
		if (!hand_lawless(hand))
			hand_fail(hand, "was refused its old place");
		break;
	}
}

/* A lease ends, in one of the ways in which leases end. */
static void
hand_give(struct hand *hand, unsigned lease)
{
	struct pool_grant grant = hand->leases[lease], next;
	_Atomic int *used_by = &hand->crew->shared->used_by[grant.slot];
	enum pool_reason reason = POOL_REASON_NONE;
	bool again = false;
	int me = hand->pid;

	hand->leases[lease] = hand->leases[--hand->held];
	if (pool_is_doomed(hand->crew->pool, &grant) || hand_chance(hand, 40)) {
		reason = POOL_REASON_CLOSED;
		again = hand->waiting < HAND_TICKETS && hand_chance(hand, 2);
	} else {
		pool_count_served(hand->crew->pool, &grant);
	}
	if (!atomic_compare_exchange_strong(used_by, &me, 0) && !hand_lawless(hand))
		hand_fail(hand, "gave slot %u back, which pid %d uses", grant.slot, me);
	if (pool_give(hand->crew->pool, &grant, clock_now(), reason, &next))
		hand_take_ticket(hand, &next);
	if (again)
		hand_come_again(hand, grant.arrival);
}

static void
hand_enter(struct hand *hand)
{
	struct pool_ticket ticket;
	struct pool_grant grant;

	switch (pool_enter(hand->crew->pool, clock_now(), &ticket, &grant)) {
	case POOL_GRANTED:
		hand_take(hand, &grant);
		break;
	case POOL_WAITING:
		hand_add_ticket(hand, &ticket);
		break;
	case POOL_BUSY:
		atomic_fetch_add(&hand->crew->shared->refused, 1);
		break;
	}
}

static void
hand_leave(struct hand *hand)
{
	unsigned i = (unsigned)(crew_random(&hand->random) % hand->waiting);

	if (!pool_leave(hand->crew->pool, &hand->tickets[i]))
		return;
	hand_drop_tickets(hand, i, 1);
	atomic_fetch_add(&hand->crew->shared->left, 1);
}

/* In lawless times waiting requests may be gone: nobody waits for them for ever. */
static void
hand_turn(struct hand *hand)
{
	bool drain = atomic_load(&hand->crew->shared->drain);

	if (hand->held > 0 && !hand_chance(hand, 4))
		hand_give(hand, (unsigned)(crew_random(&hand->random) % hand->held));
	if (!drain && hand->waiting < HAND_TICKETS && hand_chance(hand, 2))
		hand_enter(hand);
	if (hand->waiting > 0 && hand_chance(hand, 30))
		hand_leave(hand);
	if (hand_lawless(hand) && hand_chance(hand, 4))
		hand->waiting = 0;
	atomic_store(
	    &hand->crew->shared->idle[hand->id], drain && hand->waiting == 0 && hand->held == 0);
}

static void
hand_work(struct hand *hand)
{
	struct crew_shared *shared = hand->crew->shared;
	struct pollfd wake = {.fd = hand->crew->wakes[hand->id], .events = POLLIN};
	eventfd_t count;

	while (!atomic_load(&shared->stop)) {
		bool rest = hand->held == 0 &&
			    (hand->waiting == HAND_TICKETS || atomic_load(&shared->drain));

		hand_beat(hand);
		if (poll(&wake, 1, rest ? 20 : 0) > 0) {
			eventfd_read(wake.fd, &count);
			hand_look(hand);
		}
		hand_turn(hand);
	}
}

void
crew_work(struct crew *crew, unsigned id)
{
	struct hand hand = {.crew = crew, .id = id, .pid = getpid()};
	struct pool_hooks hooks = {.arg = &hand,
	    .wake = hand_on_wake,
	    .wake_master = hand_on_wake_master,
	    .stuck = hand_on_stuck,
	    .damaged = hand_on_damaged};

	hand.random = crew->seed * 2654435761u + (uint64_t)hand.pid * 40503u + 1;
	pool_point = hand_on_point;
	pool_attach(crew->pool, id, &hooks);
	hand_look(&hand);
	hand_work(&hand);
}
