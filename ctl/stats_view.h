/* `hostlerctl stats`: rates, queue and times of each service, once or again and again. */
#ifndef CTL_STATS_VIEW_H
#define CTL_STATS_VIEW_H

#include "ctl/command.h"

/* Asks, prints, and returns the exit code. With line->watch until q, Ctrl-C or an error. */
enum command_exit stats_view_run(const struct command_line *line);

#endif
