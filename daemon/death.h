/* How a process ended, in words: "exit status 1", "killed by signal 9 (Killed)". */
#ifndef DAEMON_DEATH_H
#define DAEMON_DEATH_H

#include <signal.h>
#include <stddef.h>

/* `info` is what waitid(2) filled in. */
void death_describe(const siginfo_t *info, char *text, size_t size);

#endif
