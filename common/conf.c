/*
 * The doors of the configuration: load a file, free what was loaded, print what was wrong.
 *
 * conf_load() opens the file and looks at whose it is; what stands in it is conf_read.c's matter,
 * what it means conf_check.c's. Nothing here touches a global.
 */
#include "common/conf.h"

#include "common/conf_build.h"
#include "common/mem.h"
#include "common/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The user who asked root for it, or the caller. */
static uid_t
conf_caller(void)
{
	const char *sudo = getenv("SUDO_UID");
	uint64_t uid;

	if (getuid() == 0 && sudo != NULL && unit_parse(UNIT_COUNT, sudo, &uid) == UNIT_OK &&
	    uid < CONF_NO_ID)
		return (uid_t)uid;
	return getuid();
}

/* What root runs must not be in the hands of others. Pipes and devices are the caller's own doing.
 */
static void
conf_check_owner(struct conf_build *build, FILE *file)
{
	struct stat st;

	if (geteuid() != 0 || fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		conf_build_error(build, CONF_NO_LINE, CONF_NO_SECTION, NULL,
		    "others may write to the file (mode %03o), so root does not use it; chmod go-w "
		    "it",
		    st.st_mode & 0777u);
	else if (st.st_uid != 0 && st.st_uid != conf_caller())
		conf_build_error(build, CONF_NO_LINE, CONF_NO_SECTION, NULL,
		    "the file belongs to user %u, so root does not use it; chown root it",
		    (unsigned)st.st_uid);
}

struct conf *
conf_parse_stream(
    FILE *file, const char *name, const char *control_default, struct conf_errors *errors)
{
	struct conf_build build;

	if (conf_build_start(&build, name, control_default, errors)) {
		if (conf_read(&build, file))
			conf_check(&build);
	}
	return conf_build_end(&build);
}

/* What opens is read. A pipe would be waited for: open(2) must not, and so nobody reads it. */
static FILE *
conf_open(const char *path, bool regular, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | (regular ? O_NONBLOCK : 0));
	struct stat st;
	FILE *file;

	*why = "it is no regular file";
	if (fd >= 0 && regular && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return NULL;
	}
	file = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (file == NULL) {
		*why = strerror(errno);
		if (fd >= 0)
			close(fd);
	}
	return file;
}

static struct conf *
conf_load_from(
    const char *path, bool regular, const char *control_default, struct conf_errors *errors)
{
	struct conf_build build;
	const char *why;
	FILE *file;

	if (!conf_build_start(&build, path, control_default, errors))
		return conf_build_end(&build);
	file = conf_open(path, regular, &why);
	if (file == NULL) {
		conf_build_error(
		    &build, CONF_NO_LINE, CONF_NO_SECTION, NULL, "cannot be opened: %s", why);
		return conf_build_end(&build);
	}
	conf_check_owner(&build, file);
	if (conf_read(&build, file))
		conf_check(&build);
	fclose(file);
	return conf_build_end(&build);
}

const char *
conf_log_path(const struct conf *conf)
{
	return strcmp(conf->log, CONF_LOG_STDERR) == 0 ? NULL : conf->log;
}

const char *
conf_access_path(const struct conf_service *service)
{
	return strcmp(service->access_log, CONF_ACCESS_OFF) == 0 ? NULL : service->access_log;
}

struct conf *
conf_load(const char *path, const char *control_default, struct conf_errors *errors)
{
	return conf_load_from(path, false, control_default, errors);
}

struct conf *
conf_load_again(const char *path, const char *control_default, struct conf_errors *errors)
{
	return conf_load_from(path, true, control_default, errors);
}

void
conf_errors_add(struct conf_errors *errors, char *line)
{
	errors->lines = mem_resize(errors->lines, errors->count + 1, sizeof(*errors->lines));
	errors->lines[errors->count++] = line;
}

void
conf_errors_print(const struct conf_errors *errors, FILE *out)
{
	for (unsigned i = 0; i < errors->count; i++)
		fprintf(out, "%s\n", errors->lines[i]);
}

void
conf_errors_free(struct conf_errors *errors)
{
	for (unsigned i = 0; i < errors->count; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct conf_errors){0};
}

static void
conf_free_texts(struct conf *conf, unsigned section)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);

		if (option->scope == conf_scope(section) && option->type == OPTION_TEXT)
			free(*(char **)conf_value(conf, section, option));
	}
}

void
conf_free(struct conf *conf)
{
	if (conf == NULL)
		return;
	for (unsigned i = 0; i < conf->service_count; i++) {
		struct conf_service *service = &conf->services[i];

		conf_free_texts(conf, 1 + i);
		free(service->name);
		free(service->origin);
		free(service->listen);
		words_free(service->argv);
		free(service->executable);
		words_free(service->env);
		free(service->reply_end);
	}
	conf_free_texts(conf, CONF_HOSTLER);
	free(conf->services);
	free(conf->origins);
	free(conf->file);
	free(conf);
}
