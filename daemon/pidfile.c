/*
 * A pid file that is locked as long as its writer lives, so that a left-over one never stands in
 * the way. The lock belongs to the process, not to the descriptor: no child keeps it.
 */
#include "daemon/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIDFILE_MODE  0644
#define PIDFILE_TRIES 10 /* times the file may vanish between opening and locking */

static int
pidfile_lock(int fd, struct flock *lock, int command)
{
	*lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
	return fcntl(fd, command, lock);
}

/* Whether the locked file is still the one with that name. */
static bool
pidfile_is_current(int fd, const char *path)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_ino == named.st_ino &&
	       ours.st_dev == named.st_dev;
}

static void
pidfile_explain(int fd, const char *path, int error, char *why, size_t why_size)
{
	struct flock lock;

	if (error != EAGAIN && error != EACCES)
		snprintf(why, why_size, "pid file %s: %s", path, strerror(error));
	else if (pidfile_lock(fd, &lock, F_GETLK) == 0 && lock.l_type != F_UNLCK)
		snprintf(why, why_size, "pid file %s belongs to a running daemon (pid %ld)", path,
		    (long)lock.l_pid);
	else
		snprintf(why, why_size, "pid file %s belongs to a running daemon", path);
}

static bool
pidfile_write(int fd)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) == length;
}

int
pidfile_open(const char *path, char *why, size_t why_size)
{
	struct flock lock;

	for (int i = 0; i < PIDFILE_TRIES; i++) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, PIDFILE_MODE);

		if (fd < 0) {
			snprintf(why, why_size, "pid file %s: %s", path, strerror(errno));
			return -1;
		}
		if (pidfile_lock(fd, &lock, F_SETLK) != 0) {
			pidfile_explain(fd, path, errno, why, why_size);
			close(fd);
			return -1;
		}
		if (!pidfile_is_current(fd, path)) {
			close(fd);
			continue;
		}
		if (pidfile_write(fd))
			return fd;
		snprintf(why, why_size, "pid file %s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	snprintf(why, why_size, "pid file %s is made and removed all the time", path);
	return -1;
}

void
pidfile_close(int fd, const char *path)
{
	if (fd < 0)
		return;
	unlink(path);
	close(fd);
}
