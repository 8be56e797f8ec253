/* The statistics as JSON: counters, what is so at this moment, and times. */
#ifndef DAEMON_STATUS_STATS_H
#define DAEMON_STATUS_STATS_H

#include "daemon/control_line.h"

/* The command `stats`; `arg` is the struct master. */
json_t *status_stats_answer(void *arg, const json_t *request, struct control_ask *ask);

#endif
