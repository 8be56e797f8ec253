/*
 * Who may connect when: a bounded number of connections under way, first come first served, and a
 * pause before a place tries again that was refused or got no reply.
 */
#ifndef CTL_LOAD_PACE_H
#define CTL_LOAD_PACE_H

#include <stdint.h>

struct load_conn;
struct load_run;

/* Lets places connect as far as there is room. */
void load_pace(struct load_run *run, uint64_t now);
/* The place's connection ended and it wants another one. */
void load_pace_again(struct load_run *run, struct load_conn *conn, uint64_t now);
/* Nobody connects any more: what is under way or waits is dropped, uncounted. */
void load_pace_stop(struct load_run *run);

#endif
