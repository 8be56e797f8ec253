/* What runs, value by value: the `config` command of the control socket. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "daemon/control_line.h"

/* For the table of commands; `arg` is the struct master. */
json_t *settings_answer(void *arg, const json_t *request, struct control_ask *ask);

#endif
