/* `hostlerctl upgrade`. */
#ifndef CTL_UPGRADE_H
#define CTL_UPGRADE_H

#include "ctl/command.h"

enum command_exit upgrade_run(const struct command_line *line);

#endif
