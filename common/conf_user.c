/*
 * Turns the names of users and groups into ids, once, so that no process looks them up later.
 *
 * Only root can become somebody else: a name that could not be honoured is refused here and not
 * when the first program starts.
 */
#include "common/conf_build.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

static const struct option *
conf_user_option(unsigned section, const char *key)
{
	return option_find(conf_scope(section), key);
}

static void
conf_user_name(struct conf_build *build, unsigned section, const char *name, uid_t *uid, gid_t *gid)
{
	const struct option *option = conf_user_option(section, "user");
	const struct passwd *entry = getpwnam(name);

	if (entry == NULL) {
		conf_build_refuse(build, section, option, "there is no user %.64s", name);
		return;
	}
	if (geteuid() != 0 && entry->pw_uid != geteuid())
		conf_build_refuse(build, section, option,
		    "only root can become another user, and this is user %u", (unsigned)geteuid());
	*uid = entry->pw_uid;
	*gid = entry->pw_gid;
}

static void
conf_user_group(struct conf_build *build, unsigned section, const char *name, gid_t *gid)
{
	const struct option *option = conf_user_option(section, "group");
	const struct group *entry = getgrnam(name);

	if (entry == NULL) {
		conf_build_refuse(build, section, option, "there is no group %.64s", name);
		return;
	}
	if (geteuid() != 0 && entry->gr_gid != getegid())
		conf_build_refuse(build, section, option,
		    "only root can take another group, and this is group %u", (unsigned)getegid());
	*gid = entry->gr_gid;
}

void
conf_user(struct conf_build *build, unsigned section)
{
	struct conf *conf = build->conf;
	struct conf_service *service;

	if (section == CONF_HOSTLER) {
		if (conf->user != NULL)
			conf_user_name(build, section, conf->user, &conf->uid, &conf->gid);
		if (conf->group != NULL)
			conf_user_group(build, section, conf->group, &conf->gid);
		return;
	}
	service = &conf->services[section - 1];
	service->uid = conf->uid;
	service->gid = conf->gid;
	if (service->user != NULL)
		conf_user_name(build, section, service->user, &service->uid, &service->gid);
	if (service->group != NULL)
		conf_user_group(build, section, service->group, &service->gid);
}
