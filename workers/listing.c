/*
 * Lists the connections of this worker, the oldest first, a line of JSON each, into a file that the
 * master made. Owns nothing but the file for the time of the call; bounded by the master's number
 * and by the size of the file, so that it costs a few milliseconds at most.
 */
#include "workers/listing.h"

#include "common/addr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "common/mem.h"
#include "ipc/chan.h"
#include "workers/conn.h"
#include "workers/service.h"
#include "workers/worker.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct listing {
	struct worker *worker; /* borrows */
	struct buf text;       /* owns */
};

/* ---- one connection ---- */

static bool
listing_is_running(const struct conn_busy *busy)
{
	const struct req *req;

	TAILQ_FOREACH (req, &busy->reqs, in_conn)
		if (req->link != NULL)
			return true;
	return false;
}

static const char *
listing_state(const struct conn *conn, const struct conn_busy *busy)
{
	if (conn->state == CONN_LINGERING || conn->last_look || conn->drain_later)
		return "draining";
	if (busy->under_way > 0)
		return listing_is_running(busy) ? "running" : "waiting";
	if (buf_length(&busy->out) > 0)
		return "writing";
	return conn_is_partial(conn) ? "reading" : "idle";
}

/* The client's address; a path may have any byte. "-" when it has just left. */
static const char *
listing_peer(const struct conn *conn, char text[ADDR_TEXT_MAX * ESCAPE_MOST])
{
	struct addr addr = {.length = sizeof(addr.storage)};
	char plain[ADDR_TEXT_MAX];

	memset(&addr.storage, 0, sizeof(addr.storage));
	if (getpeername(conn->fd, (struct sockaddr *)&addr.storage, &addr.length) != 0)
		return "-";
	addr_format(&addr, plain);
	text[escape_text(text, plain, strlen(plain))] = '\0';
	return text;
}

static void
listing_add(struct listing *listing, const struct conn *conn)
{
	static const struct conn_busy nothing;
	const struct conn_busy *busy = conn->busy != NULL ? conn->busy : &nothing;
	const struct worker *worker = listing->worker;
	uint64_t age = worker->now / CLOCK_SECOND - conn->since;
	char peer[ADDR_TEXT_MAX * ESCAPE_MOST];
	json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "service",
	    conn->service->conf->name, "peer", listing_peer(conn, peer), "state",
	    listing_state(conn, busy), "age", (json_int_t)age, "requests",
	    (json_int_t)conn->requests, "under_way", (json_int_t)busy->under_way, "in",
	    (json_int_t)buf_length(&busy->in), "out", (json_int_t)buf_length(&busy->out));
	char *line = row != NULL ? json_dumps(row, JSON_COMPACT) : NULL;

	/* One that does not fit in a line is left out. */
	if (line != NULL && strlen(line) < MSG_LIST_LINE) {
		buf_append(&listing->text, line, strlen(line));
		buf_append(&listing->text, "\n", 1);
	}
	free(line);
	json_decref(row);
}

/* ---- all of them ---- */

static int
listing_compare(const void *a, const void *b)
{
	const struct conn *const *x = a, *const *y = b;

	return ((*x)->since > (*y)->since) - ((*x)->since < (*y)->since);
}

/* Connections that moved here are among younger ones: only the ages tell the order. */
static void
listing_collect(struct listing *listing, unsigned most)
{
	const struct worker *worker = listing->worker;
	const struct conn **all = mem_alloc(worker->open + 1, sizeof(*all));
	unsigned count = 0;

	for (unsigned i = 0; i < worker->start->conf->service_count; i++) {
		const struct conn *conn;

		TAILQ_FOREACH (conn, &worker->services[i].conns, in_service)
			if (count < worker->open)
				all[count++] = conn;
	}
	qsort(all, count, sizeof(*all), listing_compare);
	for (unsigned i = 0; i < count && i < most; i++)
		listing_add(listing, all[i]);
	free(all);
}

/* Returns how much of the text is in the file. */
static uint64_t
listing_save(struct buf *text, int file)
{
	uint64_t saved = 0;

	while (buf_length(text) > 0) {
		ssize_t n = pwrite(file, buf_bytes(text), buf_length(text), (off_t)saved);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		saved += (uint64_t)n;
		buf_consume(text, (size_t)n);
	}
	return saved;
}

void
listing_write(struct worker *worker, const struct msg_list *list, int file)
{
	struct listing listing = {.worker = worker};
	struct msg listed = {.type = MSG_LISTED, .listed.number = list->number};

	listing_collect(&listing, list->most < MSG_LIST_ROWS ? list->most : MSG_LIST_ROWS);
	listed.listed.length = listing_save(&listing.text, file);
	buf_free(&listing.text);
	close(file);
	if (chan_send(worker->start->channel, &listed, NULL) != CHAN_OK)
		log_debug("the list of connections was not sent");
}
