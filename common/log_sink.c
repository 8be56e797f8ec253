/*
 * The destination of the log: standard error through an open file description of our own, or a file
 * that somebody opened for us. Owns the descriptor and the lines that are still to be written.
 * Never waits: a line that cannot be written now stays whole in a bounded buffer or is refused
 * whole.
 *
 * Like log.c it calls nothing of ours and allocates without mem.c.
 */
#include "common/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_SINK_MODE 0640 /* of a file that is made */

/* How bytes reach the descriptor. */
enum log_sink_way {
	LOG_SINK_SHARED, /* a descriptor shared with others, maybe blocking: ask poll(2) first */
	LOG_SINK_OWN,    /* opened anew, non-blocking */
	LOG_SINK_SOCKET  /* cannot be opened anew, but each send can be non-blocking */
};

static struct {
	int fd; /* owns; -1 before log_sink_open(): then it is descriptor 2 */
	enum log_sink_way way;
	bool adopted;
	bool journal;
	dev_t device; /* what fd was when it was opened */
	ino_t inode;
	char
	    *pending; /* owns; whole lines, but the first may lack its beginning; NULL when empty */
	size_t start, end; /* the bytes of `pending` that wait */
	bool midline;      /* the newest byte written was not the end of a line */
} log_sink = {.fd = -1};

/* ---- writing ---- */

/* One write that does not block. Any failure means "later": it may be mended, and room is bounded.
 */
static size_t
log_sink_write_to(int fd, enum log_sink_way way, const char *bytes, size_t length)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	ssize_t n;

	if (way == LOG_SINK_SHARED) {
		if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
			return 0;
		/* What poll(2) promises is room for so much. */
		if (length > PIPE_BUF)
			length = PIPE_BUF;
	}
	do {
		n = way == LOG_SINK_SOCKET ? send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
					   : write(fd, bytes, length);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

static size_t
log_sink_write(const char *bytes, size_t length)
{
	int fd = log_sink.fd >= 0 ? log_sink.fd : STDERR_FILENO;
	size_t n = log_sink_write_to(fd, log_sink.way, bytes, length);

	if (n > 0)
		log_sink.midline = bytes[n - 1] != '\n';
	return n;
}

/*
 * As many whole lines as a pipe takes in one piece, so that lines of several processes do not mix;
 * of a longer line, all.
 */
static size_t
log_sink_chunk(const char *bytes, size_t length)
{
	const char *lf;

	if (bytes == NULL || length <= PIPE_BUF)
		return length;
	lf = memrchr(bytes, '\n', PIPE_BUF);
	if (!lf)
		lf = memchr(bytes, '\n', length);
	return lf ? (size_t)(lf - bytes) + 1 : length;
}

size_t
log_sink_waiting(void)
{
	return log_sink.end - log_sink.start;
}

static void
log_sink_forget(void)
{
	free(log_sink.pending);
	log_sink.pending = NULL;
	log_sink.start = log_sink.end = 0;
}

void
log_sink_flush(void)
{
	size_t n = 1;

	while (n > 0 && log_sink_waiting() > 0) {
		const char *bytes = log_sink.pending + log_sink.start;

		n = log_sink_write(bytes, log_sink_chunk(bytes, log_sink_waiting()));
		log_sink.start += n;
	}
	if (log_sink_waiting() == 0)
		log_sink_forget();
}

/* Keeps the line, or what is left of it, for later; false when there is no room. */
static bool
log_sink_keep(const char *line, size_t length)
{
	if (length > LOG_SINK_PENDING_MAX - log_sink_waiting())
		return false;
	if (!log_sink.pending)
		log_sink.pending = malloc(LOG_SINK_PENDING_MAX);
	if (!log_sink.pending)
		return false;
	if (length > LOG_SINK_PENDING_MAX - log_sink.end) {
		memmove(log_sink.pending, log_sink.pending + log_sink.start, log_sink_waiting());
		log_sink.end = log_sink_waiting();
		log_sink.start = 0;
	}
	memcpy(log_sink.pending + log_sink.end, line, length);
	log_sink.end += length;
	return true;
}

bool
log_sink_put(const char *line, size_t length)
{
	size_t written = 0;
	size_t n = 1;

	while (n > 0 && written < length && log_sink_waiting() == 0) {
		n = log_sink_write(line + written, length - written);
		written += n;
	}
	return written == length || log_sink_keep(line + written, length - written);
}

void
log_sink_put_standard(const char *line, size_t length)
{
	(void)log_sink_write_to(STDERR_FILENO, LOG_SINK_SHARED, line, length);
}

/* ---- opening ---- */

static bool
log_sink_is_file(int fd, dev_t device, ino_t inode)
{
	struct stat now;

	return fd >= 0 && fstat(fd, &now) == 0 && now.st_dev == device && now.st_ino == inode;
}

/* $JOURNAL_STREAM names the socket that systemd gave us; it is ours only while they are the same.
 */
static bool
log_sink_finds_journal(const struct stat *sink)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	int end = 0;

	if (!stream || sscanf(stream, "%llu:%llu%n", &device, &inode, &end) != 2)
		return false;
	return stream[end] == '\0' && sink->st_dev == device && sink->st_ino == inode;
}

