/* The pid file: says who we are, and keeps a second daemon with the same file from starting. */
#ifndef DAEMON_PIDFILE_H
#define DAEMON_PIDFILE_H

#include <stdbool.h>
#include <stddef.h>

/* Returns a descriptor that holds the lock, or -1 and a sentence in `why`. */
int pidfile_open(const char *path, char *why, size_t why_size);
/* Removes the file and lets the lock go. */
void pidfile_close(int fd, const char *path);

#endif
