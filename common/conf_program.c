/*
 * Turns what stands in a program's section into what execve needs: an absolute directory, an
 * executable that is there, argv and environment. Asks the file system, changes nothing in it.
 */
#include "common/clock.h"
#include "common/conf_build.h"
#include "common/mem.h"
#include "common/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *
conf_program_path(const char *folder, const char *path)
{
	size_t length = strlen(folder);

	while (strncmp(path, "./", 2) == 0 && path[2] != '\0')
		path += 2;
	if (*path == '/')
		return mem_strdup(path);
	while (length > 0 && folder[length - 1] == '/')
		length--;
	if (strcmp(path, ".") == 0 || strcmp(path, "./") == 0)
		return length == 0 ? mem_strdup("/") : mem_strndup(folder, length);
	return mem_printf("%.*s/%s", (int)length, folder, path);
}

/* 0 when the file can be executed, else the errno that says why not. */
static int
conf_program_try(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) != 0)
		return EACCES;
	return 0;
}

/* Looks for a bare name; NULL when it is nowhere. The caller frees it. */
static char *
conf_program_search(const char *name)
{
	const char *at = CONF_PATH;

	while (*at != '\0') {
		int length = (int)strcspn(at, ":");
		char *path = mem_printf("%.*s/%s", length, at, name);

		if (conf_program_try(path) == 0)
			return path;
		free(path);
		at += length + (at[length] == ':');
	}
	return NULL;
}

static void
conf_program_executable(struct conf_build *build, unsigned section, struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "command");
	const char *name = service->argv[0];
	int wrong;

	if (strchr(name, '/') == NULL) {
		service->executable = conf_program_search(name);
		if (service->executable == NULL)
			conf_build_refuse(build, section, option,
			    "%.64s is no program in " CONF_PATH
			    "; one elsewhere wants its path, such as ./%.64s",
			    name, name);
		return;
	}
	service->executable = conf_program_path(service->directory, name);
	wrong = conf_program_try(service->executable);
	if (wrong == EACCES)
		conf_build_refuse(build, section, option,
		    "%s is no executable file; chmod +x makes a script one", service->executable);
	else if (wrong != 0)
		conf_build_refuse(build, section, option, "%s cannot be executed: %s",
		    service->executable, strerror(wrong));
}

static void
conf_program_command(struct conf_build *build, unsigned section, struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "command");
	char why[CONF_WHY_MAX];

	service->argv = words_split(service->command, why, sizeof(why));
	if (service->argv == NULL) {
		conf_build_refuse(build, section, option, "%s", why);
	} else if (service->argv[0] == NULL || *service->argv[0] == '\0') {
		conf_build_refuse(build, section, option, "names no program");
	} else if (service->directory != NULL) {
		conf_program_executable(build, section, service);
		service->files = conf_files(service);
	}
}

/* Makes the directory absolute. False when there is no such directory. */
static bool
conf_program_directory(struct conf_build *build, unsigned section, struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "directory");
	struct conf_origin *origin = conf_origin(build->conf, section, option);
	char *path =
	    conf_program_path(build->base, service->directory == NULL ? "." : service->directory);
	struct stat st;

	free(service->directory);
	service->directory = path;
	origin->set = true;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return true;
	conf_build_refuse(build, section, option, "%s is no directory", path);
	return false;
}

/* The length of a variable's name in front of its =, 0 when it is no proper one. */
static size_t
conf_program_variable(const char *word)
{
	size_t length =
	    strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return word[length] == '=' && (*word < '0' || *word > '9') ? length : 0;
}

static void
conf_program_environment(struct conf_build *build, unsigned section, struct conf_service *service)
{
	const struct option *option = option_find(OPTION_SERVICE, "environment");
	char why[CONF_WHY_MAX];

	service->env = words_split(service->environment, why, sizeof(why));
	if (service->env == NULL) {
		conf_build_refuse(build, section, option, "%s", why);
		return;
	}
	for (char **word = service->env; *word != NULL; word++) {
		size_t length = conf_program_variable(*word);

		if (word - service->env == CONF_ENVIRONMENT_MAX) {
			conf_build_refuse(build, section, option,
			    "there are more than %d variables", CONF_ENVIRONMENT_MAX);
			return;
		}
		if (length == 0) {
			conf_build_refuse(build, section, option,
			    "'%.64s': expects words NAME=VALUE; a name has letters, digits and _",
			    *word);
			return;
		}
		for (char **other = service->env; other < word; other++) {
			if (strncmp(*other, *word, length + 1) == 0) {
				conf_build_refuse(build, section, option, "%.*s is there twice",
				    (int)(length < 64 ? length : 64), *word);
				return;
			}
		}
	}
}

void
conf_program(struct conf_build *build, unsigned section)
{
	struct conf_service *service = &build->conf->services[section - 1];
	struct conf_rlimit *cpu = &service->limits[CONF_LIMIT_CPU];

	if (!conf_program_directory(build, section, service)) {
		free(service->directory);
		service->directory = NULL;
	}
	if (conf_is_good(build->conf, section, "command"))
		conf_program_command(build, section, service);
	if (conf_is_good(build->conf, section, "environment"))
		conf_program_environment(build, section, service);
	if (cpu->set && cpu->value % CLOCK_SECOND != 0)
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "limit_cpu"),
		    "expects whole seconds");
}
