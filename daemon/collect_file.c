/*
 * A file of those that services collect in, from its opening to its end. Owns a descriptor of it,
 * of its folder and of the page that its writers share, also when it was replaced and some worker
 * may still write to it. Never takes its lock: it is cut only when nobody is left who could.
 */
#include "daemon/collect_file.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/master.h"
#include "ipc/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COLLECT_MODE  0640
#define COLLECT_TRIES 60 /* to bring a replaced file to its end, one a second */

/* ---- one file ---- */

void
collect_shut(struct collect_open *open)
{
	if (open->fd >= 0)
		close(open->fd);
	if (open->page >= 0)
		close(open->page);
	if (open->folder >= 0)
		close(open->folder);
	free(open->held);
	free(open);
}

/* The folder that the file is in, wherever links lead; NULL with errno. The caller frees it. */
static char *
collect_folder(const char *path)
{
	char *real = realpath(path, NULL), *slash;

	if (real == NULL)
		return NULL;
	slash = strrchr(real, '/');
	slash[slash == real ? 1 : 0] = '\0';
	return real;
}

/* Fills it in, as far as it goes. False with errno, and what it is about in *what. */
static bool
collect_fill(struct collect_open *opened, const char *path, const char **what)
{
	struct stat st;
	char *folder;

	*what = "";
	/* Reading is for who looks whether its last record is whole. */
	opened->fd = open(
	    path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, COLLECT_MODE);
	if (opened->fd < 0 || fstat(opened->fd, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		*what = "what is no regular file: ";
		errno = EINVAL;
		return false;
	}
	opened->device = st.st_dev;
	opened->inode = st.st_ino;
	*what = "the folder of ";
	folder = collect_folder(path);
	if (folder != NULL)
		opened->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	if (opened->folder < 0)
		return false;
	*what = "memory for ";
	opened->page = ledger_new_page();
	return opened->page >= 0;
}

/* NULL with a sentence in `why`. */
struct collect_open *
collect_open_path(struct master *master, const char *path, char why[COLLECT_WHY])
{
	struct collect_open *opened = mem_alloc(1, sizeof(*opened));
	const char *what;

	opened->fd = opened->page = opened->folder = -1;
	opened->held = mem_alloc(master->ids, sizeof(*opened->held));
	if (collect_fill(opened, path, &what)) {
		opened->number = ++master->file_number;
		return opened;
	}
	snprintf(why, COLLECT_WHY, "%s%s cannot be opened to collect in: %s", what, path,
	    strerror(errno));
	collect_shut(opened);
	return NULL;
}

static bool
collect_is_same(const struct collect_open *a, const struct collect_open *b)
{
	return a->device == b->device && a->inode == b->inode;
}

/* The one that has this file open, or NULL. */
struct collect_file *
collect_find(const struct master *master, const struct collect_open *open)
{
	struct collect_file *file;

	TAILQ_FOREACH (file, &master->files, entry)
		if (collect_is_same(file->open, open))
			return file;
	return NULL;
}

/* ---- files that were replaced ---- */

void
collect_retire(struct master *master, struct collect_open *open)
{
	TAILQ_INSERT_TAIL(&master->left_files, open, entry);
	master->left_count++;
}

static bool
collect_is_held(const struct master *master, const struct collect_open *open)
{
	for (unsigned i = 0; i < master->ids; i++)
		if (open->held[i])
			return true;
	return false;
}

/*
 * The last writer may have been killed in the middle of a record, and no next one comes who would
 * mend it. False when it cannot be mended now.
 */
static bool
collect_settle(struct collect_open *open, uint64_t now)
{
	int64_t cut = ledger_settle(open->fd, open->page);

	if (cut > 0)
		log_warnx("%lld bytes of a message that was not written whole are cut from the end "
			  "of a file that was replaced",
		    (long long)cut);
	if (cut >= 0)
		return true;
	if (++open->tries == COLLECT_TRIES) {
		log_error("a file that was replaced may end with a message that is not whole");
		return true;
	}
	open->retry = now + CLOCK_SECOND;
	return false;
}

void
collect_file_hurry(struct master *master)
{
	struct collect_open *open;

	TAILQ_FOREACH (open, &master->left_files, entry)
		open->retry = 0;
}

uint64_t
collect_file_turn(struct master *master, uint64_t now)
{
	struct collect_open *open = TAILQ_FIRST(&master->left_files), *next;
	uint64_t wake = MASTER_NEVER;

	for (; open != NULL; open = next) {
		next = TAILQ_NEXT(open, entry);
		if (collect_is_held(master, open))
			continue;
		if (now >= open->retry && collect_settle(open, now)) {
			TAILQ_REMOVE(&master->left_files, open, entry);
			master->left_count--;
			collect_shut(open);
		} else if (open->retry < wake) {
			wake = open->retry;
		}
	}
	return wake;
}

void
collect_bury(struct master *master, unsigned id)
{
	struct collect_file *file;
	struct collect_open *open;

	TAILQ_FOREACH (file, &master->files, entry)
		file->open->held[id] = false;
	TAILQ_FOREACH (open, &master->left_files, entry)
		open->held[id] = false;
}

bool
collect_left(struct slot *slot, const struct msg_file *msg)
{
	struct collect_open *open;

	TAILQ_FOREACH (open, &slot->master->left_files, entry)
		if (open->number == msg->number)
			open->held[slot->id] = false;
	return true;
}
