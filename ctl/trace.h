/* `hostlerctl trace`: who was given an instance, and when, in the order of the grants. */
#ifndef CTL_TRACE_H
#define CTL_TRACE_H

#include "ctl/command.h"

/* Asks, prints, and returns the exit code. */
enum command_exit trace_run(const struct command_line *line);

#endif
