/*
 * Looks at the file that an upgrade executes, and executes that very file. Owns its descriptor.
 * Never executes by a name that somebody else could change.
 */
#include "daemon/upgrade_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UPGRADE_FILE_FOREIGN_WRITE 022 /* mode bits that let others write */

static bool
upgrade_file_is_foreign(const struct stat *file)
{
	return file->st_uid != 0 || (file->st_mode & UPGRADE_FILE_FOREIGN_WRITE) != 0;
}

/* What `#!` begins: the kernel executes another program, which opens this one. */
static bool
upgrade_file_is_script(int fd)
{
	char path[64], mark[2] = "";
	int readable;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* Who may not read it cannot run it as a script either. */
	readable = open(path, O_RDONLY | O_CLOEXEC);
	if (readable < 0)
		return false;
	if (read(readable, mark, sizeof(mark)) != (ssize_t)sizeof(mark))
		mark[0] = '\0';
	close(readable);
	return mark[0] == '#' && mark[1] == '!';
}

/*
 * Cuts the absolute path without links to the nearest folder in which others than root may change
 * names; false when there is none. Where the sticky bit is set, they may not change those of root.
 */
static bool
upgrade_file_find_foreign_folder(char *path)
{
	struct stat folder;
	char *slash;

	while ((slash = strrchr(path, '/')) != NULL && path[1] != '\0') {
		slash[slash == path] = '\0';
		if (stat(path, &folder) != 0 || folder.st_uid != 0 ||
		    ((folder.st_mode & UPGRADE_FILE_FOREIGN_WRITE) != 0 &&
			(folder.st_mode & S_ISVTX) == 0))
			return true;
	}
	return false;
}

/* False and a sentence in `why` when it is a script that others than root could replace. */
static bool
upgrade_file_look_at_script(
    struct upgrade_file *file, const char *binary, char *why, size_t why_size)
{
	char folder[PATH_MAX];

	if (!upgrade_file_is_script(file->fd))
		return true;
	file->script = realpath(binary, NULL);
	if (file->script == NULL || !upgrade_file_is_same(file, file->script)) {
		snprintf(why, why_size, "%s: was changed during the upgrade", binary);
		return false;
	}
	snprintf(folder, sizeof(folder), "%s", file->script);
	if (geteuid() != 0 || !upgrade_file_find_foreign_folder(folder))
		return true;
	snprintf(
	    why, why_size, "%s: is a script, and others than root may write to %s", binary, folder);
	return false;
}

bool
upgrade_file_open(struct upgrade_file *file, const char *binary, char *why, size_t why_size)
{
	*file = (struct upgrade_file){.fd = -1};
	if (binary[0] == '/')
		file->fd = open(binary, O_PATH | O_CLOEXEC);
	if (binary[0] != '/')
		snprintf(why, why_size, "%s: expects an absolute path", binary);
	else if (file->fd < 0 || fstat(file->fd, &file->stat) != 0)
		snprintf(why, why_size, "%s: %s", binary, strerror(errno));
	else if (!S_ISREG(file->stat.st_mode))
		snprintf(why, why_size, "%s: is no file that could be executed", binary);
	else if (access(binary, X_OK) != 0)
		snprintf(why, why_size, "%s: cannot be executed: %s", binary, strerror(errno));
	else if (geteuid() == 0 && upgrade_file_is_foreign(&file->stat))
		snprintf(why, why_size, "%s: others than root may write to it", binary);
	else if (upgrade_file_look_at_script(file, binary, why, why_size))
		return true;
	upgrade_file_close(file);
	return false;
}

void
upgrade_file_close(struct upgrade_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->script);
	*file = (struct upgrade_file){.fd = -1};
}

bool
upgrade_file_is_same(const struct upgrade_file *file, const char *binary)
{
	const struct stat *then = &file->stat;
	struct stat now;

	return stat(binary, &now) == 0 && now.st_dev == then->st_dev &&
	       now.st_ino == then->st_ino && now.st_size == then->st_size &&
	       now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

void
upgrade_file_execute(const struct upgrade_file *file, char **argv)
{
	if (file->script != NULL)
		execve(file->script, argv, environ);
	else
		execveat(file->fd, "", argv, environ, AT_EMPTY_PATH);
}
