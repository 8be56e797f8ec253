/*
 * Tells whether a program is still the one that was started: who reloads after a change of a script
 * wants the new script. What counts is the executable, and the scripts among its arguments; data
 * that a program is given may change as often as it likes. Looks at files, never keeps one open.
 */
#include "common/conf_build.h"
#include "common/hash.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONF_FILES_WORDS 16 /* arguments that are looked at */

static const char *const conf_files_endings[] = {
    ".awk", ".jar", ".js", ".lua", ".mjs", ".php", ".pl", ".py", ".rb", ".sh", ".tcl", ".ts"};

static void
conf_files_mix_file(uint64_t *sum, const struct stat *st)
{
	*sum = hash_number(*sum, st->st_dev);
	*sum = hash_number(*sum, st->st_ino);
	*sum = hash_number(*sum, (uint64_t)st->st_size);
	*sum = hash_number(*sum, (uint64_t)st->st_mtim.tv_sec);
	*sum = hash_number(*sum, (uint64_t)st->st_mtim.tv_nsec);
}

static bool
conf_files_is_script(const char *path, const struct stat *st)
{
	const char *ending = strrchr(path, '.');

	if (!S_ISREG(st->st_mode))
		return false;
	if ((st->st_mode & 0111) != 0)
		return true;
	for (size_t i = 0; i < sizeof(conf_files_endings) / sizeof(*conf_files_endings); i++)
		if (ending != NULL && strcmp(ending, conf_files_endings[i]) == 0)
			return true;
	return false;
}

uint64_t
conf_files(const struct conf_service *service)
{
	uint64_t sum = HASH_START;
	struct stat st;

	if (service->executable != NULL && stat(service->executable, &st) == 0)
		conf_files_mix_file(&sum, &st);
	for (unsigned i = 1; i <= CONF_FILES_WORDS && service->argv[i] != NULL; i++) {
		char *path = conf_program_path(service->directory, service->argv[i]);

		if (stat(path, &st) == 0 && conf_files_is_script(path, &st))
			conf_files_mix_file(&sum, &st);
		free(path);
	}
	return sum;
}
