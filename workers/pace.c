/*
 * A moving mean and a moving mean deviation of what one message takes. Pure arithmetic: owns
 * nothing, knows no clock, gives nothing to anybody.
 */
#include "workers/pace.h"

#define PACE_MEMORY 64 /* messages that count: what was longer ago fades */
#define PACE_CARE   4  /* deviations on top of the mean */
#define PACE_BUNDLE (PACE_BUDGET / 4)

/* What so many took: as was guessed, or the nearest that may be true. */
static double
pace_believe(const struct pace *pace, uint64_t least, uint64_t most, unsigned replies)
{
	double guess = pace->mean * replies;

	if (pace->known == 0 || guess > (double)most)
		return (double)most;
	return guess < (double)least ? (double)least : guess;
}

void
pace_note(struct pace *pace, uint64_t least, uint64_t most, unsigned replies)
{
	double time = pace_believe(pace, least, most, replies), weight = replies, off;

	/* Who answers hundreds at once is not known better for that. */
	if (replies > PACE_MEMORY) {
		time *= (double)PACE_MEMORY / weight;
		weight = PACE_MEMORY;
	}
	if (pace->known == 0) {
		pace->mean = time / weight;
		pace->deviation = pace->mean / 2;
		pace->known = (unsigned)weight;
		return;
	}
	pace->known += (unsigned)weight;
	if (pace->known > PACE_MEMORY)
		pace->known = PACE_MEMORY;
	off = time - weight * pace->mean;
	pace->mean += off / pace->known;
	pace->deviation += ((off < 0 ? -off : off) - weight * pace->deviation) / pace->known;
}

uint64_t
pace_guess(const struct pace *pace)
{
	if (pace->known == 0)
		return PACE_BUDGET + 1;
	return (uint64_t)(pace->mean + PACE_CARE * pace->deviation) + 1;
}

unsigned
pace_room(const struct pace *pace, unsigned given, unsigned inside, uint64_t running, unsigned most)
{
	uint64_t guess = pace_guess(pace), fit = PACE_BUDGET / guess, soon;

	if (fit < 1)
		fit = 1;
	if (fit > most)
		fit = most;
	if (given >= fit)
		return 0;
	fit -= given;
	if (inside == 0)
		return (unsigned)fit;
	/* The oldest is under way already. Who is that late is a dear one. */
	if (running > inside * guess + PACE_BUNDLE)
		return 0;
	soon = running < PACE_BUDGET ? (PACE_BUDGET - running) / guess : 0;
	if (soon <= inside)
		return 0;
	return (unsigned)(fit < soon - inside ? fit : soon - inside);
}

unsigned
pace_bundle(const struct pace *pace, unsigned most)
{
	if (pace->known == 0)
		return 0;
	return pace->mean * most < (double)PACE_BUNDLE
		   ? most
		   : (unsigned)((double)PACE_BUNDLE / pace->mean);
}
