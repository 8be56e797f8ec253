/* What hostlerctl is told: the commands of the control socket that look and change nothing. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include "daemon/control_line.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

/* A table for control_open(); the argument of its commands is the struct master. */
extern const struct control_command status_commands[];

/* ---- between the status's own files ---- */

struct generation;
struct master;
struct service;
struct stats;

/* A text that may hold anything, as a program's last words do; null for NULL. */
json_t *status_string(const char *text);
/* The same, and null where it is empty. */
json_t *status_text(const char *text);
/* Between two times in nanoseconds; 0 where they are the wrong way round. */
json_t *status_seconds(uint64_t from, uint64_t to);
/* null where there is no process. */
json_t *status_pid(pid_t pid);
/* JSON has no number above INT64_MAX, and a worker may have scribbled anything. */
json_t *status_number(uint64_t number);
/* All counters by their names. */
json_t *status_counters(const struct stats *stats);
/* status_generation.c: a list with what is known of each, the oldest first. */
json_t *status_generations(const struct master *master, uint64_t now);
json_t *status_answer_generations(void *arg, const json_t *request, struct control_ask *ask);
/* Requests under way in its workers, and connections that they have. */
uint64_t status_under_way(const struct generation *generation);
uint64_t status_connections(const struct generation *generation);
/* A list with what is known of each instance. */
json_t *status_instances(const struct service *service, uint64_t now);

#endif
