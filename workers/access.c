/*
 * Writes the access logs of one worker. Owns their descriptors and buffers; never opens a file,
 * because the master has the right to and a worker may not. Costs nothing where none is asked for.
 */
#include "workers/access.h"
#include "common/addr.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "common/log_format.h"
#include "common/mem.h"
#include "ipc/msg.h"
#include "workers/conn.h"
#include "workers/req.h"
#include "workers/service.h"
#include "workers/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCESS_BUFFER 32768
#define ACCESS_LINE   1024             /* more than a line has without ACCESS_ASKED_MAX, escaped */
#define ACCESS_KEY    32               /* more than a key has, with what stands around it */
#define ACCESS_PAUSE  (100 * CLOCK_MS) /* until a file that took nothing is tried again */
#define ACCESS_TELL   (10 * CLOCK_SECOND) /* between two words about lost lines */

struct access {
	LIST_ENTRY(access) entry; /* in access_busy */
	bool busy;                /* there is something to write or to tell */
	const char *service;      /* borrows */
	int fd;                   /* owns */
	bool is_file;             /* else a write of more than PIPE_BUF may be torn */
	bool torn;                /* the newest line in the file lacks its end */
	char *lines;              /* owns; NULL until there is one */
	size_t used;
	uint64_t paused;    /* until then nothing is tried */
	unsigned long lost; /* lines, since it was told */
	int error;          /* errno of the newest failure */
	uint64_t told;
};

static const char *const access_outcomes[] = {
    [OUTCOME_PENDING] = "withdrawn",
    [OUTCOME_REPLY] = "reply",
    [OUTCOME_SILENT] = "silent",
    [OUTCOME_BUSY] = "busy",
    [OUTCOME_TIMEOUT] = "timeout",
    [OUTCOME_FAILED] = "failed",
    [OUTCOME_LIMITED] = "limited",
    [OUTCOME_TOO_LARGE] = "too-large",
    [OUTCOME_BAD] = "bad",
};

/* Else a line might be torn on its way through a pipe. */
_Static_assert(ACCESS_LINE + ESCAPE_JSON_MOST * ACCESS_ASKED_MAX <= PIPE_BUF, "lines are too long");

static LIST_HEAD(, access) access_busy = LIST_HEAD_INITIALIZER(access_busy);

static void
access_use(struct access *access, int fd)
{
	struct stat file;

	access->fd = fd;
	access->is_file = fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
	access->torn = false;
	access->paused = 0;
}

struct access *
access_new(const char *service, int fd)
{
	struct access *access;

	if (fd < 0)
		return NULL;
	access = mem_alloc(1, sizeof(*access));
	access->service = service;
	access_use(access, fd);
	return access;
}

/* ---- writing ---- */

static void
access_failed(struct access *access, uint64_t now)
{
	access->error = errno;
	access->paused = now + ACCESS_PAUSE;
}

/* As many whole lines as can be written in one piece, so that those of several workers do not mix.
 */
static size_t
access_chunk(const struct access *access, size_t from)
{
	size_t length = access->used - from;
	const char *lf;

	if (access->is_file || length <= PIPE_BUF)
		return length;
	lf = memrchr(access->lines + from, '\n', PIPE_BUF);
	return (size_t)(lf + 1 - (access->lines + from));
}

/* A line was written in part, as on a disk that is full: it is lost, and its rest is not kept. */
static size_t
access_skip_torn(struct access *access, size_t from)
{
	const char *lf = memchr(access->lines + from, '\n', access->used - from);

	access->torn = true;
	access->lost++;
	return (size_t)(lf + 1 - access->lines);
}

static void
access_write(struct access *access, uint64_t now)
{
	size_t done = 0;

	if (access->used == 0 || now < access->paused)
		return;
	if (access->torn) {
		if (write(access->fd, "\n", 1) != 1) {
			access_failed(access, now);
			return;
		}
		access->torn = false;
	}
	while (done < access->used) {
		size_t chunk = access_chunk(access, done);
		ssize_t n = write(access->fd, access->lines + done, chunk);

		if (n < 0 && errno == EINTR)
			continue;
		done += n > 0 ? (size_t)n : 0;
		if (n == (ssize_t)chunk)
			continue;
		if (n > 0)
			errno = ENOSPC; /* the next write would have said so */
		access_failed(access, now);
		if (done > 0 && access->lines[done - 1] != '\n')
			done = access_skip_torn(access, done);
		break;
	}
	access->used -= done;
	memmove(access->lines, access->lines + done, access->used);
}

static void
access_tell(struct access *access, uint64_t now)
{
	if (access->lost == 0 || (access->told != 0 && now < access->told + ACCESS_TELL))
		return;
	log_warnx("service %s: %lu line%s of its access log %s lost: %s", access->service,
	    access->lost, access->lost == 1 ? "" : "s", access->lost == 1 ? "is" : "are",
	    strerror(access->error));
	access->lost = 0;
	access->told = now;
}

static void
access_lose_rest(struct access *access)
{
	for (size_t i = 0; i < access->used; i++)
		access->lost += access->lines[i] == '\n';
	access->used = 0;
}

void
access_turn(const struct worker *worker)
{
	struct access *access = LIST_FIRST(&access_busy), *next;

	for (; access != NULL; access = next) {
		next = LIST_NEXT(access, entry);
		if (worker->done)
			access->paused = access->told = 0; /* the last chance for both */
		access_write(access, worker->now);
		if (worker->done)
			access_lose_rest(access);
		access_tell(access, worker->now);
		if (access->used > 0 || access->lost > 0)
			continue;
		LIST_REMOVE(access, entry);
		access->busy = false;
	}
}

