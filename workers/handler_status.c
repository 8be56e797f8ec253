/*
 * status: what the whole daemon is doing, as a page, as JSON, as metrics, and as a yes or no for
 * whoever sends requests here. What is told is made at most twenty times a second, however many
 * ask: figures are up to 50 ms old. Owns what was made last.
 */
#include "workers/handler.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "workers/monitor.h"
#include "workers/req.h"
#include "workers/req_web.h"
#include "workers/service.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define STATUS_AGE_MAX (50 * CLOCK_MS)
#define STATUS_TEXT    "text/plain; charset=utf-8"
#define STATUS_FIELDS                                                                              \
	"Cache-Control: no-store\r\n"                                                              \
	"X-Content-Type-Options: nosniff\r\n"
#define STATUS_POLICY                                                                              \
	"Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; style-src "           \
	"'nonce-%s'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "     \
	"frame-ancestors 'none'\r\n"                                                               \
	"Referrer-Policy: no-referrer\r\n"

enum handler_status_text { STATUS_PAGE, STATUS_JSON, STATUS_METRICS, STATUS_TEXTS };

/* Of this worker, whatever service was asked. */
static struct {
	struct monitor monitor; /* owns; valid where `made` is not 0 */
	uint64_t made;
	bool stopping;
	struct buf texts[STATUS_TEXTS]; /* owns; empty: not made yet */
	char fields[512];               /* of the page */
} handler_status_last;

/* ---- what is told ---- */

static void
handler_status_forget(void)
{
	for (unsigned i = 0; i < STATUS_TEXTS; i++)
		buf_free(&handler_status_last.texts[i]);
	monitor_close(&handler_status_last.monitor);
	handler_status_last.made = 0;
}

/* A worker that was told to leave hastily is one of a daemon that stops. */
static const struct monitor *
handler_status_look(const struct worker *worker)
{
	bool stopping = worker->draining && worker->hasty;

	if (handler_status_last.made != 0 &&
	    worker->now - handler_status_last.made < STATUS_AGE_MAX &&
	    handler_status_last.stopping == stopping)
		return &handler_status_last.monitor;
	handler_status_forget();
	handler_status_last.made = worker->now;
	handler_status_last.stopping = stopping;
	monitor_read(&handler_status_last.monitor, worker->start, stopping);
	return &handler_status_last.monitor;
}

/* Nobody can guess it, so nothing but our own script and style is ever allowed by it. */
static void
handler_status_make_nonce(char nonce[MONITOR_NONCE_MAX + 1])
{
	unsigned char random[MONITOR_NONCE_MAX / 2];

	/* Without one nothing is allowed, and the page is a plain table. */
	nonce[0] = '\0';
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(nonce + 2 * i, 3, "%02x", random[i]);
}

static void
handler_status_make_page(struct buf *text)
{
	char nonce[MONITOR_NONCE_MAX + 1];

	handler_status_make_nonce(nonce);
	snprintf(handler_status_last.fields, sizeof(handler_status_last.fields),
	    STATUS_FIELDS STATUS_POLICY, nonce, nonce);
	monitor_write_page(text, &handler_status_last.monitor, nonce);
}

static const struct buf *
handler_status_text(const struct worker *worker, enum handler_status_text what)
{
	const struct monitor *monitor = handler_status_look(worker);
	struct buf *text = &handler_status_last.texts[what];

	if (buf_length(text) > 0)
		return text;
	if (what == STATUS_PAGE)
		handler_status_make_page(text);
	else if (what == STATUS_JSON)
		monitor_write_json(text, monitor);
	else
		monitor_write_metrics(text, monitor);
	return text;
}

/* ---- replies ---- */

static void
handler_status_reply(struct req *req, const char *type, const char *fields, const struct buf *text)
{
	const struct req_web_answer answer = {.status = 200,
	    .type = type,
	    .fields = fields,
	    .body = buf_bytes(text),
	    .length = buf_length(text)};

	req_web_reply(req, &answer);
}

