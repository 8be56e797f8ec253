/*
 * Binding unix sockets by path. Asks by connecting whether somebody still listens on an old one;
 * only a refused connection proves that it is stale. Never removes anything but a socket.
 */
#include "daemon/sockpath.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* True when the path is free or was freed; else a clause in `why`. */
static bool
sockpath_make_way(const struct addr *addr, char *why, size_t why_size)
{
	const char *path = addr_path(addr);
	struct stat st;
	int fd, error = 0;

	if (lstat(path, &st) != 0) {
		if (errno == ENOENT)
			return true;
		snprintf(why, why_size, "cannot be examined: %s", strerror(errno));
		return false;
	}
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, why_size, "exists and is no socket");
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr->storage, addr->length) != 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	/* EAGAIN: somebody listens, and the queue is full. */
	if (error == 0 || error == EAGAIN) {
		snprintf(why, why_size, "is in use by a running program");
		return false;
	}
	if (error != ECONNREFUSED && error != ENOENT) {
		snprintf(why, why_size, "exists, and whether it is in use cannot be told: %s",
		    strerror(error));
		return false;
	}
	if (unlink(path) != 0 && errno != ENOENT) {
		snprintf(why, why_size, "is stale and cannot be removed: %s", strerror(errno));
		return false;
	}
	return true;
}

bool
sockpath_bind(struct sockpath *sockpath, int fd, const struct addr *addr, mode_t mode, char *why,
    size_t why_size)
{
	const char *path = addr_path(addr);
	struct stat st;
	mode_t before;
	int result;

	sockpath->inode = 0;
	if (!sockpath_make_way(addr, why, why_size))
		return false;
	/* Nobody gets in between bind and chmod. */
	before = umask(0777);
	result = bind(fd, (const struct sockaddr *)&addr->storage, addr->length);
	umask(before);
	if (result != 0) {
		snprintf(why, why_size, "cannot be made: %s", strerror(errno));
		return false;
	}
	if (lstat(path, &st) == 0) {
		sockpath->device = st.st_dev;
		sockpath->inode = st.st_ino;
	}
	if (chmod(path, mode) != 0) {
		snprintf(why, why_size, "cannot be given its mode: %s", strerror(errno));
		sockpath_remove(sockpath, path);
		return false;
	}
	return true;
}

void
sockpath_remove(struct sockpath *sockpath, const char *path)
{
	struct stat st;

	if (sockpath->inode != 0 && lstat(path, &st) == 0 && st.st_dev == sockpath->device &&
	    st.st_ino == sockpath->inode)
		unlink(path);
	sockpath->inode = 0;
}
