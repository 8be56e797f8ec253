/*
 * What both who writes the state and who reads it need: the table of the master's own, the document
 * itself, and the descriptors that it names.
 */
#include "daemon/state.h"

#include "daemon/state_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_SIZE_MAX (256 << 20)

/*
 * Not of struct master: control_default, turned, backend, signals, tick, looked, upgrade. Each
 * image has its own; what upgrade.c needs travels as a guest.
 */
const struct record_field state_master_fields[] = {
    RECORD_FIELD(struct master, started, NUMBER, 0),
    RECORD_FIELD(struct master, quiet_level, SIGNED, LOG_LEVEL_DEBUG),
    RECORD_FIELD(struct master, control_path, STRING, 0),
    RECORD_FIELD(struct master, pid_path, STRING, 0),
    RECORD_NAMED("fd_pidfile", struct master, pidfile, FD, 0),
    RECORD_NAMED("nofile", struct master, nofile.rlim_cur, NUMBER, 0),
    RECORD_NAMED("nofile_most", struct master, nofile.rlim_max, NUMBER, 0),
    RECORD_FIELD(struct master, generation_number, NUMBER, 0),
    RECORD_FIELD(struct master, file_number, NUMBER, 0),
    RECORD_FIELD(struct master, logs_version, NUMBER, 0),
    RECORD_FIELD(struct master, ids, NUMBER, POOL_WORKERS_MAX),
    RECORD_NAMED("fd_wake_master", struct master, wake_master, FD, 0),
    RECORD_NAMED("guardian", struct master, guardian.pid, SIGNED, 0),
    RECORD_NAMED("fd_guardian", struct master, guardian.pipe, FD, 0),
    RECORD_FIELD(struct master, guardian_retry, NUMBER, 0),
    RECORD_NAMED("balance_looked", struct master, balance.looked, NUMBER, 0),
    RECORD_NAMED("balance_allowance", struct master, balance.allowance, NUMBER, 0),
    RECORD_NAMED("reloads", struct master, reload.count, NUMBER, 0),
    RECORD_NAMED("reloads_failed", struct master, reload.failed, NUMBER, 0),
    RECORD_NAMED("reload_error", struct master, reload.last_error, STRING, 0),
    RECORD_END,
};

json_t *
state_read(int fd, char *why, size_t why_size)
{
	json_error_t error;
	void *text = MAP_FAILED;
	json_t *state;
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= STATE_SIZE_MAX)
		text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED) {
		snprintf(why, why_size, "the state cannot be read");
		return NULL;
	}
	state =
	    json_loadb(text, (size_t)st.st_size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	munmap(text, (size_t)st.st_size);
	if (state == NULL)
		snprintf(why, why_size, "the state is no document: %s", error.text);
	return state;
}

static void
state_on_fd(void *arg, int fd)
{
	const bool *keep = arg;

	(void)fcntl(fd, F_SETFD, *keep ? 0 : FD_CLOEXEC);
}

void
state_keep_fds(int state, bool keep)
{
	char why[256];
	json_t *document = state_read(state, why, sizeof(why));

	/* An option may have any name. */
	json_object_del(document, "conf");
	record_each_fd(document, state_on_fd, &keep);
	json_decref(document);
}

void
state_settle(struct master *master)
{
	struct service *service;

	stats_forget_other(master->sum);
	TAILQ_FOREACH (service, &master->services, entry)
		stats_forget_other(service->stats);
}
