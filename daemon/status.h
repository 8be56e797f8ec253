/* What hostlerctl is told: the commands of the control socket, each building one JSON object. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include "daemon/control_line.h"

/* The table for control_open(); the argument of its commands is the struct master. */
extern const struct control_command status_commands[];

#endif
