/*
 * Where the lines of this process's log go, and those that wait to be written: shared by the files
 * log*.c, used by nobody else. One for each process.
 */
#ifndef COMMON_LOG_SINK_H
#define COMMON_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

#define LOG_SINK_PENDING_MAX (256 * 1024) /* bytes that may wait */

/*
 * Forgets what waits and keeps the descriptor while it is right: one that was adopted, or one that
 * still leads to standard error. Otherwise standard error is opened anew.
 */
void log_sink_open(void);
/* See log_open_file() in log.h. */
int log_sink_open_file(const char *path);
/*
 * Takes over a descriptor: lines go there from now on. What waits goes to the old one as far as it
 * takes it, then to the new one; a line that the old one has in part is not begun in the new one.
 * Returns how many lines were lost over that: 0 or 1.
 */
unsigned log_sink_adopt(int fd);

int log_sink_fd(void);
/* Whether it is the journal, which notes the time itself. */
bool log_sink_is_journal(void);
/* Whether standard error is, wherever the log goes. */
bool log_sink_standard_is_journal(void);
/* Whether it is a descriptor that was adopted, which may be elsewhere than standard error. */
bool log_sink_is_adopted(void);
/* Bytes that wait. */
size_t log_sink_waiting(void);

/* Writes a line behind those that wait, as far as it goes; false when there was no room for it. */
bool log_sink_put(const char *line, size_t length);
/* Writes what waits, as far as it goes without blocking. */
void log_sink_flush(void);
/* Writes to standard error besides, if it can be done without waiting. */
void log_sink_put_standard(const char *line, size_t length);

#endif
