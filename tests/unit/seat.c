/* The parts of a worker, put together by hand. Owns what it opens; never forks. */
#include "tests/unit/seat.h"

#include "common/clock.h"
#include "common/mem.h"
#include "ipc/chan.h"
#include "workers/give.h"
#include "workers/handler.h"
#include "workers/listener.h"
#include "workers/route.h"
#include "workers/take.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void
seat_must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "seat: %s\n", what);
	abort();
}

/* ---- opening ---- */

static struct conf *
seat_configure(const char *text)
{
	struct conf_errors errors;
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct conf *conf = conf_parse_stream(file, "seat.conf", "/run/seat.sock", &errors);

	if (conf == NULL)
		conf_errors_print(&errors, stderr);
	conf_errors_free(&errors);
	fclose(file);
	seat_must(conf != NULL, "configured");
	seat_must(conf->service_count <= SEAT_SERVICES, "few services");
	return conf;
}

static void
seat_start(struct seat *seat, const char *text, enum backend backend, struct seat *beside)
{
	struct conf *conf = seat_configure(text);
	int ends[2];

	seat_must(chan_pair(ends) == 0, "a channel");
	seat->master = ends[0];
	seat->wake = -1;
	seat->sum = beside != NULL ? stats_hold(beside->sum) : stats_new(2);
	for (unsigned i = 0; i < conf->service_count; i++) {
		seat->stats[i] = beside != NULL ? stats_hold(beside->stats[i]) : stats_new(2);
		seat->listeners[i] = (struct worker_listener){.fd = -1, .service = i};
		seat->logs[i] = -1;
	}
	seat->start = (struct worker_start){.conf = conf,
	    .id = beside != NULL,
	    .ids = 2,
	    .backend = backend,
	    .max_connections = 1000,
	    .channel = ends[1],
	    .wakes = &seat->wake,
	    .wake_master = -1,
	    .listeners = seat->listeners,
	    .listener_count = conf->service_count,
	    .access_logs = seat->logs,
	    .stats = seat->stats,
	    .sum = seat->sum};
}

void
seat_open(struct seat *seat, const char *conf, enum backend backend, struct seat *beside)
{
	struct worker *worker = seat_worker(seat);
	unsigned count;

	memset(seat, 0, sizeof(*seat));
	seat_start(seat, conf, backend, beside);
	count = seat->start.conf->service_count;
	worker->start = &seat->start;
	worker->base = backend_open(backend, false);
	seat_must(worker->base != NULL, "a loop");
	watch_open(&worker->watch, backend);
	worker->epoll = -1;
	worker->now = clock_now();
	worker->sum = stats_row(seat->sum, seat->start.id);
	worker->scratch = mem_alloc(1, WORKER_SCRATCH);
	worker->services = mem_alloc(count, sizeof(*worker->services));
	worker->listeners = mem_alloc(count, sizeof(*worker->listeners));
	worker->listener_inodes = mem_alloc(count, sizeof(uint64_t));
	worker->fd_limit = 1000;
	TAILQ_INIT(&worker->turn);
	TAILQ_INIT(&worker->closed);
	LIST_INIT(&worker->takes);
	STAILQ_INIT(&seat->self.mails);
	for (unsigned i = 0; i < count; i++) {
		worker->listener_inodes[i] = SEAT_INODE + i;
		worker_open_service(worker, i);
	}
	route_open(worker);
}

/* ---- closing ---- */

static void
seat_close_service(struct service *service)
{
	const struct deadline_line *lines[] = {&service->idles, &service->silents,
	    &service->messages, &service->writes, &service->lingers, &service->limits};
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&service->conns)) != NULL)
		conn_close(conn, "the test is over");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		event_free(lines[i]->timer);
}

