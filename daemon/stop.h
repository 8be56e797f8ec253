/*
 * The end: workers drain, then the instances see the end of their input, then nothing is left.
 *
 *   NONE ──TERM──► DRAINING ──workers gone──► ENDING ──instances gone──► DONE
 *     └──INT, QUIT, a second TERM, or shutdown_timeout──► KILLING ──────►┘
 */
#ifndef DAEMON_STOP_H
#define DAEMON_STOP_H

#include <stdint.h>

struct master;

enum stop_phase { STOP_NONE, STOP_DRAINING, STOP_ENDING, STOP_KILLING, STOP_DONE };

struct stop {
	enum stop_phase phase;
	uint64_t deadline; /* of the phase, or of the whole stop */
};

/* `name` of the signal, for the log. */
void stop_gracefully(struct master *master, const char *name);
void stop_now(struct master *master, const char *name);
/* Takes the next step. Returns when it wants to be called next. */
uint64_t stop_turn(struct master *master, uint64_t now);

#endif
