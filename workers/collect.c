/*
 * Gathers records and answers for them. Owns what has gathered and the ledger that it goes to;
 * never touches the file itself, which is the committer's alone, so nothing here waits for a disk.
 *
 * Requests stand in one list in the order of their records; a request's `end` is how many bytes
 * this worker had gathered up to it. Whatever is at work is the front of that list.
 */
#include "workers/collect.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/codec.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/committer.h"
#include "workers/service.h"
#include "workers/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With ack = none: so much is taken without making clients wait, so much at all. */
#define COLLECT_EASY (1 << 20)
#define COLLECT_MOST (64 << 20)
#define COLLECT_TELL CLOCK_SECOND /* between two words about records that were lost */
/* What the request of a record takes, more or less. */
#define COLLECT_REQ 512

/* Records one behind the other, as they will stand in the file. */
struct collect_batch {
	struct buf bytes;
	size_t *ends; /* owns */
	size_t count, capacity;
	size_t length;  /* of `bytes` */
	uint64_t start; /* how many bytes had gathered before */
};

struct collect {
	LIST_ENTRY(collect) entry; /* in collect_dirty */
	bool dirty;                /* there is something to do at the end of the turn */
	struct service *service;   /* borrows */
	struct committer *committer;
	struct event *done;             /* owns */
	struct ledger *ledger;          /* owns; NULL until the master has sent one */
	struct ledger *old;             /* owns; still at work on it, else NULL */
	uint32_t number, old_number;    /* of the files behind `ledger` and `old` */
	struct collect_batch gathering; /* owns */
	struct collect_batch working;   /* owns; empty unless `at_work` */
	struct committer_job job;
	bool at_work;
	struct req_list reqs; /* owns */
	unsigned waiting;     /* how many they are */
	unsigned round, room; /* more than its share of `queue`, in this turn of the worker */
	struct deadline_line late;
	size_t lost;           /* records, since it was told */
	const char *lost_what; /* what failed when the newest of them was */
	int lost_error;        /* and its errno, or 0 */
	uint64_t told;
};

static LIST_HEAD(, collect) collect_dirty = LIST_HEAD_INITIALIZER(collect_dirty);

static void
collect_schedule(struct collect *collect)
{
	if (collect->dirty)
		return;
	collect->dirty = true;
	LIST_INSERT_HEAD(&collect_dirty, collect, entry);
}

/* ---- records gather ---- */

static enum ledger_framing
collect_framing(const struct collect *collect)
{
	switch (collect->service->conf->protocol) {
	case PROTOCOL_LINE:
		return LEDGER_LINE;
	case PROTOCOL_FRAME:
		return LEDGER_FRAME;
	default:
		return LEDGER_BYTES;
	}
}

static void
collect_gather(struct collect *collect, const char *data, size_t length)
{
	struct collect_batch *batch = &collect->gathering;
	enum ledger_framing framing = collect_framing(collect);
	char head[CODEC_HEAD_MAX];
	size_t before = framing == LEDGER_FRAME ? codec_head(CODEC_FRAME, length, head) : 0;
	size_t after = framing == LEDGER_LINE;
	char *to = buf_reserve(&batch->bytes, before + length + after);

	memcpy(to, head, before);
	if (length > 0)
		memcpy(to + before, data, length);
	if (after > 0)
		to[before + length] = '\n';
	buf_added(&batch->bytes, before + length + after);
	batch->length += before + length + after;
	if (batch->count == batch->capacity) {
		batch->capacity = batch->capacity == 0 ? 64 : 2 * batch->capacity;
		batch->ends = mem_resize(batch->ends, batch->capacity, sizeof(*batch->ends));
	}
	batch->ends[batch->count++] = batch->length;
	collect_schedule(collect);
}

static void
collect_lose(struct collect *collect, size_t records, const char *what, int error)
{
	if (records == 0)
		return;
	stats_add(&collect->service->stats->counters[COUNTER_uncollected], records);
	collect->lost += records;
	collect->lost_what = what;
	collect->lost_error = error;
	collect_schedule(collect);
}

/*
 * `queue` is a total of all workers. Who has less than his share need not look at the others; who
 * has more looks once a turn.
 */
static bool
collect_has_room(struct collect *collect)
{
	struct service *service = collect->service;
	struct worker *worker = service->worker;
	unsigned queue = service->conf->queue, serving = stats_serving(worker->start->sum);
	uint64_t all;

	if (service->conf->ack == ACK_NONE)
		return collect->gathering.length + (size_t)collect->waiting * COLLECT_REQ <
		       COLLECT_MOST;
	if (collect->waiting < queue / (serving > 0 ? serving : 1))
		return true;
	if (collect->round != worker->round) {
		all = stats_under_way(worker->start->stats[service->index]);
		collect->round = worker->round;
		collect->room = all <= queue ? (unsigned)(queue - all) + 1 : 0;
	}
	if (collect->room == 0)
		return false;
	collect->room--;
	return true;
}

