/*
 * Resolves who becomes whom while the user database can still be read, and drops privileges in a
 * child. The master itself keeps what it was started with: it must bind, signal and start.
 */
#include "daemon/priv.h"

#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PRIV_NOBODY 65534 /* where the user database knows no nobody */

/* The supplementary groups of the user, at least its own group. */
static void
priv_find_groups(struct priv *priv, const char *name)
{
	int count = 64;

	priv->groups = mem_alloc((size_t)count, sizeof(gid_t));
	priv->groups[0] = priv->gid;
	priv->group_count = 1;
	if (name == NULL)
		return;
	if (getgrouplist(name, priv->gid, priv->groups, &count) < 0) {
		priv->groups = mem_resize(priv->groups, (size_t)count, sizeof(gid_t));
		if (getgrouplist(name, priv->gid, priv->groups, &count) < 0)
			fatalx("the groups of user %s cannot be read", name);
	}
	priv->group_count = count;
}

/* Either id may be CONF_NO_ID; a uid without a gid brings its own group. */
static void
priv_set(struct priv *priv, uid_t uid, gid_t gid)
{
	const struct passwd *user = uid != CONF_NO_ID ? getpwuid(uid) : NULL;

	priv->set_uid = uid != CONF_NO_ID;
	priv->uid = uid;
	if (gid == (gid_t)CONF_NO_ID && priv->set_uid)
		gid = user != NULL ? user->pw_gid : (gid_t)uid;
	priv->set_gid = gid != (gid_t)CONF_NO_ID;
	priv->gid = gid;
	if (priv->set_gid)
		priv_find_groups(priv, user != NULL ? user->pw_name : NULL);
}

/* An ordinary user changes nothing, and may name only itself. */
static bool
priv_check_ordinary(uid_t uid, gid_t gid, const char *who, char *why, size_t why_size)
{
	if ((uid == CONF_NO_ID || uid == geteuid()) &&
	    (gid == (gid_t)CONF_NO_ID || gid == getegid()))
		return true;
	snprintf(why, why_size, "%s: only root can change user or group", who);
	return false;
}

bool
priv_for_workers(struct priv *priv, const struct conf *conf, char *why, size_t why_size)
{
	const struct passwd *nobody;

	*priv = (struct priv){.uid = CONF_NO_ID, .gid = CONF_NO_ID};
	if (geteuid() != 0)
		return priv_check_ordinary(conf->uid, conf->gid, "[hostler]", why, why_size);
	if (conf->uid != CONF_NO_ID) {
		priv_set(priv, conf->uid, conf->gid);
		return true;
	}
	nobody = getpwnam("nobody");
	if (nobody != NULL)
		priv_set(priv, nobody->pw_uid,
		    conf->gid != (gid_t)CONF_NO_ID ? conf->gid : nobody->pw_gid);
	else
		priv_set(priv, PRIV_NOBODY, PRIV_NOBODY);
	return true;
}

bool
priv_for_service(struct priv *priv, const struct conf *conf, const struct conf_service *service,
    char *why, size_t why_size)
{
	uid_t uid = service->uid != CONF_NO_ID ? service->uid : conf->uid;
	gid_t gid = service->gid;

	*priv = (struct priv){.uid = CONF_NO_ID, .gid = CONF_NO_ID};
	/* The daemon's group goes with the daemon's user, not with a service's own. */
	if (gid == (gid_t)CONF_NO_ID && service->uid == CONF_NO_ID)
		gid = conf->gid;
	if (geteuid() != 0)
		return priv_check_ordinary(uid, gid, service->name, why, why_size);
	priv_set(priv, uid, gid);
	return true;
}

void
priv_drop(const struct priv *priv)
{
	uid_t real, effective, saved;

	if (priv->set_gid) {
		if (setgroups((size_t)priv->group_count, priv->groups) != 0)
			fatal("cannot set the supplementary groups");
		if (setresgid(priv->gid, priv->gid, priv->gid) != 0)
			fatal("cannot become group %lu", (unsigned long)priv->gid);
	}
	if (!priv->set_uid)
		return;
	if (setresuid(priv->uid, priv->uid, priv->uid) != 0)
		fatal("cannot become user %lu", (unsigned long)priv->uid);
	if (getresuid(&real, &effective, &saved) != 0 || real != priv->uid ||
	    effective != priv->uid || saved != priv->uid)
		fatalx("user %lu is not what we became", (unsigned long)priv->uid);
	if (priv->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		fatalx("root can be regained");
	if (priv->uid != 0 && priv->set_gid && priv->gid != 0 && setgid(0) == 0)
		fatalx("group 0 can be regained");
}

void
priv_close(struct priv *priv)
{
	free(priv->groups);
	priv->groups = NULL;
}
