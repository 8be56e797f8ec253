/*
 * static: files of a folder, over HTTP alone. Small ones are read, the others go from the file to
 * the socket. Owns the descriptor of each service's folder.
 */
#include "workers/handler.h"

#include "common/clock.h"
#include "common/log.h"
#include "workers/req.h"
#include "workers/req_web.h"
#include "workers/service.h"
#include "workers/static_open.h"
#include "workers/static_type.h"
#include "workers/static_want.h"
#include "workers/web_date.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HANDLER_STATIC_SMALL  8192 /* bytes of a file that is read: of more that is dearer */
#define HANDLER_STATIC_FIELDS 512
#define HANDLER_STATIC_ALLOW  "Allow: GET, HEAD, OPTIONS\r\n"

/* ---- the folder ---- */

/*
 * A link may lead elsewhere by now, or the folder be a new one: it is looked at once a second. One
 * that is not there is looked for at each request, and told as often as the others.
 */
static int
handler_static_root(struct service *service)
{
	uint64_t now = service->worker->now;
	bool is_due = service->root_until <= now;

	if (service->root >= 0 && !is_due)
		return service->root;
	if (service->root >= 0)
		close(service->root);
	service->root = open(service->conf->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (is_due)
		service->root_until = now + CLOCK_SECOND;
	if (service->root < 0 && is_due)
		log_warn("service %s: %s", service->conf->name, service->conf->root);
	return service->root;
}

static void
handler_static_start(struct service *service)
{
	service->root = -1;
	(void)handler_static_root(service);
}

/* ---- the file ---- */

/* The path, with the index behind it where it is that of a folder. -1 with errno. */
static int
handler_static_open(struct service *service, const struct req_web *web)
{
	char path[REQ_WEB_PATH_MAX + 256];
	int root;

	if (!static_open_may(web->path, web->path_length)) {
		errno = ENOENT;
		return -1;
	}
	root = handler_static_root(service);
	if (root < 0)
		return -1;
	if (web->path_length > 0 && web->path[web->path_length - 1] != '/')
		return static_open(root, web->path);
	snprintf(path, sizeof(path), "%s%s", web->path, service->conf->index);
	return static_open(root, path);
}

/* ---- replies ---- */

static void
handler_static_refuse(struct req *req, int error)
{
	unsigned status = static_open_status(error);

	if (status == 500)
		log_warnx("service %s: a file cannot be read: %s", req->service->conf->name,
		    strerror(error));
	req_web_refuse(req, status, status == 503 ? "Retry-After: 1\r\n" : NULL);
}

/* A small file is sent as it is read; one that is written to meanwhile is asked for once more. */
static void
handler_static_read(struct req *req, struct req_web_answer *answer, int fd)
{
	char bytes[HANDLER_STATIC_SMALL];
	ssize_t n = pread(fd, bytes, answer->length, (off_t)answer->from);
	int error = n < 0 ? errno : EAGAIN;

	close(fd);
	if (n != (ssize_t)answer->length) {
		handler_static_refuse(req, error);
		return;
	}
	answer->body = bytes;
	req_web_reply(req, answer);
}

static void
handler_static_send(struct req *req, struct req_web_answer *answer, int fd)
{
	if (answer->length <= HANDLER_STATIC_SMALL && !req->web->is_head) {
		handler_static_read(req, answer, fd);
		return;
	}
	/* It stays open for as long as its client takes: never with what instances need. */
	if (!req->web->is_head && worker_room(req->service->worker) == 0) {
		close(fd);
		handler_static_refuse(req, EMFILE);
		return;
	}
	answer->has_file = true;
	answer->file = fd;
	req_web_reply(req, answer);
}

static void
handler_static_fields(char fields[HANDLER_STATIC_FIELDS], const struct static_kept *kept,
    const struct static_want *want)
{
	char date[WEB_DATE_MAX];
	int used = snprintf(fields, HANDLER_STATIC_FIELDS,
	    "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n"
	    "X-Content-Type-Options: nosniff\r\n",
	    web_date_write(date, kept->changed), kept->tag);

	if (want->status == 206)
		snprintf(fields + used, HANDLER_STATIC_FIELDS - (size_t)used,
		    "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", want->from,
		    want->from + want->length - 1, kept->size);
	else if (want->status == 416)
		snprintf(fields, HANDLER_STATIC_FIELDS, "Content-Range: bytes */%" PRIu64 "\r\n",
		    kept->size);
}

/* What is open is a regular file. */
static void
handler_static_answer(struct req *req, int fd, const struct stat *st, const char *type)
{
	char fields[HANDLER_STATIC_FIELDS];
	struct req_web_answer answer = {.type = type, .fields = fields};
	struct static_kept kept;
	struct static_want want;
	time_t now = time(NULL);

	static_want_describe(&kept, st, now);
	static_want_read(&want, req->web, &kept, now);
	handler_static_fields(fields, &kept, &want);
	answer.status = want.status;
	answer.from = want.from;
	answer.length = want.length;
	if (want.status == 200 || want.status == 206) {
		handler_static_send(req, &answer, fd);
		return;
	}
	close(fd);
	if (want.status != 304) {
		req_web_refuse(req, want.status, want.status == 416 ? fields : NULL);
		return;
	}
	answer.length = 0;
	req_web_reply(req, &answer);
}

static void
handler_static_get(struct req *req)
{
	const struct req_web *web = req->web;
	const char *index = req->service->conf->index;
	bool is_folder = web->path_length == 0 || web->path[web->path_length - 1] == '/';
	int fd = handler_static_open(req->service, web);
	struct stat st;

	if (fd < 0) {
		handler_static_refuse(req, errno);
		return;
	}
	memset(&st, 0, sizeof(st));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		handler_static_answer(req, fd, &st, static_type(is_folder ? index : web->path));
		return;
	}
	close(fd);
	if (S_ISDIR(st.st_mode) && !is_folder)
		req_web_add_slash(req, NULL);
	else
		handler_static_refuse(req, ENOENT);
}

static void
handler_static_handle(struct req *req)
{
	const struct req_web *web = req->web;

	if (web->is_options)
		req_web_reply(
		    req, &(struct req_web_answer){.status = 204, .fields = HANDLER_STATIC_ALLOW});
	else if (!web->is_get && !web->is_head)
		req_web_refuse(req, 405, HANDLER_STATIC_ALLOW);
	else if (web->path_length == 0 && web->target_length > 0)
		req_web_add_slash(req, NULL); /* to the path that led to the service */
	else
		handler_static_get(req);
}

extern const struct handler handler_static;
const struct handler handler_static = {
    .start = handler_static_start,
    .handle = handler_static_handle,
    .is_web = true,
};
