/*
 * What systemd is told: sd_notify(3) in our own words, as one process says it once at a time.
 *
 * Without $NOTIFY_SOCKET every function does nothing. None of them waits, and no failure harms:
 * what cannot be said now is said later, if it is still true then. So the state that was said last
 * is the newest one, but not every state on the way has to be said.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "common/record.h"

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_TEXT_MAX 400 /* bytes of a status text with its NUL; what is longer is cut */

enum notify_state { NOTIFY_STARTING, NOTIFY_READY, NOTIFY_RELOADING, NOTIFY_STOPPING };

/*
 * Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, which children
 * inherit, and remembers what they say. Call it before anything is forked.
 */
void notify_open(void);
void notify_close(void);
/*
 * In place of notify_open() in another image of the master: what it remembers, and what was said
 * already. notify_load() says nothing by itself.
 */
json_t *notify_save(void);
bool notify_load(const json_t *saved, struct record_reader *reader);
/* Whether somebody listens. */
bool notify_is_on(void);
enum notify_state notify_get_state(void);

/* The start is over: the service answers. With our pid. */
void notify_ready(void);
/* A reload begins, and ends, be it good or bad. Before the first notify_ready() both do nothing. */
void notify_reloading(void);
void notify_reloaded(void);
/* The end begins; `time`, in nanoseconds, is how long it may take at most; `text` as of
 * notify_status(). */
void notify_stopping(uint64_t time, const char *text);
/*
 * What there is to say beside the state, such as "reload failed: ..."; it stays until
 * notify_reloading() or another text, an empty one too. Control characters and bytes that are not
 * UTF-8 are escaped.
 */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The figures of a running service, which stand behind that; told only when they changed. */
void notify_figures(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Between turns of the loop: the watchdog's beat, at half of its time, and what could not be said
 * before. `now` of clock_now(). Returns when it wants to be called next; UINT64_MAX for never.
 */
uint64_t notify_turn(uint64_t now);

#endif
