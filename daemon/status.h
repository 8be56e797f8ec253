/* What hostlerctl is told: the commands of the control socket that look and change nothing. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include "daemon/control_line.h"

/* A table for control_open(); the argument of its commands is the struct master. */
extern const struct control_command status_commands[];

#endif
