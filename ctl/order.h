/* The verbs `reopen`, `stop`, `verbose` and `scale`. */
#ifndef CTL_ORDER_H
#define CTL_ORDER_H

#include "ctl/command.h"

enum command_exit order_run_rebalance(const struct command_line *line);
enum command_exit order_run_reopen(const struct command_line *line);
enum command_exit order_run_stop(const struct command_line *line);
enum command_exit order_run_verbose(const struct command_line *line);
enum command_exit order_run_scale(const struct command_line *line);

#endif