/* ---- lines ---- */

char *
access_client(int fd)
{
	struct addr addr = {.length = sizeof(addr.storage)};
	char text[ADDR_TEXT_MAX];

	if (getpeername(fd, (struct sockaddr *)&addr.storage, &addr.length) != 0)
		return mem_strdup("-");
	return mem_strdup(addr_is_unix(&addr) ? "unix" : addr_format(&addr, text));
}

/* It may have left; then what is known of it went over to its requests. */
static const char *
access_name_client(const struct req *req)
{
	const char *client = req->conn != NULL ? req->conn->client : req->client;

	return client != NULL ? client : "-";
}

/* Seconds between two times of clock_now(). */
static double
access_seconds(uint64_t from, uint64_t to)
{
	return to > from ? (double)(to - from) / (double)CLOCK_SECOND : 0;
}

/* How long it waited for an instance, and how long it ran. */
static void
access_times(const struct req *req, double *queue, double *run)
{
	uint64_t ended = req->ended != 0 ? req->ended : req->service->worker->now;
	bool waits = req->service->program != NULL;
	uint64_t granted = req->granted != 0 ? req->granted : waits ? ended : req->arrived;

	*queue = access_seconds(req->arrived, granted);
	*run = access_seconds(granted, ended);
}

/* One more value. Text is escaped, and has no blanks of its own. Returns the bytes. */
static size_t
access_format_text(char *line, bool is_json, const char *key, const char *text, size_t length)
{
	size_t used = (size_t)snprintf(line, ACCESS_KEY, is_json ? ",\"%s\":\"" : " %s=", key);

	used += is_json ? escape_json(line + used, text, length)
			: escape_text(line + used, text, length);
	if (is_json)
		line[used++] = '"';
	return used;
}

/* What HTTP alone has, where it is known. The name is the client's own, of visible ASCII. */
static size_t
access_format_web(char *line, const struct req *req, unsigned status, bool is_json)
{
	const char *target = req->line != NULL ? strchr(req->line, ' ') : NULL;
	size_t used = 0;

	if (status != 0)
		used = (size_t)snprintf(
		    line, ACCESS_KEY, is_json ? ",\"status\":%u" : " status=%u", status);
	if (target != NULL) {
		used += access_format_text(
		    line + used, is_json, "method", req->line, (size_t)(target - req->line));
		used += access_format_text(
		    line + used, is_json, "target", target + 1, strlen(target + 1));
	}
	if (req->id != NULL)
		used += access_format_text(line + used, is_json, "id", req->id, strlen(req->id));
	return used;
}

/* The same values in the same order, whatever the format. */
static size_t
access_format(char *line, const struct req *req, const struct access_end *end)
{
	bool is_json = log_get_format() == LOG_FORMAT_JSON;
	const char *instance = is_json ? "null,\"pid\":null" : "-";
	char time[LOG_FORMAT_TIME_MAX], numbers[64];
	double queue, run;
	size_t used;

	log_format_time(time, is_json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
	access_times(req, &queue, &run);
	if (req->pid != 0) {
		snprintf(numbers, sizeof(numbers), is_json ? "%u,\"pid\":%u" : "%u/%u", req->slot,
		    req->pid);
		instance = numbers;
	}
	used = (size_t)snprintf(line, ACCESS_LINE,
	    is_json ? "{\"time\":\"%s\",\"service\":\"%s\",\"client\":\"%s\",\"outcome\":\"%s\","
		      "\"in\":%zu,\"out\":%zu,\"queue\":%.6f,\"run\":%.6f,\"instance\":%s"
		    : "%s %s %s %s in=%zu out=%zu queue=%.6f run=%.6f instance=%s",
	    time, req->service->conf->name, access_name_client(req), access_outcomes[end->outcome],
	    req->length, end->out, queue, run, instance);
	used += access_format_web(line + used, req, end->status, is_json);
	if (is_json)
		line[used++] = '}';
	line[used++] = '\n';
	return used;
}

void
access_note(struct access *access, const struct req *req, const struct access_end *end)
{
	size_t asked = req->line != NULL ? strlen(req->line) : 0;
	size_t room = ACCESS_LINE + ESCAPE_JSON_MOST * asked;
	uint64_t now = req->service->worker->now;
	char *line;

	if (access->lines == NULL)
		access->lines = mem_alloc(1, ACCESS_BUFFER);
	if (!access->busy)
		LIST_INSERT_HEAD(&access_busy, access, entry);
	access->busy = true;
	if (access->used + room > ACCESS_BUFFER)
		access_write(access, now);
	if (access->used + room > ACCESS_BUFFER) {
		access->lost++;
		return;
	}
	line = access->lines + access->used;
	access->used += access_format(line, req, end);
}

/* ---- a new descriptor ---- */

void
access_on_log(struct worker *worker, const struct msg_log *msg, int fd)
{
	struct access *access = NULL;

	if (msg->service == MSG_LOG_DAEMON) {
		log_set_level((enum log_level)msg->level);
		log_set_format((enum log_format)msg->format);
		log_adopt(fd);
		return;
	}
	if (msg->service < worker->start->conf->service_count)
		access = worker->services[msg->service].access;
	if (access == NULL) {
		close(fd);
		return;
	}
	access->paused = 0;
	access_write(access, worker->now);
	close(access->fd);
	access_use(access, fd);
}
