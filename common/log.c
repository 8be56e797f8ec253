/*
 * The log of one process. Owns its own open file description of standard error and the lines that
 * are still to be written. Never waits, but for a moment in fatal(): a line that cannot be written
 * now stays whole in a bounded buffer or is dropped whole and counted.
 *
 * It calls nothing of ours and allocates without mem.c, because everybody else, mem.c too,
 * complains through it.
 */
#include "common/log.h"

#include "common/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_TEXT_MAX    16384 /* bytes of one text, before bytes are escaped */
#define LOG_HEAD_MAX    512   /* bytes of time, level and role, before bytes are escaped */
#define LOG_LINE_MAX    (ESCAPE_MOST * (LOG_TEXT_MAX + LOG_HEAD_MAX) + 1)
#define LOG_PENDING_MAX (256 * 1024) /* bytes that may wait */
#define LOG_CUT         "..."        /* stands where the rest of a longer text was cut */
#define LOG_FATAL_WAIT  1000         /* ms for the last words of a process */

/* How the log reaches standard error. */
enum log_sink {
	LOG_SINK_SHARED, /* a descriptor shared with others, maybe blocking: ask poll(2) first */
	LOG_SINK_OWN,    /* opened anew, non-blocking */
	LOG_SINK_SOCKET  /* cannot be opened anew, but each send can be non-blocking */
};

static struct {
	int fd; /* owns; -1 before log_open() */
	enum log_sink sink;
	bool journal; /* standard error is the journal, which notes the time itself */
	dev_t device; /* what fd was when it was opened */
	ino_t inode;
	enum log_level level;
	char role[64];
	char
	    *pending; /* owns; whole lines, but the first may lack its beginning; NULL when empty */
	size_t start, end;     /* the bytes of `pending` that wait */
	unsigned long dropped; /* lines, since the last notice */
} log_state = {.fd = -1, .level = LOG_LEVEL_INFO};

static const struct {
	const char *name;
	int priority; /* of syslog(3) */
} log_levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

/* One write that does not block. Any failure means "later": it may be mended, and room is bounded.
 */