void
collect_add(struct collect *collect, struct req *req)
{
	const struct conf_service *conf = collect->service->conf;

	req->mute = conf->ack == ACK_NONE;
	if (collect->ledger == NULL || !collect_has_room(collect)) {
		collect_lose(collect, 1, "too many wait", 0);
		req_fail(req, collect->ledger == NULL ? OUTCOME_FAILED : OUTCOME_BUSY);
		return;
	}
	collect_gather(collect, req->data, req->length);
	if (req->mute && collect->gathering.length <= COLLECT_EASY) {
		req_finish_silently(req);
		return;
	}
	req->end = collect->gathering.start + collect->gathering.length;
	TAILQ_INSERT_TAIL(&collect->reqs, req, in_handler);
	collect->waiting++;
	if (!req->mute)
		deadline_set(&collect->late, &req->deadline,
		    collect->service->worker->now + conf->request_timeout);
}

static void
collect_remove(struct collect *collect, struct req *req)
{
	TAILQ_REMOVE(&collect->reqs, req, in_handler);
	collect->waiting--;
}

void
collect_forget(struct collect *collect, struct req *req)
{
	collect_remove(collect, req);
	req_drop(req);
}

/* Its record may be written all the same. */
static void
collect_on_late(struct deadline *deadline)
{
	struct req *req = (struct req *)(void *)((char *)deadline - offsetof(struct req, deadline));

	collect_remove(req->service->collect, req);
	req_fail(req, OUTCOME_TIMEOUT);
}

/* ---- and are written ---- */

static void
collect_empty(struct collect_batch *batch)
{
	buf_consume(&batch->bytes, batch->length);
	if (batch->capacity > 4096) {
		free(batch->ends);
		batch->ends = NULL;
		batch->capacity = 0;
	}
	batch->count = batch->length = 0;
}

static void
collect_start_work(struct collect *collect)
{
	const struct conf_service *conf = collect->service->conf;
	struct collect_batch spare = collect->working;
	struct req *req;

	collect->working = collect->gathering;
	collect->gathering = spare;
	collect->gathering.start = collect->working.start + collect->working.length;
	TAILQ_FOREACH (req, &collect->reqs, in_handler)
		req->granted = collect->service->worker->now;
	collect->job = (struct committer_job){.ledger = collect->ledger,
	    .records = {.bytes = buf_bytes(&collect->working.bytes),
		.ends = collect->working.ends,
		.count = collect->working.count},
	    .framing = collect_framing(collect),
	    .tail_max = (size_t)conf->max_message + LEDGER_WRITE_MAX,
	    .sync = conf->ack == ACK_SYNCED};
	collect->at_work = true;
	committer_give(collect->committer, &collect->job);
}

static void
collect_tell(struct collect *collect)
{
	const struct service *service = collect->service;
	uint64_t now = service->worker->now;

	if (collect->lost == 0 || (collect->told != 0 && now < collect->told + COLLECT_TELL))
		return;
	log_errorx("service %s: %zu message%s could not be collected in %s: %s%s%s",
	    service->conf->name, collect->lost, collect->lost == 1 ? "" : "s", service->conf->file,
	    collect->lost_what, collect->lost_error != 0 ? ": " : "",
	    collect->lost_error != 0 ? strerror(collect->lost_error) : "");
	collect->lost = 0;
	collect->told = now;
}

void
collect_turn(void)
{
	struct collect *collect = LIST_FIRST(&collect_dirty), *next;

	for (; collect != NULL; collect = next) {
		next = LIST_NEXT(collect, entry);
		if (!collect->at_work && collect->gathering.count > 0)
			collect_start_work(collect);
		collect_tell(collect);
		if (collect->lost > 0)
			continue;
		LIST_REMOVE(collect, entry);
		collect->dirty = false;
	}
}

/* ---- what became of it ---- */

static void
collect_answer(struct collect *collect, struct req *req, bool good)
{
	collect_remove(collect, req);
	if (!good)
		req_fail(req, OUTCOME_FAILED);
	else if (req->mute)
		req_finish_silently(req);
	else
		req_reply(req, "OK", 2);
}

