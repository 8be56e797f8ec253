/*
 * One file that services collect in: opened with all that its writers need, replaced by another
 * one, and brought to its end when the last worker has left it. Shared by the files collect*.c.
 */
#ifndef DAEMON_COLLECT_FILE_H
#define DAEMON_COLLECT_FILE_H

#include "daemon/collect.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#define COLLECT_WHY 512 /* bytes of a sentence */

/* One file in the file system, with all that workers need to append to it. */
struct collect_open {
	TAILQ_ENTRY(collect_open) entry; /* of master->left_files, once it was replaced */
	uint32_t number;                 /* never that of another one */
	int fd, page, folder;            /* owns */
	dev_t device;
	ino_t inode;
	bool *held;     /* owns; of each worker id, whether that worker may still write to it */
	uint64_t retry; /* replaced, and could not be brought to its end: tried again then */
	unsigned tries;
};

/* What stands at a path that services collect in: one file after the other. */
struct collect_file {
	TAILQ_ENTRY(collect_file) entry; /* of master->files */
	unsigned holders;
	struct collect_open *open; /* owns */
	uint64_t rotated;          /* when it was begun in place of another one */
};

/* Opens it, and makes it when it is not there. NULL with a sentence in `why`. */
struct collect_open *collect_open_path(
    struct master *master, const char *path, char why[COLLECT_WHY]);
/* Closes all of it. */
void collect_shut(struct collect_open *open);
/* The one that has this file open, or NULL. */
struct collect_file *collect_find(const struct master *master, const struct collect_open *open);
/* It was replaced: closed by collect_file_turn() when no worker has it any more. Takes it over. */
void collect_retire(struct master *master, struct collect_open *open);
/* Those that could not be brought to their end are tried again at the next collect_file_turn(). */
void collect_file_hurry(struct master *master);

#endif