/* Never one of the descriptors 0 to 2, which belong to everybody. */
static int
log_sink_move_up(int fd)
{
	int higher, saved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	saved = errno;
	close(fd);
	errno = saved;
	return higher;
}

/* Standard error through a description of our own where there can be one, else a copy of it. */
static int
log_sink_open_standard(void)
{
	struct stat error;
	int fd = -1;

	if (fstat(STDERR_FILENO, &error) < 0)
		return -1;
	/* A file never blocks, and who else writes to it shares the place with us. */
	if (!S_ISSOCK(error.st_mode) && !S_ISREG(error.st_mode))
		fd = log_sink_move_up(open(
		    "/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	return fd >= 0 ? fd : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

int
log_sink_open_file(const char *path)
{
	int flags = O_APPEND | O_NONBLOCK | O_NOCTTY;
	struct stat file;
	int fd;

	if (path == NULL)
		return log_sink_open_standard();
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, LOG_SINK_MODE);
	/* A FIFO that nobody reads yet: held open for reading too, it keeps what is written. */
	if (fd < 0 && errno == ENXIO && stat(path, &file) == 0 && S_ISFIFO(file.st_mode))
		fd = open(path, O_RDWR | O_CLOEXEC | flags);
	return log_sink_move_up(fd);
}

/* Notes what the descriptor is, and how to write to it. */
static void
log_sink_use(int fd)
{
	struct stat sink;

	log_sink.fd = fd;
	log_sink.way = LOG_SINK_SHARED;
	log_sink.journal = false;
	if (fstat(fd >= 0 ? fd : STDERR_FILENO, &sink) < 0)
		return;
	log_sink.device = sink.st_dev;
	log_sink.inode = sink.st_ino;
	log_sink.journal = log_sink_finds_journal(&sink);
	if (S_ISSOCK(sink.st_mode))
		log_sink.way = LOG_SINK_SOCKET;
	else if (fd >= 0 && (S_ISREG(sink.st_mode) || (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0))
		log_sink.way = LOG_SINK_OWN;
}

void
log_sink_open(void)
{
	/* What waits was said by the parent, who will write it. */
	log_sink_forget();
	log_sink.midline = false;
	/*
	 * Whoever has dropped privileges may not be allowed to open it again, so a log that still
	 * leads where it should is kept; one that was closed behind our back is not closed twice.
	 */
	if (!log_sink_is_file(log_sink.fd, log_sink.device, log_sink.inode)) {
		log_sink.adopted = false;
		log_sink_use(log_sink_open_standard());
	} else if (!log_sink.adopted &&
		   !log_sink_is_file(STDERR_FILENO, log_sink.device, log_sink.inode)) {
		close(log_sink.fd);
		log_sink_use(log_sink_open_standard());
	}
}

unsigned
log_sink_adopt(int fd)
{
	unsigned lost = 0;

	log_sink_flush();
	if (log_sink.midline && log_sink_waiting() > 0) {
		const char *bytes = log_sink.pending + log_sink.start;
		const char *lf = memchr(bytes, '\n', log_sink_waiting());

		log_sink.start = lf != NULL ? (size_t)(lf + 1 - log_sink.pending) : log_sink.end;
		lost = 1;
	}
	log_sink.midline = false;
	if (log_sink_is_file(log_sink.fd, log_sink.device, log_sink.inode))
		close(log_sink.fd);
	log_sink.adopted = true;
	log_sink_use(fd);
	log_sink_flush();
	return lost;
}

int
log_sink_fd(void)
{
	return log_sink.fd;
}

bool
log_sink_is_journal(void)
{
	return log_sink.journal;
}

bool
log_sink_standard_is_journal(void)
{
	struct stat sink;

	return fstat(STDERR_FILENO, &sink) == 0 && log_sink_finds_journal(&sink);
}

bool
log_sink_is_adopted(void)
{
	return log_sink.adopted;
}
