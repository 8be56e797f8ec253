/*
 * For LD_PRELOAD: a disk that misbehaves on order. What is written or synced through a descriptor
 * that is open for appending, and whose file has a certain word in its path, goes wrong as a page
 * of memory says, which the test writes through the file SHIM_CONTROL. The page is mapped at the
 * start, so that it works for processes that have dropped their privileges too.
 *
 * Everything else goes straight to the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SHIM_WORD "records" /* in the path of what misbehaves */

/* As tests/live/test_collect_disk.py packs it. */
struct shim_page {
	_Atomic uint32_t write_error;         /* errno of writes; 0: none */
	_Atomic uint32_t write_short;         /* only so many bytes of the next write are written */
	_Atomic uint32_t sync_error;          /* errno of syncs; 0: none */
	_Atomic uint32_t sync_errors;         /* so many of them, then it goes well again */
	_Atomic uint32_t sync_stalls_ms;      /* how long a sync takes at least */
	_Atomic uint32_t cut_error;           /* errno of ftruncate */
	_Atomic uint32_t writes, syncs, cuts; /* how many were tried */
};

ssize_t write(int fd, const void *bytes, size_t length);
ssize_t writev(int fd, const struct iovec *iov, int count);
ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset);
int fdatasync(int fd);
int fsync(int fd);
int ftruncate(int fd, off_t length);

static struct shim_page *shim_page;

static void __attribute__((constructor)) shim_open(void)
{
	const char *path = getenv("SHIM_CONTROL");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory = MAP_FAILED;

	if (fd >= 0)
		memory = mmap(NULL, sizeof(*shim_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		shim_page = memory;
	if (fd >= 0)
		close(fd);
}

/* Whether the descriptor is one that may misbehave now. */
static int
shim_is_ours(int fd)
{
	char link[64] = "/proc/self/fd/", path[512], digits[16];
	int flags = shim_page != NULL ? fcntl(fd, F_GETFL) : -1;
	size_t at = strlen(link), count = 0;
	ssize_t n;

	if (flags < 0 || !(flags & O_APPEND))
		return 0;
	for (unsigned rest = (unsigned)fd; rest > 0 || count == 0; rest /= 10)
		digits[count++] = (char)('0' + rest % 10);
	while (count > 0)
		link[at++] = digits[--count];
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return 0;
	path[n] = '\0';
	return strstr(path, SHIM_WORD) != NULL;
}

/* How much may be written; -1 with errno when nothing. */
static ssize_t
shim_write(int fd, size_t length)
{
	uint32_t only;

	if (!shim_is_ours(fd))
		return (ssize_t)length;
	atomic_fetch_add(&shim_page->writes, 1);
	only = atomic_exchange(&shim_page->write_short, 0);
	if (only != 0 && only < length)
		return (ssize_t)only;
	errno = (int)atomic_load(&shim_page->write_error);
	return errno != 0 ? -1 : (ssize_t)length;
}

static int
shim_sync(int fd, long number)
{
	struct timespec wait;
	uint32_t ms;

	if (!shim_is_ours(fd))
		return (int)syscall(number, fd);
	atomic_fetch_add(&shim_page->syncs, 1);
	while ((ms = atomic_load(&shim_page->sync_stalls_ms)) != 0) {
		wait = (struct timespec){.tv_nsec = 1000000};
		nanosleep(&wait, NULL);
		atomic_compare_exchange_strong(&shim_page->sync_stalls_ms, &ms, ms - 1);
	}
	errno = (int)atomic_load(&shim_page->sync_error);
	if (errno == 0)
		return (int)syscall(number, fd);
	if (atomic_fetch_sub(&shim_page->sync_errors, 1) == 1)
		atomic_store(&shim_page->sync_error, 0);
	return -1;
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	ssize_t allowed = shim_write(fd, length);

	return allowed < 0 ? -1 : syscall(SYS_write, fd, bytes, (size_t)allowed);
}

/* Of several pieces the first that is not whole ends it. */
ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	ssize_t done = 0;

	if (!shim_is_ours(fd))
		return syscall(SYS_writev, fd, iov, count);
	for (int i = 0; i < count; i++) {
		ssize_t n = write(fd, iov[i].iov_base, iov[i].iov_len);

		if (n < 0)
			return done > 0 ? done : -1;
		done += n;
		if ((size_t)n < iov[i].iov_len)
			break;
	}
	return done;
}

/* At an offset, or (-1) as writev(2): with O_APPEND both mean the end. */
ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	ssize_t allowed = shim_write(fd, iov[0].iov_len);

	if (allowed < 0)
		return -1;
	if ((size_t)allowed < iov[0].iov_len)
		return syscall(SYS_pwrite64, fd, iov[0].iov_base, (size_t)allowed, offset);
	return syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

int
fdatasync(int fd)
{
	return shim_sync(fd, SYS_fdatasync);
}

int
fsync(int fd)
{
	return shim_sync(fd, SYS_fsync);
}

int
ftruncate(int fd, off_t length)
{
	if (shim_is_ours(fd)) {
		atomic_fetch_add(&shim_page->cuts, 1);
		errno = (int)atomic_load(&shim_page->cut_error);
		if (errno != 0)
			return -1;
	}
	return (int)syscall(SYS_ftruncate, fd, length);
}
