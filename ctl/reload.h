/* The verb `reload`. */
#ifndef CTL_RELOAD_H
#define CTL_RELOAD_H

#include "ctl/command.h"

enum command_exit reload_run(const struct command_line *line);

#endif
