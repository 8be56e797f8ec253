/*
 * The guardian: a tiny child with the master's uid that knows the process group of every instance.
 * When the master is gone its pipe ends, and it kills them all.
 *
 * The step that starts an instance tells its group before the program runs; the master takes the
 * group back while the dead leader is still a zombie, so that the guardian never knows a number
 * that can belong to somebody else.
 */
#ifndef DAEMON_GUARDIAN_H
#define DAEMON_GUARDIAN_H

#include <stddef.h>
#include <sys/types.h>

struct guardian {
	pid_t pid; /* 0 when there is none */
	int pipe;  /* owns; where it is told; -1 when there is none */
};

/* Forks one that already knows the groups. Call it between turns of the loop. 0, or -1 with errno.
 */
int guardian_start(struct guardian *guardian, const pid_t *groups, size_t count);
/* Safe in the child of a vfork: tells the group. 0, or -1 with errno; never blocks. */
int guardian_add(int pipe, pid_t group);
/* The leader is dead and not yet reaped. A guardian that cannot be told is killed and so replaced.
 */
void guardian_forget(struct guardian *guardian, pid_t group);
/* It was reaped: nothing is left of it but the need for another. */
void guardian_gone(struct guardian *guardian);
/* Ends it and waits for it, a second at most. */
void guardian_stop(struct guardian *guardian);

#endif
