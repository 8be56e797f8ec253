/*
 * What handler = collect needs: an absolute path in a folder that is there, a file that nobody else
 * here collects in, and a protocol that can be answered if somebody wants answers. Asks the file
 * system, changes nothing in it.
 */
#include "common/conf_build.h"
#include "common/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Bytes for what a file that was rotated has behind its name. */
#define CONF_COLLECT_SUFFIX 32

static void
conf_collect_path(struct conf_build *build, unsigned section, struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "file");
	char *path = conf_program_path(build->base, service->file);
	const char *name = strrchr(path, '/') + 1;

	free(service->file);
	service->file = path;
	if (*name == '\0')
		conf_build_refuse(build, section, option, "%.64s is a folder", path);
	else if (strlen(name) + CONF_COLLECT_SUFFIX > NAME_MAX ||
		 strlen(path) + CONF_COLLECT_SUFFIX > PATH_MAX)
		conf_build_refuse(build, section, option,
		    "%.64s...: the path is too long to be renamed later", path);
}

/* The file may be made later, its folder may not. */
static void
conf_collect_place(struct conf_build *build, unsigned section, struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "file");
	const char *slash = strrchr(service->file, '/');
	char *folder = mem_strndup(
	    service->file, slash == service->file ? 1 : (size_t)(slash - service->file));
	struct stat st;

	if (stat(folder, &st) != 0)
		conf_build_refuse(
		    build, section, option, "its folder %s: %s", folder, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		conf_build_refuse(build, section, option, "%s is no folder", folder);
	else if (stat(service->file, &st) == 0 && !S_ISREG(st.st_mode))
		conf_build_refuse(build, section, option, "%s is no regular file", service->file);
	free(folder);
}

static bool
conf_collect_same(const char *a, const char *b)
{
	struct stat x, y;

	return strcmp(a, b) == 0 || (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
					x.st_ino == y.st_ino);
}

/* Two services would not know of each other's records when one of them mends its own. */
static void
conf_collect_taken(struct conf_build *build, unsigned section, const struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "file");

	for (unsigned other = 1; other < section; other++) {
		const struct conf_service *taker = &build->conf->services[other - 1];

		if (taker->handler != HANDLER_COLLECT ||
		    !conf_is_good(build->conf, other, "file") ||
		    !conf_collect_same(taker->file, service->file))
			continue;
		conf_build_refuse(build, section, option, "%s is taken by [service %s] in line %u",
		    service->file, taker->name, conf_origin(build->conf, other, option)->line);
		return;
	}
}

void
conf_collect(struct conf_build *build, unsigned section)
{
	const struct option *file = option_find(OPTION_SERVICE, "file");
	struct conf_service *service = &build->conf->services[section - 1];

	if (!conf_origin(build->conf, section, file)->set)
		conf_build_error(build, build->section_lines[section], section, NULL,
		    build->file == NULL ? "handler collect needs a file: --file PATH"
					: "file is missing; handler collect needs it");
	if (conf_is_good(build->conf, section, "file"))
		conf_collect_path(build, section, service);
	if (conf_is_good(build->conf, section, "file"))
		conf_collect_place(build, section, service);
	if (conf_is_good(build->conf, section, "file"))
		conf_collect_taken(build, section, service);
	if (service->protocol == PROTOCOL_STREAM && service->ack != ACK_NONE &&
	    conf_is_good(build->conf, section, "protocol") &&
	    conf_is_good(build->conf, section, "ack"))
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "ack"),
		    "protocol stream has no messages to acknowledge; it goes with ack = none "
		    "alone");
}
