/*
 * The environment of a program, built from nothing: a few words that are ours, a few that are let
 * through from the caller, and those of the configuration, which win.
 */
#ifndef DAEMON_ENVIRONMENT_H
#define DAEMON_ENVIRONMENT_H

#include <sys/types.h>

/*
 * A NULL-terminated list of NAME=VALUE words in one allocation each; free it with
 * environment_free(). `extra` (may be NULL) is such a list too and overrides. The uid's entry in
 * the user database gives HOME, USER and LOGNAME.
 */
char **environment_new(const char *service, unsigned slot, uid_t uid, char *const *extra);
void environment_free(char **environment);

#endif
