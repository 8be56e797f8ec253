/*
 * The file that an upgrade executes: it is opened once, and what was looked at then is what is
 * executed, in the rehearsal and after it, whoever changes its path meanwhile.
 */
#ifndef DAEMON_UPGRADE_FILE_H
#define DAEMON_UPGRADE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct upgrade_file {
	int fd;       /* owns; by O_PATH; -1 when closed */
	char *script; /* owns; NULL for a binary; else its path without links: see below */
	struct stat stat;
};

/*
 * Opens what the absolute path `binary` leads to. As root it must be root's alone; the same holds
 * for the folders of a script, which its interpreter opens again by its name. False and a sentence
 * in `why` when it may not be executed; then nothing is open.
 */
bool upgrade_file_open(struct upgrade_file *file, const char *binary, char *why, size_t why_size);
void upgrade_file_close(struct upgrade_file *file);
/* Whether that path still leads to it, and it was not written since. */
bool upgrade_file_is_same(const struct upgrade_file *file, const char *binary);
/* execve(2): returns only on failure, with errno. */
void upgrade_file_execute(const struct upgrade_file *file, char **argv);

#endif
