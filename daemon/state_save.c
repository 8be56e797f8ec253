/*
 * Puts the document together, and into a memfd. Changes nothing of the master's.
 */
#include "daemon/state.h"

#include "common/conf_save.h"
#include "common/log.h"
#include "daemon/notify.h"
#include "daemon/state_parts.h"
#include "ipc/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What must not be under way; NULL when it is none of it. */
static const char *
state_find_trouble(const struct master *master)
{
	const struct generation *current = master->current;

	if (master->state != MASTER_RUNNING || master->stop.phase != STOP_NONE)
		return "hostlerd is starting or stopping";
	if (master->reload.phase != RELOAD_IDLE || current == NULL ||
	    current->state != GENERATION_RUNNING || TAILQ_FIRST(&master->generations) != current ||
	    TAILQ_NEXT(current, entry) != NULL)
		return "a reload is under way";
	if (master_is_damaged(master))
		return "a pool is being made anew";
	return NULL;
}

static json_t *
state_save_master(const struct master *master)
{
	json_t *saved = json_object();
	int log = conf_log_path(master->conf) != NULL ? log_fd() : -1;

	record_put(saved, state_master_fields, master);
	json_object_set_new(saved, "pid", json_integer(master->pid));
	json_object_set_new(saved, "log_level", json_integer(log_get_level()));
	/* Standard error is opened anew by each image. */
	json_object_set_new(saved, "fd_log", json_integer(log));
	json_object_set_new(saved, "fd_wakes", record_fds(master->wakes, master->ids));
	json_object_set_new(saved, "sum", state_save_stats(master->sum));
	return saved;
}

json_t *
state_make(struct master *master, char *why, size_t why_size)
{
	const char *trouble = state_find_trouble(master);
	json_t *state;

	if (trouble != NULL) {
		snprintf(why, why_size, "%s", trouble);
		return NULL;
	}
	state = json_pack("{s:i, s:s, s:I}", "version", STATE_VERSION, "writer", PACKAGE_VERSION,
	    "messages", (json_int_t)msg_layout());
	json_object_set_new(state, "master", state_save_master(master));
	json_object_set_new(state, "conf", conf_save(master->conf));
	json_object_set_new(state, "files", state_save_files(master));
	json_object_set_new(state, "generation", state_save_generation(master->current));
	json_object_set_new(state, "control", control_save(master->control));
	json_object_set_new(state, "notify", notify_save());
	if (master->guest.upgrade != NULL)
		json_object_set(state, "upgrade", master->guest.upgrade);
	return state;
}

static bool
state_write_text(int fd, const char *text)
{
	size_t length = strlen(text), written = 0;

	while (written < length) {
		ssize_t n = write(fd, text + written, length - written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		written += (size_t)n;
	}
	return true;
}

int
state_write(struct master *master, char *why, size_t why_size)
{
	json_t *state = state_make(master, why, why_size);
	char *text = json_dumps(state, JSON_COMPACT);
	int fd = -1;

	json_decref(state);
	if (state == NULL)
		return -1;
	if (text != NULL)
		fd = memfd_create("hostler-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* What is read twice is the same twice, whoever has it meanwhile. */
	if (fd >= 0 && state_write_text(fd, text) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0) {
		free(text);
		return fd;
	}
	snprintf(why, why_size, "the state cannot be written: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	free(text);
	return -1;
}
