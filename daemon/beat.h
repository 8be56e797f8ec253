/* The master as systemd sees it: its state, its figures, and that it still turns. */
#ifndef DAEMON_BEAT_H
#define DAEMON_BEAT_H

#include <stdint.h>

struct master;

/* Tells what changed; see notify.h. Returns when it wants to be called next. Between turns. */
uint64_t beat_turn(struct master *master, uint64_t now);

#endif
