/*
 * Opens log files and hands them on. Owns the descriptors of access logs; the daemon's own is
 * log.c's once it is in use. A file that cannot be opened is an error at the start and at a reload,
 * and a warning when it was only to be opened anew.
 */
#include "daemon/logs.h"

#include "common/log.h"
#include "common/mem.h"
#include "daemon/master.h"
#include "ipc/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what a configuration names ---- */

/* The daemon's log goes where `conf` says; the descriptor is one of its path. */
static void
logs_adopt(const struct conf *conf, int fd)
{
	log_info("the log goes on in %s", conf->log);
	log_adopt(fd);
}

void
logs_start(const struct conf *conf)
{
	const char *path = conf_log_path(conf);
	int fd;

	if (path != NULL) {
		fd = log_open_file(path);
		if (fd < 0)
			fatal("the log %s cannot be opened", path);
		logs_adopt(conf, fd);
	}
	log_set_path(path);
	log_set_format(conf->log_format);
}

/* "FILE:LINE: [service upper] access_log: PATH cannot be opened: No such file or directory" */
static void
logs_add_error(struct conf_errors *errors, const struct conf *conf, unsigned section,
    const char *key, const char *path)
{
	int error = errno;
	char *where = conf_where(conf, section, key);

	conf_errors_add(errors, mem_printf("%s: %s cannot be opened: %s", where,
				    path != NULL ? path : CONF_LOG_STDERR, strerror(error)));
	free(where);
}

bool
logs_open(
    struct logs *logs, const struct conf *conf, const struct conf *old, struct conf_errors *errors)
{
	unsigned before = errors->count;

	*logs = (struct logs){.conf = conf, .own = -1};
	logs->access = mem_alloc(conf->service_count + 1, sizeof(*logs->access));
	if (old != NULL && strcmp(conf->log, old->log) != 0) {
		logs->own = log_open_file(conf_log_path(conf));
		if (logs->own < 0)
			logs_add_error(errors, conf, 0, "log", conf_log_path(conf));
	}
	for (unsigned i = 0; i < conf->service_count; i++) {
		const char *path = conf_access_path(&conf->services[i]);

		logs->access[i] = path != NULL ? log_open_file(path) : -1;
		if (path != NULL && logs->access[i] < 0)
			logs_add_error(errors, conf, 1 + i, "access_log", path);
	}
	return errors->count == before;
}

void
logs_close(struct logs *logs)
{
	if (logs->access == NULL)
		return;
	for (unsigned i = 0; i < logs->conf->service_count; i++)
		if (logs->access[i] >= 0)
			close(logs->access[i]);
	free(logs->access);
	logs->access = NULL;
	if (logs->own >= 0)
		close(logs->own);
}

/* ---- in force ---- */

static void
logs_tell_all(struct master *master)
{
	struct generation *generation;

	master->logs_version++;
	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (slot_is_alive(&generation->slots[i]))
				slot_tell_rest(&generation->slots[i]);
}

void
logs_use(struct master *master, struct logs *logs)
{
	if (logs->own >= 0)
		logs_adopt(logs->conf, logs->own);
	logs->own = -1;
	log_set_path(conf_log_path(logs->conf));
	log_set_format(logs->conf->log_format);
	logs_tell_all(master);
}

void
logs_set_level(struct master *master, enum log_level level)
{
	log_set_level(level);
	logs_tell_all(master);
}

/* ---- opened anew ---- */

/* What failed in a reopening; the sentence is about the first. */
struct logs_trouble {
	char *why;
	size_t size;
	bool any;
};

/* Opens a path in place of *fd. What cannot be had is told, and *fd goes on. */
static void
logs_replace(int *fd, const char *path, struct logs_trouble *trouble)
{
	int fresh;

	if (*fd < 0)
		return;
	fresh = log_open_file(path);
	if (fresh >= 0) {
		close(*fd);
		*fd = fresh;
		return;
	}
	if (!trouble->any)
		snprintf(
		    trouble->why, trouble->size, "%s cannot be opened: %s", path, strerror(errno));
	trouble->any = true;
	log_warn("cannot reopen %s, so it stays where it is", path);
}

static void
logs_reopen_all(struct logs *logs, struct logs_trouble *trouble)
{
	if (conf_log_path(logs->conf) != NULL)
		logs_replace(&logs->own, conf_log_path(logs->conf), trouble);
	for (unsigned i = 0; i < logs->conf->service_count; i++)
		logs_replace(&logs->access[i], conf_access_path(&logs->conf->services[i]), trouble);
}

bool
logs_reopen(struct master *master, char *why, size_t why_size)
{
	struct logs_trouble trouble = {.why = why, .size = why_size};
	struct generation *generation;

	if (!log_reopen()) {
		snprintf(
		    why, why_size, "%s cannot be opened: %s", master->conf->log, strerror(errno));
		trouble.any = true;
	}
	TAILQ_FOREACH (generation, &master->generations, entry)
		logs_reopen_all(&generation->logs, &trouble);
	if (!collect_reopen(master, trouble.any ? NULL : why, why_size))
		trouble.any = true;
	if (!trouble.any)
		log_info("logs are reopened");
	logs_tell_all(master);
	return !trouble.any;
}

/* ---- what workers have ---- */

void
logs_know(struct slot *slot)
{
	slot->logs_version = slot->master->logs_version;
	slot->logs_next = slot->generation->conf->service_count + 1;
}

/* The daemon's log is number 0, that of service i number i + 1. */
static bool
logs_send(struct slot *slot, const struct logs *logs, unsigned number)
{
	struct msg msg = {.type = MSG_LOG,
	    .log = {.service = number == 0 ? MSG_LOG_DAEMON : number - 1,
		.level = (uint16_t)log_get_level(),
		.format = (uint16_t)log_get_format()}};
	int fd = number == 0 ? log_fd() : logs->access[number - 1];

	return fd < 0 || slot_send(slot, &msg, &fd);
}

bool
logs_tell(struct slot *slot)
{
	const struct logs *logs = &slot->generation->logs;

	if (slot->logs_version != slot->master->logs_version) {
		slot->logs_version = slot->master->logs_version;
		slot->logs_next = 0;
	}
	for (; slot->logs_next <= logs->conf->service_count; slot->logs_next++)
		if (!logs_send(slot, logs, slot->logs_next))
			return false;
	return true;
}
