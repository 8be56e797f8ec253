/*
 * Who gives connections to whom, with workers that are only numbers: each order is carried out as
 * the test says. All end where they should, evenly, after few orders, and nothing is ordered for
 * ever.
 */
#include "daemon/master.h"
#include "daemon/mover.h"
#include "ipc/chan.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#define SLOTS  16 /* in each generation */
#define ROUNDS 1000

static struct master master;
static struct generation old, new;
static struct slot slots[2][SLOTS];
static int theirs[2 * SLOTS];          /* the workers' ends of their channels */
static uint64_t stays[2 * SLOTS];      /* connections that cannot move */
static bool refuses[2 * SLOTS];        /* takes nothing */
static unsigned orders;                /* so many came */
static struct msg_give due[2 * SLOTS]; /* an order that is not carried out yet; order 0: none */
static uint64_t now;

static _Atomic uint64_t *
count_of(const struct slot *slot)
{
	return &stats_row(master.sum, slot->id)->open;
}

static void
slot_make(struct slot *slot, struct generation *generation, unsigned place, uint64_t count)
{
	int ends[2];

	ck_assert_int_eq(chan_pair(ends), 0);
	*slot = (struct slot){.master = &master,
	    .generation = generation,
	    .place = place,
	    .pid = 1000,
	    .id = (unsigned)(generation == &new) * SLOTS + place,
	    .channel = ends[0],
	    .state = SLOT_READY,
	    .was_ready = true,
	    .accept_told = true};
	theirs[slot->id] = ends[1];
	atomic_store(count_of(slot), count);
}

static void
leave(struct slot *slot)
{
	slot->drain = slot->drain_told = true;
	slot->state = SLOT_DRAINING;
}

static void
generation_make(
    struct generation *generation, struct slot *own, unsigned count, const uint64_t *counts)
{
	*generation = (struct generation){.master = &master, .slots = own, .slot_count = count};
	TAILQ_INSERT_TAIL(&master.generations, generation, entry);
	for (unsigned i = 0; i < count; i++)
		slot_make(&own[i], generation, i, counts != NULL ? counts[i] : 0);
	master.current = generation;
}

static void
world_open(void)
{
	memset(&master, 0, sizeof(master));
	TAILQ_INIT(&master.generations);
	master.sum = stats_new(2 * SLOTS);
	now = CLOCK_SECOND;
}

/* So many workers that are replaced, by so many. */
static void
world_reload(unsigned before, const uint64_t *counts, unsigned after)
{
	world_open();
	generation_make(&old, slots[0], before, counts);
	generation_make(&new, slots[1], after, NULL);
	for (unsigned i = 0; i < before; i++)
		leave(&slots[0][i]);
}

static struct slot *
slot_of(unsigned id)
{
	return &slots[id / SLOTS][id % SLOTS];
}

/* What the workers are told is noted. */
static void
world_hear(void)
{
	for (unsigned id = 0; id < 2 * SLOTS; id++) {
		int fds[MSG_FDS_MAX];
		struct msg msg;

		if (theirs[id] == 0)
			continue;
		while (chan_receive(theirs[id], MSG_FROM_MASTER, &msg, fds) == CHAN_OK) {
			close(fds[0]);
			if (msg.type != MSG_GIVE)
				continue;
			ck_assert_uint_eq(due[id].order, 0);
			due[id] = msg.give;
			orders++;
		}
	}
}

/* Carries out one order: so many move. */
static void
world_carry_out(unsigned id)
{
	struct slot *giver = slot_of(id), *taker = giver->gives_to;
	uint64_t can = atomic_load(count_of(giver)) - stays[id];
	uint64_t moved = due[id].most < can ? due[id].most : can;
	struct msg_given given = {.order = due[id].order};

	if (taker == NULL || refuses[taker->id])
		moved = 0;
	given.moved = moved;
	given.rest = can - moved;
	due[id].order = 0;
	atomic_fetch_sub(count_of(giver), moved);
	if (moved > 0)
		atomic_fetch_add(count_of(taker), moved);
	ck_assert(mover_heard(giver, &given, now));
}