static void
handler_status_say(struct req *req, unsigned status, const char *fields, const char *text)
{
	const struct req_web_answer answer = {.status = status,
	    .type = STATUS_TEXT,
	    .fields = fields,
	    .body = text,
	    .length = strlen(text)};

	req_web_reply(req, &answer);
}

static void
handler_status_page(struct req *req)
{
	const struct buf *text = handler_status_text(req->service->worker, STATUS_PAGE);

	handler_status_reply(req, "text/html; charset=utf-8", handler_status_last.fields, text);
}

static void
handler_status_json(struct req *req)
{
	handler_status_reply(req, "application/json", STATUS_FIELDS,
	    handler_status_text(req->service->worker, STATUS_JSON));
}

static void
handler_status_metrics(struct req *req)
{
	handler_status_reply(req, MONITOR_METRICS_TYPE, STATUS_FIELDS,
	    handler_status_text(req->service->worker, STATUS_METRICS));
}

/* Whoever can ask and gets an answer knows all that this is to tell. */
static void
handler_status_health(struct req *req)
{
	handler_status_say(req, 200, STATUS_FIELDS, "ok\n");
}

/* Every service, or the one that ?service=NAME asks for; a line for each that is not ready. */
static void
handler_status_ready(struct req *req)
{
	const struct monitor *monitor = handler_status_look(req->service->worker);
	const char *name = "service=";
	const struct monitor_service *only = NULL;
	struct buf text = {0};
	bool ready = true;

	if (req->web->query_length > strlen(name) &&
	    memcmp(req->web->query, name, strlen(name)) == 0)
		only = monitor_find(
		    monitor, req->web->query + strlen(name), req->web->query_length - strlen(name));
	if (req->web->query_length > 0 && only == NULL) {
		handler_status_say(req, 404, STATUS_FIELDS, "no such service\n");
		return;
	}
	for (unsigned i = 0; i < monitor->service_count; i++) {
		const struct monitor_service *service = &monitor->services[i];

		if (service->verdict == MONITOR_READY || (only != NULL && only != service))
			continue;
		ready = false;
		monitor_print(&text, "service %s: %s\n", service->conf->name,
		    monitor_verdict_text(service->verdict));
	}
	if (ready)
		monitor_print(&text, "ready\n");
	buf_append(&text, "", 1);
	handler_status_say(req, ready ? 200 : 503,
	    ready ? STATUS_FIELDS : STATUS_FIELDS "Retry-After: 1\r\n", buf_bytes(&text));
	buf_free(&text);
}

/* ---- whom it is for ---- */

static const struct {
	const char *path;
	void (*reply)(struct req *req);
} handler_status_paths[] = {
    {"", handler_status_page},
    {"status.json", handler_status_json},
    {"metrics", handler_status_metrics},
    {"health", handler_status_health},
    {"ready", handler_status_ready},
};

/* /status is the page's folder without its slash: links from there would lead elsewhere. */
static bool
handler_status_is_folder(const struct req_web *web)
{
	return web->path_length == 0 && web->target_length > 0 &&
	       web->target[web->target_length - 1] != '/';
}

static void
handler_status_handle(struct req *req)
{
	const struct req_web *web = req->web;
	bool has_slash = web->path_length > 0 && web->path[0] == '/';
	const char *path = web->path + has_slash;

	if (strlen(path) == web->path_length - has_slash)
		for (size_t i = 0;
		     i < sizeof(handler_status_paths) / sizeof(handler_status_paths[0]); i++) {
			if (strcmp(path, handler_status_paths[i].path) != 0)
				continue;
			if (!web->is_get && !web->is_head)
				req_web_refuse(req, 405, STATUS_FIELDS "Allow: GET, HEAD\r\n");
			else if (handler_status_is_folder(web))
				req_web_add_slash(req, STATUS_FIELDS);
			else
				handler_status_paths[i].reply(req);
			return;
		}
	req_web_refuse(req, 404, STATUS_FIELDS);
}

extern const struct handler handler_status;
const struct handler handler_status = {
    .handle = handler_status_handle,
    .is_web = true,
};
