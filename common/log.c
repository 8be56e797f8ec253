/*
 * The log of one process: what is said becomes a line (log_format.c), what repeats is held back
 * (log_limit.c), and lines go to their destination (log_sink.c). Owns the process's role and level.
 * Never waits, but for a moment in fatal(): a line that cannot be written now waits in a bounded
 * buffer or is dropped whole and counted.
 *
 * It calls nothing of ours but its own files and allocates without mem.c, because everybody else,
 * mem.c too, complains through it.
 */
#include "common/log.h"

#include "common/clock.h"
#include "common/log_format.h"
#include "common/log_limit.h"
#include "common/log_sink.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_FATAL_WAIT 1000 /* ms for the last words of a process */

static struct {
	enum log_level level;
	enum log_format format;
	char role[64];
	char *path;            /* owns; what is reopened; NULL for standard error */
	bool started;          /* what repeats is held back */
	unsigned long dropped; /* lines, since the last notice */
} log_state = {.level = LOG_LEVEL_INFO};

/* ---- lines ---- */

static bool
log_put(const struct log_event *event)
{
	static char line[LOG_FORMAT_LINE_MAX];
	size_t length;

	/* Whoever starts a daemon shall see why it does not, wherever its log goes. */
	if (!log_state.started && event->level == LOG_LEVEL_ERROR && log_sink_is_adopted()) {
		length =
		    log_format_line(line, log_state.format, log_sink_standard_is_journal(), event);
		log_sink_put_standard(line, length);
	}
	length = log_format_line(line, log_state.format, log_sink_is_journal(), event);
	return log_sink_put(line, length);
}

static bool
log_put_own(enum log_level level, const char *text, size_t length)
{
	struct log_event event = {.level = level,
	    .source = log_state.role,
	    .pid = getpid(),
	    .text = text,
	    .length = length};

	return log_put(&event);
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

	if (dropped == 0 || log_sink_waiting() > LOG_SINK_PENDING_MAX / 2)
		return;
	length =
	    snprintf(text, sizeof(text), "dropped %lu line%s", dropped, dropped == 1 ? "" : "s");
	if (log_put_own(LOG_LEVEL_WARN, text, (size_t)length))
		log_state.dropped = 0;
}

/* Behind lost lines nothing is written before the notice, so that the gap is where it was. */
static void
log_tell_held(void)
{
	struct log_limit_notice notice;
	uint64_t now = clock_now();

	while (log_state.dropped == 0 && log_limit_tell(now, &notice))
		if (!log_put_own(notice.level, notice.text, notice.length))
			log_state.dropped++;
}

static void
log_line(const struct log_event *event)
{
	int saved = errno;

	log_flush();
	if (log_state.dropped > 0 || !log_put(event))
		log_state.dropped++;
	errno = saved;
}

/* `with_errno` is the errno to tell, or 0. */
static void
log_say(enum log_level level, int with_errno, const char *format, va_list args)
{
	/* One byte more than fits, so that a cut is noticed. */
	static char text[LOG_FORMAT_TEXT_MAX + 2];
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
	if (log_state.started)
		log_tell_held();
	if (!log_state.started || log_limit_allows(format, level, text, used, clock_now()))
		log_line(&(struct log_event){.level = level,
		    .source = log_state.role,
		    .pid = getpid(),
		    .text = text,
		    .length = used});
	errno = saved;
}

/* ---- where to, and how ---- */

void
log_open(const char *role, enum log_level level)
{
	int saved = errno;

	log_state.dropped = 0;
	log_limit_forget();
	snprintf(log_state.role, sizeof(log_state.role), "%s", role);
	log_state.level = level;
	log_sink_open();
	errno = saved;
}

int
log_open_file(const char *path)
{
	return log_sink_open_file(path);
}

void
log_adopt(int fd)
{
	int saved = errno;

	log_state.dropped += log_sink_adopt(fd);
	errno = saved;
}

void
log_set_path(const char *path)
{
	free(log_state.path);
	log_state.path = path != NULL ? strdup(path) : NULL;
	if (path != NULL && log_state.path == NULL)
		log_warnx("out of memory: the log cannot be reopened");
}

bool
log_reopen(void)
{
	int fd;

	if (log_state.path == NULL)
		return true;
	fd = log_open_file(log_state.path);
	if (fd < 0) {
		log_warn("cannot reopen the log %s, so it stays where it is", log_state.path);
		return false;
	}
	log_adopt(fd);
	return true;
}

void
log_started(void)
{
	log_state.started = true;
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

void
log_set_format(enum log_format format)
{
	log_state.format = format;
}

enum log_format
log_get_format(void)
{
	return log_state.format;
}

int
log_fd(void)
{
	return log_sink_fd();
}

void
log_flush(void)
{
	int saved = errno;

	log_sink_flush();
	log_tell_dropped();
	log_tell_held();
	errno = saved;
}

/* ---- saying ---- */

void
log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_ERROR, errno, format, args);
	va_end(args);
}

void
log_errorx(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_ERROR, 0, format, args);
	va_end(args);
}

void
log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_WARN, errno, format, args);
	va_end(args);
}

void
log_warnx(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_WARN, 0, format, args);
	va_end(args);
}

void
log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_INFO, 0, format, args);
	va_end(args);
}

void
log_debug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_DEBUG, 0, format, args);
	va_end(args);
}

void
log_program(const char *service, long pid, const char *line, size_t length)
{
	log_line(&(struct log_event){.level = LOG_LEVEL_INFO,
	    .from_program = true,
	    .source = service,
	    .pid = pid,
	    .text = line,
	    .length = length});
}

const char *
log_error_prefix(void)
{
	return log_sink_standard_is_journal() ? "<3>" : "";
}

/* The one place that waits: these are the last words, and the process has nothing else to do. */
static void
log_flush_before_exit(void)
{
	struct pollfd ready = {.fd = log_fd(), .events = POLLOUT};

	log_flush();
	if (log_sink_waiting() > 0 && poll(&ready, 1, LOG_FATAL_WAIT) > 0)
		log_flush();
}

void
fatal(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_ERROR, errno, format, args);
	va_end(args);
	log_flush_before_exit();
	exit(1);
}

void
fatalx(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_say(LOG_LEVEL_ERROR, 0, format, args);
	va_end(args);
	log_flush_before_exit();
	exit(1);
}
