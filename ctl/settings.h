/* The verbs `config` and `version`. */
#ifndef CTL_SETTINGS_H
#define CTL_SETTINGS_H

#include "ctl/command.h"

enum command_exit settings_run(const struct command_line *line);
enum command_exit settings_run_version(const struct command_line *line);

#endif
