/* Privileges: who workers and instances become, and how a process becomes it for good. */
#ifndef DAEMON_PRIV_H
#define DAEMON_PRIV_H

#include "common/conf.h"

#include <stdbool.h>
#include <sys/types.h>

/* A set of ids to change to. */
struct priv {
	bool set_uid, set_gid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* owns; supplementary */
	int group_count;
};

/*
 * What the workers become: as root [hostler] user, else nobody; nothing for an ordinary user. False
 * and a sentence in `why` when the configuration asks for what the caller may not do.
 */
bool priv_for_workers(struct priv *priv, const struct conf *conf, char *why, size_t why_size);
/* The same for the instances of a service: its own user, else [hostler] user, else the caller. */
bool priv_for_service(struct priv *priv, const struct conf *conf,
    const struct conf_service *service, char *why, size_t why_size);
/* Becomes it, irreversibly; fatal() where that cannot be done or could be undone. */
void priv_drop(const struct priv *priv);
void priv_close(struct priv *priv);

#endif
