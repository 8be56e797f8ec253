/*
 * One plain line per event, to standard error.
 *
 * Every process logs through its own non-blocking copy of standard error, so a full pipe or a
 * stopped terminal never blocks a loop: what cannot be written waits in a bounded buffer, and what
 * does not fit there is counted and told later ("dropped N lines").
 *
 * Control characters and bytes that are not UTF-8 are escaped as \xNN (escape.h): one event is
 * always one line. Between processes that share a pipe, lines of up to PIPE_BUF bytes never mix.
 * SIGPIPE must be ignored by whoever logs to a pipe.
 *
 * When standard error is the stream of $JOURNAL_STREAM, "<N>" with the priority stands before each
 * line in place of time and level.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * Opens the log. `role` stands before each line ("master", "worker 0"); it is copied. May be called
 * again after a fork with the child's role: lines that still wait are left to the parent. Before
 * the first call lines go to descriptor 2 without a role.
 */
void log_open(const char *role, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* The descriptor that the log writes to, so that a fork can keep it; -1 before log_open(). */
int log_fd(void);
/* Writes what is still waiting, as far as it goes without blocking. Call it from a timer. */
void log_flush(void);

/* log_error and log_warn append strerror(errno); the ...x forms do not. All keep errno. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_errorx(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * One line of a program's standard error, up to 16 KiB, neither wrapped nor re-levelled: it is
 * written whatever the level of the log, as info.
 */
void log_program(const char *service, long pid, const char *line, size_t length);

/* For start-up and our own broken invariants only. Exit status 1. */
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void fatalx(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
