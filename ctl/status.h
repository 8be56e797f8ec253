/* `hostlerctl status`: what is running. */
#ifndef CTL_STATUS_H
#define CTL_STATUS_H

#include "ctl/command.h"

/* Asks, prints, and returns the exit code. */
enum command_exit status_run(const struct command_line *line);

#endif
