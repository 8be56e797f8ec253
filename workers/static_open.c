/*
 * Opens files below a folder. The kernel watches that no link leads out (openat2(2), Linux 5.6);
 * where it cannot, links are refused. Owns nothing.
 */
#include "workers/static_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATIC_OPEN_FLAGS (O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
#define STATIC_OPEN_TRIES 3 /* while folders are renamed below it */

bool
static_open_may(const char *path, size_t length)
{
	for (const char *at = path; at < path + length; at++)
		if (*at == '\0' || (*at == '.' && (at == path || at[-1] == '/')))
			return false;
	return true;
}

/* One part of a path; the last may be anything but a link. Takes the folder over. */
static int
static_open_step(int folder, int root, const char *part, bool is_last)
{
	int flags = is_last ? STATIC_OPEN_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC;
	int fd = openat(folder, part, flags | O_NOFOLLOW | O_CLOEXEC);

	if (folder != root) {
		int error = errno;

		close(folder);
		errno = error;
	}
	return fd;
}

int
static_open_by_steps(int root, const char *path)
{
	int fd = root;

	while (*path == '/')
		path++;
	if (*path == '\0')
		return openat(root, ".", STATIC_OPEN_FLAGS | O_CLOEXEC);
	while (*path != '\0' && fd >= 0) {
		size_t length = strcspn(path, "/");
		bool is_last = path[length] == '\0';
		char part[NAME_MAX + 1];

		if (length > NAME_MAX) {
			if (fd != root)
				close(fd);
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(part, path, length);
		part[length] = '\0';
		fd = static_open_step(fd, root, part, is_last);
		path += length + strspn(path + length, "/");
	}
	return fd;
}

int
static_open(int root, const char *path)
{
	static bool is_missing;
	const struct open_how how = {
	    .flags = STATIC_OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	long fd = -1;

	while (*path == '/')
		path++;
	if (*path == '\0')
		path = ".";
	for (int i = 0; i < STATIC_OPEN_TRIES && !is_missing; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	is_missing |= fd < 0 && errno == ENOSYS;
	/* A filter of system calls that does not know it may say EPERM. */
	return is_missing || (fd < 0 && errno == EPERM) ? static_open_by_steps(root, path)
							: (int)fd;
}

unsigned
static_open_status(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return 503;
	case EIO:
		return 500;
	default: /* ENOENT, ENOTDIR, EXDEV, ELOOP, ENXIO, ... */
		return 404;
	}
}
