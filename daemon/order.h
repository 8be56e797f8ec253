/* What hostlerctl may order: the commands of the control socket that change something. */
#ifndef DAEMON_ORDER_H
#define DAEMON_ORDER_H

#include "daemon/control_line.h"

/* A table for control_open(); the argument of its commands is the struct master. */
extern const struct control_command order_commands[];

#endif
