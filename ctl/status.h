/* The verbs `status`, `services`, `workers` and `instances`. */
#ifndef CTL_STATUS_H
#define CTL_STATUS_H

#include "ctl/command.h"

enum command_exit status_run(const struct command_line *line);
enum command_exit status_run_services(const struct command_line *line);
enum command_exit status_run_workers(const struct command_line *line);
enum command_exit status_run_instances(const struct command_line *line);

#endif
