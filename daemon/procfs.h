/*
 * What the kernel tells about a process in proc(5): memory, CPU time, descriptors. A figure that
 * cannot be had is PROCFS_UNKNOWN: of another user's process, of one that has just ended, or when
 * reading it would take longer than there is time.
 */
#ifndef DAEMON_PROCFS_H
#define DAEMON_PROCFS_H

#include <stdint.h>
#include <sys/types.h>

#define PROCFS_UNKNOWN (-1)

struct procfs_figures {
	int64_t rss;         /* bytes resident */
	int64_t pss;         /* bytes, those that are shared counted in parts */
	int64_t cpu;         /* milliseconds of CPU time, user and system */
	int64_t descriptors; /* open ones */
};

/* Bytes resident, or PROCFS_UNKNOWN. Cheap, whatever the process is. */
int64_t procfs_rss(pid_t pid);

/*
 * All figures of one process. PSS and descriptors cost time in proportion to the process, so they
 * are left out when the clock is at `until` (ns), and PSS also where the process is huge.
 */
void procfs_read(pid_t pid, uint64_t until, struct procfs_figures *figures);

#endif