/* Until nothing more is ordered. Returns how many orders that took. */
static unsigned
world_run(void)
{
	unsigned before = orders;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t next = mover_turn(&master, now);
		bool is_any = false;

		world_hear();
		for (unsigned id = 0; id < 2 * SLOTS; id++)
			if (due[id].order != 0) {
				world_carry_out(id);
				is_any = true;
			}
		if (!is_any && next == MASTER_NEVER)
			return orders - before;
		now = !is_any && next > now ? next : now + CLOCK_MS;
	}
	ck_abort_msg("orders without end");
}

static uint64_t
world_count(struct slot *own, unsigned count, uint64_t *least, uint64_t *most)
{
	uint64_t sum = 0;

	*least = UINT64_MAX;
	*most = 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t has = atomic_load(count_of(&own[i]));

		sum += has;
		*least = has < *least ? has : *least;
		*most = has > *most ? has : *most;
	}
	return sum;
}

struct shape {
	unsigned before, after, most_orders;
	uint64_t counts[SLOTS];
};

static const struct shape shapes[] = {
    {1, 1, 1, {1}},
    {1, 1, 1, {10000}},
    {2, 2, 4, {500, 500}},
    {2, 2, 4, {1000, 0}},
    {4, 4, 12, {1000, 1, 1, 1}},
    {4, 4, 12, {7, 0, 900, 3}},
    {4, 1, 8, {100, 200, 300, 400}},
    {16, 3, 64, {100, 200, 300, 400, 100, 200, 300, 400, 1, 2, 3, 4, 1, 2, 3, 4}},
    {1, 16, 20, {1600}},
    {2, 16, 40, {1, 1600}},
    {3, 16, 20, {1, 2, 1}},
};

/* A reload: all go to the new ones, evenly, after a few orders. */
START_TEST(all_go_to_the_new_ones)
{
	const struct shape *shape = &shapes[_i];
	uint64_t least, most, sum = 0;
	unsigned needed;

	for (unsigned i = 0; i < SLOTS; i++)
		sum += shape->counts[i];
	world_reload(shape->before, shape->counts, shape->after);
	needed = world_run();
	ck_assert_uint_eq(world_count(slots[0], shape->before, &least, &most), 0);
	ck_assert_uint_eq(world_count(slots[1], shape->after, &least, &most), sum);
	ck_assert_msg(needed <= shape->most_orders, "%u orders", needed);
	ck_assert_msg(most - least <= 6 + sum / shape->after / 5, "%llu to %llu",
	    (unsigned long long)least, (unsigned long long)most);
	for (unsigned i = 0; i < shape->after; i++)
		ck_assert_uint_eq(slots[1][i].coming, 0);
}
END_TEST

/* What cannot move is asked for once, and the rest goes. */
START_TEST(who_cannot_move_stays)
{
	uint64_t least, most;

	stays[0] = 40;
	stays[1] = 1;
	world_reload(2, (const uint64_t[]){100, 1}, 2);
	ck_assert_uint_le(world_run(), 12);
	ck_assert_uint_eq(world_count(slots[0], 2, &least, &most), 41);
	ck_assert_uint_eq(world_run(), 0);
}
END_TEST

/* A worker that takes nothing is not asked again and again while others would. */
START_TEST(others_are_asked_where_one_refuses)
{
	uint64_t least, most;

	refuses[SLOTS] = true;
	world_reload(2, (const uint64_t[]){100, 100}, 3);
	ck_assert_uint_le(world_run(), 30);
	ck_assert_uint_eq(world_count(slots[0], 2, &least, &most), 0);
	ck_assert_uint_eq(world_count(slots[1], 3, &least, &most), 200);
	ck_assert_uint_eq(least, 0);
}
END_TEST

/* Where all refuse it goes on trying, but not all the time. */
START_TEST(all_refuse_for_a_while)
{
	uint64_t least, most, next;

	refuses[SLOTS] = refuses[SLOTS + 1] = true;
	world_reload(1, (const uint64_t[]){100}, 2);
	while (now < 2 * CLOCK_SECOND) {
		next = mover_turn(&master, now);
		world_hear();
		if (due[0].order != 0)
			world_carry_out(0);
		else
			now = next;
		now += CLOCK_MS;
	}
	ck_assert_uint_ge(orders, 10);
	ck_assert_uint_le(orders, 25);
	refuses[SLOTS] = refuses[SLOTS + 1] = false;
	(void)world_run();
	ck_assert_uint_eq(world_count(slots[1], 2, &least, &most), 100);
}
END_TEST

