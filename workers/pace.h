/*
 * How fast a program answers, as one worker sees it, and so how many messages an instance may be
 * given at once where `concurrency = auto`: as many as it surely answers within a millisecond.
 *
 * The guess is pessimistic: the mean of one message plus several times its mean deviation, so that
 * a program that is mostly cheap and sometimes dear gets its messages one by one. What was never
 * measured is taken for dear.
 */
#ifndef WORKERS_PACE_H
#define WORKERS_PACE_H

#include <stdint.h>

#define PACE_BUDGET UINT64_C(1000000) /* ns in which all messages of a lease are answered */

/* Zeroed memory has measured nothing. */
struct pace {
	double mean, deviation; /* of the time of one message, ns */
	unsigned known;         /* messages measured, up to those that count */
};

/*
 * `replies` (at least 1) were found together, and took between `least` and `most` ns: who looks
 * only now and then knows no better. What was guessed is believed as far as it does not contradict
 * that.
 */
void pace_note(struct pace *pace, uint64_t least, uint64_t most, unsigned replies);
/* The time of one message, pessimistically, ns; more than PACE_BUDGET when nothing is known. */
uint64_t pace_guess(const struct pace *pace);
/*
 * How many more messages an instance may be given that has `inside` of them unanswered, the oldest
 * of them for `running` ns, and was given `given` in this lease; `most` in a lease at most. With
 * none inside it is at least 1, if `most` allows. Behind one that takes a quarter of the budget
 * longer than was guessed there is room for none.
 */
unsigned pace_room(
    const struct pace *pace, unsigned given, unsigned inside, uint64_t running, unsigned most);
/*
 * How many messages are so soon done that to divide them among instances costs more than it saves:
 * `most` at most, 0 when nothing is known.
 */
unsigned pace_bundle(const struct pace *pace, unsigned most);

#endif
