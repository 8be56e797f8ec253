/* The verb `connections`. */
#ifndef CTL_CONNECTIONS_H
#define CTL_CONNECTIONS_H

#include "ctl/command.h"

enum command_exit connections_run(const struct command_line *line);

#endif
