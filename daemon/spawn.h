/*
 * The start of a program: vfork, a few raw steps in the child, execve. Everything that needs memory
 * or a lock is prepared before.
 */
#ifndef DAEMON_SPAWN_H
#define DAEMON_SPAWN_H

#include "daemon/guardian.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#define SPAWN_LIMITS_MAX 8
#define SPAWN_WHY_MAX    512 /* bytes of a reason with its NUL */

/* What is started, and as whom. All pointers are borrowed for the time of the call. */
struct spawn_plan {
	const char *executable; /* absolute */
	char *const *argv;
	char *const *env;
	const char *directory;
	struct {
		int resource;
		struct rlimit value;
	} limits[SPAWN_LIMITS_MAX];
	unsigned limit_count;
	bool set_gid; /* gid and groups are changed */
	gid_t gid;
	const gid_t *groups; /* supplementary */
	size_t group_count;
	bool set_uid; /* the uid is changed; then it can gain no privileges by execve either */
	uid_t uid;
};

/* What came of it: the process, which is its group's leader, and our ends of its pipes. */
struct spawned {
	pid_t pid;
	int in;  /* its stdin, to write; non-blocking */
	int out; /* its stdout, to read; non-blocking */
	int err; /* its stderr, to read; non-blocking */
};

/*
 * Starts it. Returns 0, or -1 and a clause like "cannot execute /x/y: Permission denied"; then
 * nothing is left behind. The guardian knows the group before the program runs.
 */
int spawn_start(const struct spawn_plan *plan, struct guardian *guardian, struct spawned *spawned,
    char why[SPAWN_WHY_MAX]);

#endif
