/*
 * Which files services collect in, who of the workers gets what, and when a file is put aside. What
 * fails here is told and leaves everything as it was; a disk that is broken costs the clients an
 * answer, never the master.
 */
#include "daemon/collect.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/collect_file.h"
#include "daemon/master.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COLLECT_PAUSE (100 * CLOCK_MS) /* at least so long between two files */
/* Replaced files that workers may still have, before there is another one. */
#define COLLECT_LEFT_MAX 64

/* ---- of a generation ---- */

/* The file of a path, held; NULL with a sentence in `why`. */
static struct collect_file *
collect_hold(struct master *master, const char *path, char why[COLLECT_WHY])
{
	struct collect_open *open = collect_open_path(master, path, why);
	struct collect_file *file;

	if (open == NULL)
		return NULL;
	file = collect_find(master, open);
	if (file != NULL) {
		collect_shut(open);
	} else {
		file = mem_alloc(1, sizeof(*file));
		file->open = open;
		TAILQ_INSERT_TAIL(&master->files, file, entry);
	}
	file->holders++;
	return file;
}

/*
 * Nobody has it any more, so no worker has. At the end of everything no next turn comes, so
 * whatever waits to be tried again is tried now.
 */
static void
collect_release(struct collect_file *file, struct master *master)
{
	if (--file->holders > 0)
		return;
	TAILQ_REMOVE(&master->files, file, entry);
	collect_retire(master, file->open);
	free(file);
	collect_file_hurry(master);
	(void)collect_file_turn(master, clock_now());
}

/* Two services with one file, which the configuration could not see yet. */
static bool
collect_is_taken(const struct collect_set *set, unsigned index)
{
	for (unsigned i = 0; i < index; i++)
		if (set->files[i] != NULL && set->files[i] == set->files[index])
			return true;
	return false;
}

bool
collect_open(struct collect_set *set, struct master *master, const struct conf *conf,
    struct conf_errors *errors)
{
	unsigned before = errors->count;
	char why[COLLECT_WHY];

	set->conf = conf;
	set->files = mem_alloc(conf->service_count + 1, sizeof(struct collect_file *));
	for (unsigned i = 0; i < conf->service_count; i++) {
		const char *path = conf->services[i].file;
		char *where;

		if (conf->services[i].handler != HANDLER_COLLECT)
			continue;
		set->files[i] = collect_hold(master, path, why);
		if (set->files[i] != NULL && !collect_is_taken(set, i))
			continue;
		if (set->files[i] != NULL)
			snprintf(why, sizeof(why), "%s is another service's too", path);
		where = conf_where(conf, 1 + i, "file");
		conf_errors_add(errors, mem_printf("%s: %s", where, why));
		free(where);
	}
	return errors->count == before;
}

void
collect_close(struct collect_set *set, struct master *master)
{
	if (set->files == NULL)
		return;
	for (unsigned i = 0; i < set->conf->service_count; i++)
		if (set->files[i] != NULL)
			collect_release(set->files[i], master);
	free(set->files);
	set->files = NULL;
}

/* ---- workers ---- */

/* A description of its own for each worker: so a failed sync is told to each of them. */
static int
collect_open_again(const struct collect_open *opened)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", opened->fd);
	return open(path, O_RDWR | O_APPEND | O_NOCTTY | O_CLOEXEC);
}

static bool
collect_send(struct slot *slot, unsigned service, const struct collect_file *file)
{
	struct collect_open *open = file->open;
	struct msg msg = {.type = MSG_FILE, .file = {.service = service, .number = open->number}};
	int fds[MSG_FDS_MAX] = {collect_open_again(open), open->page, open->folder};
	bool sent;

	if (fds[0] < 0) {
		log_warn("the file of service %s cannot be opened for worker %u",
		    slot->generation->conf->services[service].name, slot->place);
		return false;
	}
	sent = slot_send(slot, &msg, fds);
	open->held[slot->id] = open->held[slot->id] || sent;
	close(fds[0]);
	return sent;
}

bool
collect_tell(struct slot *slot)
{
	const struct collect_set *set = &slot->generation->collects;

	for (unsigned i = 0; i < set->conf->service_count; i++) {
		const struct collect_file *file = set->files[i];

		if (file == NULL || slot->files_told[i] == file->open->number)
			continue;
		if (!collect_send(slot, i, file))
			return false;
		slot->files_told[i] = file->open->number;
	}
	return true;
}

static void
collect_tell_all(struct master *master)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (slot_is_alive(&generation->slots[i]))
				slot_tell_rest(&generation->slots[i]);
}

/* ---- another file in place of the old one ---- */

/* What a generation calls it; NULL where it does not have it. */
static const struct conf_service *
collect_service(const struct generation *generation, const struct collect_file *file)
{
	for (unsigned i = 0; generation != NULL && i < generation->conf->service_count; i++)
		if (generation->collects.files != NULL && generation->collects.files[i] == file)
			return &generation->conf->services[i];
	return NULL;
}

