/*
 * One line per event, to standard error or to a file, as text or as JSON.
 *
 * Every process logs through a non-blocking description of its own, so a full pipe or a stopped
 * terminal never blocks a loop: what cannot be written waits in a bounded buffer, and what does not
 * fit there is counted and told later ("dropped N lines").
 *
 * Control characters and bytes that are not UTF-8 are escaped (escape.h): one event is always one
 * line, and in JSON one valid object. Between processes that share a pipe, lines of up to PIPE_BUF
 * bytes never mix. SIGPIPE must be ignored by whoever logs to a pipe.
 *
 * When the log is the stream of $JOURNAL_STREAM, "<N>" with the priority stands before each line,
 * as text in place of time and level.
 *
 * Once log_started() was called, lines of one kind (one format string, one service) beyond
 * log_limit.h's numbers in a second are held back and told as "... (N more like this in S s)".
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/*
 * Opens the log. `role` stands before each line ("master", "worker 0"); it is copied. May be called
 * again after a fork with the child's role: lines that still wait are left to the parent, and a
 * descriptor that was adopted is kept. Before the first call lines go to descriptor 2 without a
 * role.
 */
void log_open(const char *role, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);
enum log_format log_get_format(void);
/* The descriptor that the log writes to, so that a fork can keep it; -1 before log_open(). */
int log_fd(void);
/* Writes what is still waiting, as far as it goes without blocking. Call it from a timer. */
void log_flush(void);
/* The start is over: from now on what repeats is held back, and errors go to the log alone. */
void log_started(void);

/*
 * Opens a file to append lines to, or standard error when `path` is NULL, as the log itself needs
 * it: made with mode 0640 when it does not exist, close-on-exec, non-blocking where that has a
 * meaning, and never one of the descriptors 0 to 2. A FIFO that nobody reads yet is held open for
 * reading too. Returns a descriptor that the caller owns, or -1 with errno. Never waits.
 */
int log_open_file(const char *path);
/*
 * The log goes to this descriptor from now on, which it takes over: one of log_open_file(), or one
 * that was received. The old one is closed; what waits for it follows to the new one.
 */
void log_adopt(int fd);
/* What log_reopen() opens; copied. NULL, which it is at first: standard error. */
void log_set_path(const char *path);
/*
 * Opens the log's path anew, because somebody renamed the file. False when that cannot be, with
 * errno: then the log stays where it is and says so there.
 */
bool log_reopen(void);

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

/*
 * What stands before a line that is written to standard error and not to the log, such as what is
 * wrong with a configuration: the priority of an error where that is the journal, else nothing.
 */
const char *log_error_prefix(void);

/* For start-up and our own broken invariants only. Exit status 1. */
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void fatalx(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