/* Answering may close a connection and so take other requests out of the list. */
static void
collect_answer_all(struct collect *collect)
{
	const struct collect_batch *batch = &collect->working;
	uint64_t end = batch->start + batch->length, good = batch->start;
	struct req *req;

	if (collect->job.count > 0)
		good += batch->ends[collect->job.count - 1];
	while ((req = TAILQ_FIRST(&collect->reqs)) != NULL && req->end <= end)
		collect_answer(collect, req, req->end <= good);
}

static void
collect_count(struct collect *collect)
{
	const struct committer_job *job = &collect->job;
	_Atomic uint64_t *counters = collect->service->stats->counters;

	stats_add(&counters[COUNTER_collected], job->count);
	stats_add(&counters[COUNTER_syncs], job->syncs);
	if (job->count > 0)
		stats_add(&counters[COUNTER_collected_bytes], job->records.ends[job->count - 1]);
	collect_lose(collect, job->records.count - job->count, job->what, job->error);
}

static void
collect_note(const struct collect *collect)
{
	const struct conf_service *conf = collect->service->conf;

	if (collect->job.cut > 0)
		log_warnx("service %s: %llu bytes of a message that was not written whole are cut "
			  "from the end of %s",
		    conf->name, (unsigned long long)collect->job.cut, conf->file);
	if (collect->job.foreign != 0)
		log_warnx("service %s: somebody else %s %s: %lld bytes", conf->name,
		    collect->job.foreign > 0 ? "wrote to" : "cut", conf->file,
		    (long long)collect->job.foreign);
}

/* A file that is large enough, or was given up: the master has the right to put it aside. */
static void
collect_want_other(struct collect *collect)
{
	const struct service *service = collect->service;
	uint64_t most = service->conf->rotate_size;
	bool given_up = ledger_is_given_up(collect->job.ledger);

	if (collect->job.ledger != collect->ledger ||
	    (!given_up && (most == 0 || collect->job.size < most)) ||
	    !ledger_may_ask(collect->ledger, service->worker->now))
		return;
	worker_ask_file(service->worker, service->index, collect->number, given_up);
}

/* Nothing of this worker comes into the file any more. */
static void
collect_leave(struct collect *collect, struct ledger *ledger, uint32_t number)
{
	if (ledger == NULL)
		return;
	ledger_close(ledger);
	worker_leave_file(collect->service->worker, collect->service->index, number);
}

static void
collect_on_done(evutil_socket_t fd, short what, void *arg)
{
	struct collect *collect = arg;

	(void)fd;
	(void)what;
	if (!committer_take(collect->committer))
		return;
	collect->service->worker->now = clock_now();
	collect_count(collect);
	collect_note(collect);
	collect_want_other(collect);
	collect_answer_all(collect);
	collect_empty(&collect->working);
	collect->at_work = false;
	collect_leave(collect, collect->old, collect->old_number);
	collect->old = NULL;
	collect_schedule(collect);
	worker_check_drained(collect->service->worker);
}

bool
collect_is_busy(const struct collect *collect)
{
	return collect->at_work || collect->gathering.count > 0;
}

/* ---- start ---- */

void
collect_on_file(struct worker *worker, const struct msg_file *msg, int fds[MSG_FDS_MAX])
{
	struct collect *collect = NULL;
	struct ledger *ledger = ledger_open(fds[0], fds[1], fds[2]);

	if (msg->service < worker->start->conf->service_count)
		collect = worker->services[msg->service].collect;
	if (ledger == NULL)
		log_error("the file to collect in cannot be used");
	if (ledger == NULL || collect == NULL) {
		ledger_close(ledger);
		return;
	}
	/* What is at work goes on in the file that it began in. */
	if (collect->at_work && collect->old == NULL) {
		collect->old = collect->ledger;
		collect->old_number = collect->number;
	} else {
		collect_leave(collect, collect->ledger, collect->number);
	}
	collect->ledger = ledger;
	collect->number = msg->number;
}

struct collect *
collect_new(struct service *service)
{
	struct collect *collect = mem_alloc(1, sizeof(*collect));
	struct worker *worker = service->worker;

	collect->service = service;
	TAILQ_INIT(&collect->reqs);
	deadline_open(&collect->late, worker->base, &worker->now, collect_on_late);
	collect->committer = committer_new();
	if (collect->committer == NULL)
		fatal("service %s: cannot start the thread that writes", service->conf->name);
	collect->done = event_new(worker->base, committer_fd(collect->committer),
	    EV_READ | EV_PERSIST, collect_on_done, collect);
	if (collect->done == NULL || event_add(collect->done, NULL) != 0)
		fatalx("cannot watch a descriptor");
	return collect;
}