/* Whose file it is: the current generation's, else the newest one's that has it. */
static const struct conf_service *
collect_owner(const struct master *master, const struct collect_file *file)
{
	const struct conf_service *owner = collect_service(master->current, file);
	const struct generation *generation;

	TAILQ_FOREACH_REVERSE(generation, &master->generations, generation_list, entry)
	if (owner == NULL)
		owner = collect_service(generation, file);
	return owner;
}

/* From now on it is what stands at the path. False with a sentence in `why`; then it is as it was.
 */
static bool
collect_renew(
    struct master *master, struct collect_file *file, const char *path, char why[COLLECT_WHY])
{
	const struct collect_file *owner;
	struct collect_open *open;

	if (master->left_count >= COLLECT_LEFT_MAX) {
		snprintf(
		    why, COLLECT_WHY, "%s: workers still have too many files from before", path);
		return false;
	}
	open = collect_open_path(master, path, why);
	if (open == NULL)
		return false;
	owner = collect_find(master, open);
	if (owner != NULL) {
		collect_shut(open);
		if (owner == file)
			return true;
		/* Also while a reload is under way whose generation was the first to find it there.
		 */
		snprintf(why, COLLECT_WHY, "%s is collected in by somebody else already", path);
		return false;
	}
	collect_retire(master, file->open);
	file->open = open;
	return true;
}

bool
collect_reopen(struct master *master, char *why, size_t why_size)
{
	struct collect_file *file;
	char text[COLLECT_WHY];
	bool all = true;

	TAILQ_FOREACH (file, &master->files, entry) {
		const struct conf_service *owner = collect_owner(master, file);

		if (owner == NULL || collect_renew(master, file, owner->file, text))
			continue;
		log_warnx("%s, so messages go on where they went", text);
		if (all && why != NULL)
			snprintf(why, why_size, "%s", text);
		all = false;
	}
	collect_tell_all(master);
	return all;
}

/*
 * "FILE.20260131T235959.123456Z": sorted by name they are sorted by time. A name that is taken is
 * never overwritten: the next microsecond is tried.
 */
static bool
collect_rename(const char *path, char *to, size_t size)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	for (int tries = 0; tries < 1000; tries++) {
		gmtime_r(&now.tv_sec, &tm);
		strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
		snprintf(to, size, "%s.%s.%06ldZ", path, text, now.tv_nsec / 1000);
		if (renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
			return true;
		/* File systems without that flag, such as NFS, know link(2). */
		if (errno == EINVAL && link(path, to) == 0)
			return unlink(path) == 0;
		if (errno != EEXIST)
			return false;
		now.tv_nsec = (now.tv_nsec + 1000) % (long)CLOCK_SECOND;
	}
	return false;
}

/* Whether the path still leads to the file, as opposed to one that somebody put in its place. */
static bool
collect_is_there(const struct collect_file *file, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == file->open->device &&
	       st.st_ino == file->open->inode;
}

/* Renames it and begins a new one. Where that cannot be had the old one is put back. */
static void
collect_rotate(
    struct master *master, struct collect_file *file, const struct conf_service *owner, bool failed)
{
	char *real = realpath(owner->file, NULL), *to = NULL;
	char why[COLLECT_WHY];
	bool moved = false;

	if (real != NULL && collect_is_there(file, owner->file)) {
		to = mem_alloc(strlen(real) + 64, 1);
		moved = collect_rename(real, to, strlen(real) + 64);
		if (!moved)
			log_warn("service %s: %s cannot be renamed", owner->name, real);
	}
	if (moved || to == NULL) {
		if (!collect_renew(master, file, owner->file, why)) {
			log_errorx("service %s: %s", owner->name, why);
			if (moved)
				(void)renameat2(AT_FDCWD, to, AT_FDCWD, real, RENAME_NOREPLACE);
		} else if (failed) {
			log_errorx("service %s: %s was given up after an error; what was not "
				   "acknowledged may be missing in it or not; it is %s now",
			    owner->name, owner->file, moved ? to : "where somebody moved it");
		} else {
			log_info("service %s: %s is %s now", owner->name, owner->file,
			    moved ? to : "where somebody moved it");
		}
	}
	free(real);
	free(to);
}

bool
collect_heard(struct slot *slot, const struct msg_file *msg, uint64_t now)
{
	struct master *master = slot->master;
	const struct collect_set *set = &slot->generation->collects;
	const struct conf_service *owner;
	struct collect_file *file;
	uint64_t pause = msg->failed ? CLOCK_SECOND : COLLECT_PAUSE;

	if (msg->service >= set->conf->service_count || set->files[msg->service] == NULL)
		return false;
	file = set->files[msg->service];
	/* Somebody else was first, or it is too soon: who still wants it asks again. */
	if (msg->number != file->open->number ||
	    (file->rotated != 0 && now < file->rotated + pause))
		return true;
	owner = collect_owner(master, file);
	if (owner == NULL)
		return true;
	file->rotated = now;
	collect_rotate(master, file, owner, msg->failed);
	collect_tell_all(master);
	return true;
}
