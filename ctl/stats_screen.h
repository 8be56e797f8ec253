/*
 * The terminal of a view that is drawn again and again: waits for the next time to draw or for the
 * wish to end, and replaces what was drawn before. Where standard output is no terminal, or a dumb
 * one, what is drawn simply follows.
 */
#ifndef CTL_STATS_SCREEN_H
#define CTL_STATS_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

struct stats_screen; /* owns the state of the terminal, and a descriptor for signals */

/* SIGINT, SIGTERM and SIGHUP end the waiting from here on. NULL with errno. */
struct stats_screen *stats_screen_open(void);
/* The terminal is as before. */
void stats_screen_close(struct stats_screen *screen);
/* Shows `text`, of lines that are not wider than the terminal; what does not fit is left out. */
void stats_screen_draw(struct stats_screen *screen, const char *text);
/* Waits until the absolute time; false when the user wants no more. */
bool stats_screen_wait(struct stats_screen *screen, uint64_t until);
/* Whether standard output takes colours: a terminal, not a dumb one, and NO_COLOR is not set. */
bool stats_screen_has_color(void);

#endif
