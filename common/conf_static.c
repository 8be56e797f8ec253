/*
 * What handler = static needs: a folder that is there, and a name for its index. Asks the file
 * system, changes nothing in it.
 */
#include "common/conf_build.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void
conf_static_root(struct conf_build *build, unsigned section, struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "root");
	char *path = conf_program_path(build->base, service->root);
	struct stat st;

	free(service->root);
	service->root = path;
	if (strlen(path) >= PATH_MAX)
		conf_build_refuse(build, section, option,
		    "%.64s...: the path is longer than %d bytes", path, PATH_MAX - 1);
	else if (stat(path, &st) != 0)
		conf_build_refuse(build, section, option, "%s: %s", path, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		conf_build_refuse(build, section, option, "%s is no folder", path);
}

/* Hidden files are not served, not even as an index. */
static void
conf_static_index(struct conf_build *build, unsigned section, const struct conf_service *service)
{
	const char *name = service->index;

	if (*name == '\0' || *name == '.' || strchr(name, '/') != NULL || strlen(name) > NAME_MAX)
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "index"),
		    "'%.64s' is no name of a file that may be served", name);
}

void
conf_static(struct conf_build *build, unsigned section)
{
	struct conf_service *service = &build->conf->services[section - 1];
	const struct option *root = option_find(OPTION_SERVICE, "root");

	if (!conf_origin(build->conf, section, root)->set)
		conf_build_error(build, build->section_lines[section], section, NULL,
		    build->file == NULL ? "handler static needs a folder: --root PATH"
					: "root is missing; handler static needs it");
	if (conf_is_good(build->conf, section, "root"))
		conf_static_root(build, section, service);
	if (conf_is_good(build->conf, section, "index"))
		conf_static_index(build, section, service);
}
