/*
 * The arithmetic of starting again: growing delays, a bounded rate, and what counts as a crash
 * loop. Owns nothing but the ring of a rate; never asks for the time.
 */
#include "daemon/backoff.h"

#include "common/mem.h"

#include <stdlib.h>

uint64_t
backoff_delay(unsigned failures)
{
	uint64_t delay = BACKOFF_FIRST;

	if (failures == 0)
		return 0;
	while (--failures > 0 && delay < BACKOFF_MOST)
		delay *= 2;
	return delay < BACKOFF_MOST ? delay : BACKOFF_MOST;
}

void
backoff_rate_open(struct backoff_rate *rate, unsigned per_second)
{
	rate->rate = per_second > 0 ? per_second : 1;
	rate->next = 0;
	rate->recent = mem_alloc(rate->rate, sizeof(*rate->recent));
}

void
backoff_rate_close(struct backoff_rate *rate)
{
	free(rate->recent);
	rate->recent = NULL;
}

uint64_t
backoff_rate_time(const struct backoff_rate *rate)
{
	uint64_t oldest = rate->recent[rate->next];

	return oldest == 0 ? 0 : oldest + CLOCK_SECOND;
}

void
backoff_rate_note(struct backoff_rate *rate, uint64_t now)
{
	rate->recent[rate->next] = now;
	rate->next = (rate->next + 1) % rate->rate;
}

bool
backoff_loop_death(struct backoff_loop *loop, uint64_t now, uint64_t started, bool works)
{
	if (works || now > started + BACKOFF_LONG_LIFE)
		loop->streak = 0;
	if (loop->streak > 0 && started < loop->failed)
		return false;
	loop->streak++;
	loop->failed = now;
	loop->not_before = now + backoff_delay(loop->streak - 1);
	return loop->streak == 2;
}

bool
backoff_loop_look(struct backoff_loop *loop, bool works)
{
	return works && backoff_loop_end(loop);
}

bool
backoff_loop_end(struct backoff_loop *loop)
{
	bool was_on = backoff_loop_is_on(loop);

	loop->streak = 0;
	loop->not_before = 0;
	return was_on;
}

bool
backoff_loop_is_on(const struct backoff_loop *loop)
{
	return loop->streak > 1;
}