static size_t
log_write(const char *bytes, size_t length)
{
	struct pollfd ready = {.events = POLLOUT};
	ssize_t n;

	ready.fd = log_state.fd >= 0 ? log_state.fd : STDERR_FILENO;
	if (log_state.sink == LOG_SINK_SHARED) {
		if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
			return 0;
		/* What poll(2) promises is room for so much. */
		if (length > PIPE_BUF)
			length = PIPE_BUF;
	}
	do {
		n = log_state.sink == LOG_SINK_SOCKET
			? send(ready.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
			: write(ready.fd, bytes, length);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

/*
 * As many whole lines as a pipe takes in one piece, so that lines of several processes do not mix;
 * of a longer line, all.
 */
static size_t
log_chunk(const char *bytes, size_t length)
{
	const char *lf;

	if (bytes == NULL || length <= PIPE_BUF)
		return length;
	lf = memrchr(bytes, '\n', PIPE_BUF);
	if (!lf)
		lf = memchr(bytes, '\n', length);
	return lf ? (size_t)(lf - bytes) + 1 : length;
}

static void
log_write_pending(void)
{
	size_t n = 1;

	while (n > 0 && log_state.start < log_state.end) {
		const char *bytes = log_state.pending + log_state.start;

		n = log_write(bytes, log_chunk(bytes, log_state.end - log_state.start));
		log_state.start += n;
	}
	if (log_state.start == log_state.end) {
		free(log_state.pending);
		log_state.pending = NULL;
		log_state.start = log_state.end = 0;
	}
}

static size_t
log_waiting(void)
{
	return log_state.end - log_state.start;
}

/* Keeps the line, or what is left of it, for later; false when there is no room. */
static bool
log_keep(const char *line, size_t length)
{
	if (length > LOG_PENDING_MAX - log_waiting())
		return false;
	if (!log_state.pending)
		log_state.pending = malloc(LOG_PENDING_MAX);
	if (!log_state.pending)
		return false;
	if (length > LOG_PENDING_MAX - log_state.end) {
		memmove(log_state.pending, log_state.pending + log_state.start, log_waiting());
		log_state.end = log_waiting();
		log_state.start = 0;
	}
	memcpy(log_state.pending + log_state.end, line, length);
	log_state.end += length;
	return true;
}

/* Writes a line behind those that wait, as far as it goes; false when there was no room for it. */
static bool
log_put(const char *line, size_t length)
{
	size_t written = 0;
	size_t n = 1;

	while (n > 0 && written < length && log_waiting() == 0) {
		n = log_write(line + written, length - written);
		written += n;
	}
	return written == length || log_keep(line + written, length - written);
}

/* "2026-11-22 00:05:37.123 info  ", or "<6>" for the journal. Returns the length. */
static size_t
log_format_head(char head[LOG_HEAD_MAX], enum log_level level)
{
	struct timespec now;
	struct tm local;
	size_t used;

	if (log_state.journal)
		return (size_t)snprintf(head, LOG_HEAD_MAX, "<%d>", log_levels[level].priority);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	used = strftime(head, LOG_HEAD_MAX, "%F %T", &local);
	used += (size_t)snprintf(head + used, LOG_HEAD_MAX - used, ".%03ld %-5s ",
	    now.tv_nsec / 1000000, log_levels[level].name);
	return used;
}

static bool
log_put_text(enum log_level level, const char *source, const char *text, size_t length)
{
	static char line[LOG_LINE_MAX];
	char head[LOG_HEAD_MAX];
	bool cut = length > LOG_TEXT_MAX;
	size_t used = log_format_head(head, level);

	if (source[0] != '\0')
		used += (size_t)snprintf(head + used, sizeof(head) - used, "%s: ", source);
	if (used >= sizeof(head))
		used = sizeof(head) - 1;
	used = escape_text(line, head, used);
	used += escape_text(line + used, text, cut ? LOG_TEXT_MAX - strlen(LOG_CUT) : length);
	if (cut)
		used += escape_text(line + used, LOG_CUT, strlen(LOG_CUT));
	line[used++] = '\n';
	return log_put(line, used);
}

/*
 * Tells how many lines were lost. It waits until half of the buffer is free, so that a slow reader
 * is told once about many lines and not many times about one.
 */
static void
log_tell_dropped(void)
{
	unsigned long dropped = log_state.dropped;
	char text[64];
	int length;

	if (dropped == 0 || log_waiting() > LOG_PENDING_MAX / 2)
		return;
	length =
	    snprintf(text, sizeof(text), "dropped %lu line%s", dropped, dropped == 1 ? "" : "s");
	if (log_put_text(LOG_LEVEL_WARN, log_state.role, text, (size_t)length))
		log_state.dropped = 0;
}

static void
log_line(enum log_level level, const char *source, const char *text, size_t length)
{
	int saved = errno;

	log_flush();
	/* Behind lost lines nothing is written before the notice, so that the gap is where it was.
	 */
	if (log_state.dropped > 0 || !log_put_text(level, source, text, length))
		log_state.dropped++;
	errno = saved;
}

/* `with_errno` is the errno to tell, or 0. */
static void
log_format(enum log_level level, int with_errno, const char *format, va_list args)
{
	static char text[LOG_TEXT_MAX + 2]; /* one byte more than fits, so that a cut is noticed */
	int saved = errno;
	int length;
	size_t used;

	if (level > log_state.level)
		return;
	length = vsnprintf(text, sizeof(text), format, args);
	used = length < 0 ? 0 : (size_t)length;
	if (used >= sizeof(text))
		used = sizeof(text) - 1;
	if (with_errno && used < sizeof(text)) {
		length = snprintf(text + used, sizeof(text) - used, ": %s", strerror(with_errno));
		used += (size_t)length;
		if (used >= sizeof(text))
			used = sizeof(text) - 1;
	}
	log_line(level, log_state.role, text, used);
	errno = saved;
}

static bool
log_same_file(int fd, dev_t device, ino_t inode)
{
	struct stat now;

	return fd >= 0 && fstat(fd, &now) == 0 && now.st_dev == device && now.st_ino == inode;
}

/* $JOURNAL_STREAM names the socket that systemd gave us; it is ours only while they are the same.
 */
static bool
log_is_journal(const struct stat *error)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	int end = 0;

	if (!stream || sscanf(stream, "%llu:%llu%n", &device, &inode, &end) != 2)
		return false;
	return stream[end] == '\0' && error->st_dev == device && error->st_ino == inode;
}

/* Never one of the descriptors 0 to 2, which belong to everybody. */
static int
log_move_up(int fd)
{
	int higher;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return higher;
}

static void
log_open_sink(void)
{
	struct stat error;

	log_state.fd = -1;
	log_state.sink = LOG_SINK_SHARED;
	log_state.journal = false;
	if (fstat(STDERR_FILENO, &error) < 0)
		return;
	log_state.device = error.st_dev;
	log_state.inode = error.st_ino;
	log_state.journal = log_is_journal(&error);
	if (S_ISSOCK(error.st_mode)) {
		log_state.sink = LOG_SINK_SOCKET;
	} else if (S_ISREG(error.st_mode)) {
		/* A file never blocks, and who else writes to it shares the place with us. */
		log_state.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		log_state.sink = LOG_SINK_OWN;
	} else {
		log_state.fd = log_move_up(open(
		    "/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
		if (log_state.fd >= 0)
			log_state.sink = LOG_SINK_OWN;
	}
	if (log_state.fd < 0)
		log_state.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

void
log_open(const char *role, enum log_level level)
{
	int saved = errno;

	/* What waits was said by the parent, who will write it. */
	free(log_state.pending);
	log_state.pending = NULL;
	log_state.start = log_state.end = 0;
	log_state.dropped = 0;
	snprintf(log_state.role, sizeof(log_state.role), "%s", role);
	log_state.level = level;
	/*
	 * Whoever has dropped privileges may not be allowed to open it again, so a log that still
	 * leads to standard error is kept; one that was closed behind our back is not closed twice.
	 */
	if (!log_same_file(log_state.fd, log_state.device, log_state.inode)) {
		log_open_sink();
	} else if (!log_same_file(STDERR_FILENO, log_state.device, log_state.inode)) {
		close(log_state.fd);
		log_open_sink();
	}
	errno = saved;
}

void
log_set_level(enum log_level level)
{
	log_state.level = level;
}

enum log_level
log_get_level(void)
{
	return log_state.level;
}

int
log_fd(void)
{
	return log_state.fd;
}

void
log_flush(void)
{
	int saved = errno;

	log_write_pending();
	log_tell_dropped();
	errno = saved;
}

void
log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_ERROR, errno, format, args);
	va_end(args);
}

void
log_errorx(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_ERROR, 0, format, args);
	va_end(args);
}

void
log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_WARN, errno, format, args);
	va_end(args);
}

void
log_warnx(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_WARN, 0, format, args);
	va_end(args);
}

void
log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_INFO, 0, format, args);
	va_end(args);
}

void
log_debug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_DEBUG, 0, format, args);
	va_end(args);
}

void
log_program(const char *service, long pid, const char *line, size_t length)
{
	char source[LOG_HEAD_MAX / 2];

	snprintf(source, sizeof(source), "%s/%ld", service, pid);
	log_line(LOG_LEVEL_INFO, source, line, length);
}

/* The one place that waits: these are the last words, and the process has nothing else to do. */
static void
log_flush_before_exit(void)
{
	struct pollfd ready = {.fd = log_state.fd, .events = POLLOUT};

	log_flush();
	if (log_waiting() > 0 && poll(&ready, 1, LOG_FATAL_WAIT) > 0)
		log_flush();
}

void
fatal(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_ERROR, errno, format, args);
	va_end(args);
	log_flush_before_exit();
	exit(1);
}

void
fatalx(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_LEVEL_ERROR, 0, format, args);
	va_end(args);
	log_flush_before_exit();
	exit(1);
}