/* ---- scaling ---- */

/* All but `left` leave; the current generation takes. */
START_TEST(fewer_workers)
{
	uint64_t least, most;
	unsigned left = (unsigned)_i;

	world_open();
	generation_make(&new, slots[1], 4, (const uint64_t[]){100, 100, 100, 100});
	for (unsigned i = left; i < 4; i++)
		leave(&slots[1][i]);
	ck_assert_uint_le(world_run(), 16);
	ck_assert_uint_eq(world_count(slots[1], left, &least, &most), 400);
	ck_assert_uint_le(most - least, 6 + 20);
	ck_assert_uint_eq(world_count(slots[1] + left, 4 - left, &least, &most), 0);
}
END_TEST

/* Nobody is there to take: nothing is ordered, until somebody is. */
START_TEST(nobody_takes)
{
	uint64_t least, most;

	world_reload(1, (const uint64_t[]){100}, 2);
	slots[1][0].state = slots[1][1].state = SLOT_STARTING;
	ck_assert_uint_eq(world_run(), 0);
	slots[1][1].state = SLOT_READY;
	slots[1][1].accept_told = false;
	ck_assert_uint_eq(world_run(), 0);
	slots[1][1].accept_told = true;
	ck_assert_uint_eq(world_run(), 1);
	ck_assert_uint_eq(world_count(slots[1] + 1, 1, &least, &most), 100);
}
END_TEST

/* ---- evening out ---- */

START_TEST(a_skew_is_evened_out)
{
	uint64_t least, most;

	world_open();
	generation_make(&new, slots[1], 4, (const uint64_t[]){1000, 0, 3, 0});
	ck_assert_uint_eq(mover_rebalance(&master), 749);
	ck_assert_uint_le(world_run(), 8);
	ck_assert_uint_eq(world_count(slots[1], 4, &least, &most), 1003);
	ck_assert_uint_le(most - least, 8);
	ck_assert_uint_eq(mover_rebalance(&master) > 8, false);
	(void)world_run();
	/* Even is even: nothing is ordered any more, however often. */
	for (int i = 0; i < 10; i++) {
		(void)mover_rebalance(&master);
		ck_assert_uint_le(world_run(), 4);
	}
	ck_assert_uint_eq(mover_rebalance(&master), 0);
}
END_TEST

/* Those that were to go have closed meanwhile: it is over. */
START_TEST(a_surplus_that_is_gone)
{
	world_open();
	generation_make(&new, slots[1], 2, (const uint64_t[]){100, 0});
	ck_assert_uint_eq(mover_rebalance(&master), 50);
	atomic_store(count_of(&slots[1][0]), 0);
	ck_assert_uint_eq(world_run(), 0);
}
END_TEST

/* What is above the share cannot move: that comes to an end too. */
START_TEST(a_surplus_that_stays)
{
	stays[SLOTS] = 100;
	world_open();
	generation_make(&new, slots[1], 2, (const uint64_t[]){100, 0});
	ck_assert_uint_eq(mover_rebalance(&master), 50);
	ck_assert_uint_le(world_run(), 2);
	ck_assert_uint_eq(slots[1][0].surplus, 0);
}
END_TEST

/*
 * It has given what it had, and then others came: when it is to leave, those move as well. An
 * answer to an order from before says nothing about what is there now.
 */
START_TEST(an_early_answer_is_not_the_last_word)
{
	uint64_t least, most;

	world_open();
	generation_make(&new, slots[1], 2, (const uint64_t[]){10, 0});
	ck_assert_uint_eq(mover_rebalance(&master), 5);
	(void)mover_turn(&master, now);
	world_hear();
	/* Five go, five close; at that moment it has none. */
	ck_assert_uint_ne(due[SLOTS].order, 0);
	atomic_store(count_of(&slots[1][0]), due[SLOTS].most);
	if (_i == 1)
		leave(&slots[1][0]); /* it has not heard that yet */
	world_carry_out(SLOTS);
	atomic_store(count_of(&slots[1][0]), 7);
	if (_i == 0)
		leave(&slots[1][0]);
	(void)world_run();
	ck_assert_uint_eq(world_count(slots[1], 1, &least, &most), 0);
}
END_TEST