void
seat_close(struct seat *seat)
{
	struct worker *worker = seat_worker(seat);
	union {
		const struct conf *borrowed;
		struct conf *conf;
	} conf = {.borrowed = seat->start.conf};

	take_stop_all(worker);
	for (int i = 0; i < 100 && worker->give != NULL; i++)
		seat_turn(seat);
	seat_must(worker->give == NULL, "nothing is given any more");
	for (unsigned i = 0; i < conf.conf->service_count; i++)
		seat_close_service(&worker->services[i]);
	conn_free_closed(worker);
	seat_must(worker->open == 0 && worker->promised == 0, "no place is lost");
	seat_must(stats_row(seat->sum, seat->start.id)->open == 0, "nothing counts as open");
	event_base_free(worker->base);
	for (unsigned i = 0; i < conf.conf->service_count; i++)
		stats_free(seat->stats[i]);
	stats_free(seat->sum);
	free(worker->scratch);
	free(worker->services);
	free(worker->listeners);
	free(worker->listener_inodes);
	route_close(worker);
	close(seat->master);
	close(seat->start.channel);
	conf_free(conf.conf);
}

/* ---- turning ---- */

void
seat_turn(struct seat *seat)
{
	struct worker *worker = seat_worker(seat);

	seat_must(event_base_loop(worker->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0, "a round");
	worker_turn(worker);
}

struct conn *
seat_connect(struct seat *seat, unsigned service, int *client)
{
	int ends[2];

	seat_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
	    "a client");
	*client = ends[1];
	seat_worker(seat)->now = clock_now();
	listener_welcome(seat_service(seat, service));
	return conn_new(seat_service(seat, service), ends[0], (uint16_t)service);
}

struct conn *
seat_only(struct seat *seat, unsigned service)
{
	struct conn *conn = TAILQ_FIRST(&seat_service(seat, service)->conns);

	seat_must(conn == NULL || TAILQ_NEXT(conn, in_service) == NULL, "one connection at most");
	return conn;
}

/* ---- requests that wait ---- */

static struct req_list seat_held = TAILQ_HEAD_INITIALIZER(seat_held);

static void
seat_handle(struct req *req)
{
	req_keep(req);
	TAILQ_INSERT_TAIL(&seat_held, req, in_handler);
}

static void
seat_cancel(struct req *req)
{
	TAILQ_REMOVE(&seat_held, req, in_handler);
	req_drop(req);
}

void
seat_hold(struct seat *seat, unsigned service)
{
	static const struct handler holds = {.handle = seat_handle, .cancel = seat_cancel};

	seat_service(seat, service)->handler = &holds;
}

bool
seat_answer(void)
{
	struct req *req = TAILQ_FIRST(&seat_held);

	if (req == NULL)
		return false;
	TAILQ_REMOVE(&seat_held, req, in_handler);
	req_reply(req, req->data, req->length);
	return true;
}

static struct req *
seat_oldest(void)
{
	struct req *req = TAILQ_FIRST(&seat_held);

	seat_must(req != NULL, "one waits");
	return req;
}

void
seat_part(const char *text)
{
	req_part(seat_oldest(), text, strlen(text));
}

void
seat_whole(void)
{
	struct req *req = seat_oldest();

	TAILQ_REMOVE(&seat_held, req, in_handler);
	req_reply(req, NULL, 0);
}

struct req *
seat_take_newest(void)
{
	struct req *req = TAILQ_LAST(&seat_held, req_list);

	seat_must(req != NULL, "one waits");
	TAILQ_REMOVE(&seat_held, req, in_handler);
	return req;
}

void
seat_fail(enum outcome outcome)
{
	struct req *req = seat_oldest();

	TAILQ_REMOVE(&seat_held, req, in_handler);
	req_fail(req, outcome);
}

/* ---- moving ---- */

void
seat_move(struct seat *giver, struct seat *taker, uint64_t most)
{
	static uint64_t order;
	int ends[2];

	seat_must(chan_pair(ends) == 0, "a channel");
	order++;
	take_on_order(seat_worker(taker), &(struct msg_take){.order = order}, ends[0]);
	give_on_order(
	    seat_worker(giver), &(struct msg_give){.order = order, .most = most}, ends[1]);
}

bool
seat_given(struct seat *seat, struct msg_given *given)
{
	int fds[MSG_FDS_MAX];
	struct msg msg;

	while (chan_receive(seat->master, MSG_FROM_WORKER, &msg, fds) == CHAN_OK)
		if (msg.type == MSG_GIVEN) {
			*given = msg.given;
			return true;
		}
	return false;
}