/* ---- deaths ---- */

static void
die(struct slot *slot)
{
	slot->pid = 0;
	slot->state = SLOT_WAITING;
	atomic_store(count_of(slot), 0);
	mover_forget(slot);
}

static void
rise(struct slot *slot)
{
	slot->pid = 1000;
	slot->state = SLOT_READY;
	slot->was_ready = slot->accept_told = true;
}

START_TEST(a_taker_dies)
{
	uint64_t least, most;

	world_reload(2, (const uint64_t[]){100, 100}, 2);
	(void)mover_turn(&master, now);
	world_hear();
	ck_assert_uint_eq(orders, 2);
	die(&slots[1][0]);
	ck_assert(slots[0][0].gives_to == NULL || slots[0][1].gives_to == NULL);
	if (_i == 1)
		rise(&slots[1][0]); /* its place has another worker before its givers hear */
	(void)world_run();
	if (_i == 0)
		rise(&slots[1][0]);
	ck_assert_uint_eq(world_count(slots[0], 2, &least, &most), 0);
	ck_assert_uint_eq(world_count(slots[1], 2, &least, &most), 200);
	ck_assert_uint_eq(slots[1][0].coming + slots[1][1].coming, 0);
}
END_TEST

START_TEST(a_giver_dies)
{
	uint64_t least, most;

	world_reload(2, (const uint64_t[]){100, 100}, 2);
	(void)mover_turn(&master, now);
	world_hear();
	due[0].order = 0;
	die(&slots[0][0]);
	(void)world_run();
	ck_assert_uint_eq(world_count(slots[1], 2, &least, &most), 100);
	ck_assert_uint_eq(slots[1][0].coming + slots[1][1].coming, 0);
	ck_assert(!slots[0][0].giving);
}
END_TEST

/* ---- what a giver may say ---- */

START_TEST(only_what_was_ordered_is_answered)
{
	struct msg_given given = {.order = 1, .moved = 1};

	world_reload(1, (const uint64_t[]){100}, 1);
	ck_assert(!mover_heard(&slots[0][0], &given, now));
	(void)mover_turn(&master, now);
	world_hear();
	given.order = 2;
	ck_assert(!mover_heard(&slots[0][0], &given, now));
	given.order = 1;
	given.moved = UINT64_MAX;
	ck_assert(mover_heard(&slots[0][0], &given, now));
	ck_assert(!mover_heard(&slots[0][0], &given, now));
	ck_assert_uint_eq(slots[1][0].coming, 0);
}
END_TEST

/* A hasty one gives nothing any more; nor does anybody while the daemon stops. */
START_TEST(not_in_haste)
{
	world_reload(2, (const uint64_t[]){100, 100}, 1);
	slots[0][0].drain_hasty = true;
	ck_assert_uint_eq(world_run(), 1);
	ck_assert_uint_eq(atomic_load(count_of(&slots[0][0])), 100);
	slots[0][0].drain_hasty = false;
	master.stop.phase = STOP_NONE + 1;
	ck_assert_uint_eq(world_run(), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mover");
	TCase *tcase = tcase_create("mover");

	tcase_add_loop_test(
	    tcase, all_go_to_the_new_ones, 0, (int)(sizeof(shapes) / sizeof(shapes[0])));
	tcase_add_test(tcase, who_cannot_move_stays);
	tcase_add_test(tcase, others_are_asked_where_one_refuses);
	tcase_add_test(tcase, all_refuse_for_a_while);
	tcase_add_loop_test(tcase, fewer_workers, 1, 4);
	tcase_add_test(tcase, nobody_takes);
	tcase_add_test(tcase, a_skew_is_evened_out);
	tcase_add_test(tcase, a_surplus_that_is_gone);
	tcase_add_test(tcase, a_surplus_that_stays);
	tcase_add_loop_test(tcase, an_early_answer_is_not_the_last_word, 0, 2);
	tcase_add_loop_test(tcase, a_taker_dies, 0, 2);
	tcase_add_test(tcase, a_giver_dies);
	tcase_add_test(tcase, only_what_was_ordered_is_answered);
	tcase_add_test(tcase, not_in_haste);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
