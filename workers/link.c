/*
 * The exchange with one instance. Both directions are non-blocking and polled at once, so it cannot
 * end in a deadlock however much both sides have to say. Owns the pipes; decides nothing about who
 * is served.
 */
#include "workers/link.h"
#include "common/clock.h"
#include "common/mem.h"
#include "workers/program.h"
#include "workers/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * An instance that rests stays watched by the worker that had it last, which is likely to have it
 * next: so two system calls are saved. Its replies to another worker would then wake this one in
 * vain: when that happens once, it is not watched between the next so many leases.
 */
#define LINK_SHY 256

/* Who waited for less found the event there already. */
#define LINK_WAITED (CLOCK_MS / 100)
/* What it may take to wake an instance and to be woken by it: not for each message but for each
 * look. */
#define LINK_WAKING (CLOCK_MS / 20)

static void link_on_readable(evutil_socket_t fd, short what, void *arg);
static void link_on_writable(evutil_socket_t fd, short what, void *arg);

struct link *
link_new(struct program *program, const struct link_hooks *hooks, uint32_t slot,
    uint32_t incarnation, uint32_t pid, int in, int out)
{
	struct link *link = mem_alloc(1, sizeof(*link));
	struct event_base *base = program->service->worker->base;

	link->program = program;
	link->hooks = hooks;
	link->slot = slot;
	link->incarnation = incarnation;
	link->pid = pid;
	link->in = in;
	link->out = out;
	TAILQ_INIT(&link->reqs);
	link->lines.end = program->service->conf->reply_end;
	if (link->lines.end != NULL)
		link->lines.end_length = strlen(link->lines.end);
	event_assign(&link->read_event, base, out, EV_READ | EV_PERSIST, link_on_readable, link);
	event_assign(&link->write_event, base, in, EV_WRITE, link_on_writable, link);
	return link;
}

void
link_free(struct link *link)
{
	event_del(&link->read_event);
	event_del(&link->write_event);
	deadline_clear(&link->deadline);
	close(link->in);
	close(link->out);
	buf_free(&link->unwritten);
	buf_free(&link->reply);
	free(link);
}

/* ---- the lease ---- */

/* Anything there before a request was given is babble. */
static enum pool_reason
link_check_quiet(struct link *link)
{
	char byte;
	ssize_t n;

	do
		n = read(link->out, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return POOL_REASON_BABBLE;
	return n < 0 && errno == EAGAIN ? POOL_REASON_NONE : POOL_REASON_CLOSED;
}

enum pool_reason
link_take(struct link *link, const struct pool_grant *grant, bool quiet)
{
	enum pool_reason reason = POOL_REASON_NONE;

	if (!quiet)
		reason = link_check_quiet(link);
	link->held = reason == POOL_REASON_NONE;
	if (!link->held)
		return reason;
	link->grant = *grant;
	link->given = link->inside = 0;
	event_add(&link->read_event, NULL);
	return POOL_REASON_NONE;
}

void
link_rest(struct link *link)
{
	link->held = false;
	link->inside = 0;
	if (link->shy > 0) {
		link->shy--;
		event_del(&link->read_event);
	}
	event_del(&link->write_event);
	link->write_pending = false;
	deadline_clear(&link->deadline);
	buf_free(&link->unwritten);
	buf_free(&link->reply);
	link->scanned = 0; /* what was begun of `lines` ends with the instance */
}

/* request_timeout runs for the oldest message. */
static void
link_start_clock(struct link *link)
{
	struct program *program = link->program;
	uint64_t now = program->service->worker->now;
	uint64_t until = now + program->service->conf->request_timeout;

	link->asked_at = now;
	deadline_set(&program->running, &link->deadline, until);
	pool_set_deadline(program->pool, &link->grant, until);
}

/* ---- asking ---- */

static void
link_wait_writable(struct link *link)
{
	if (!link->write_pending)
		event_add(&link->write_event, NULL);
	link->write_pending = true;
}

/*
 * A write failed: the instance has closed its input. What follows happens in a callback of its own,
 * so that nobody up the stack finds the lease gone.
 */
static void
link_input_closed(struct link *link)
{
	link->input_closed = true;
	event_active(&link->write_event, EV_WRITE, 0);
}

void
link_flush(struct link *link)
{
	ssize_t n;

	if (buf_length(&link->unwritten) == 0 || link->write_pending || link->input_closed)
		return;
	n = write(link->in, buf_bytes(&link->unwritten), buf_length(&link->unwritten));
	if (n > 0) {
		link->written += (size_t)n;
		buf_consume(&link->unwritten, (size_t)n);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		link_input_closed(link);
		return;
	}
	if (buf_length(&link->unwritten) > 0)
		link_wait_writable(link);
}

/* Keeps what of the pieces is behind the first `done` bytes. */
static void
link_keep_unwritten(struct link *link, const struct iovec *pieces, int count, size_t done)
{
	for (int i = 0; i < count; i++) {
		size_t skip = done < pieces[i].iov_len ? done : pieces[i].iov_len;

		buf_append(
		    &link->unwritten, (char *)pieces[i].iov_base + skip, pieces[i].iov_len - skip);
		done -= skip;
	}
}

void
link_give(struct link *link, struct req *req, bool more)
{
	enum codec framing = link->program->service->conf->framing;
	char head[CODEC_HEAD_MAX], tail[CODEC_TAIL_MAX];
	struct iovec pieces[3] = {
	    {.iov_base = head, .iov_len = codec_head(framing, req->length, head)},
	    {.iov_base = (void *)(uintptr_t)req->data, .iov_len = req->length},
	    {.iov_base = tail, .iov_len = codec_tail(framing, false, tail)},
	};
	size_t total = pieces[0].iov_len + pieces[1].iov_len + pieces[2].iov_len;
	ssize_t n = 0;

	req->link = link;
	req->slot = link->slot;
	req->pid = link->pid;
	req->granted = link->program->service->worker->now;
	req->start = link->queued;
	req->end = link->queued += total;
	TAILQ_INSERT_TAIL(&link->reqs, req, in_handler);
	link->given++;
	if (link->inside++ == 0) {
		link_start_clock(link);
		link->since = clock_now(); /* the turn may have begun long ago */
	}
	if (!more && buf_length(&link->unwritten) == 0 && !link->input_closed) {
		/* The usual case: straight from where it was read, nothing is copied. */
		n = writev(link->in, pieces, 3);
		if (n == (ssize_t)total) {
			link->written += total;
			return;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			link_input_closed(link);
		n = n < 0 ? 0 : n;
		link->written += (size_t)n;
	}
	if (n == 0)
		req_keep(req); /* it may go to another instance yet */
	link_keep_unwritten(link, pieces, 3, (size_t)n);
	if (!more)
		link_flush(link);
}

bool
link_has_begun(const struct link *link, const struct req *req)
{
	return req->start < link->written;
}

bool
link_is_mute(const struct link *link, uint64_t now, uint64_t time)
{
	const struct req *oldest = TAILQ_FIRST(&link->reqs);
	int unread = 0;

	return !link->answered && oldest != NULL && link->asked_at + time < now &&
	       oldest->end <= link->written && ioctl(link->in, FIONREAD, &unread) == 0 &&
	       unread == 0;
}

/* ---- listening ---- */

/* One whole reply, or a line of one. Returns false when the lease ended over it. */
static bool
link_take_reply(struct link *link, const struct codec_message *reply)
{
	struct req *req = TAILQ_FIRST(&link->reqs);

	if (req->end > link->written) {
		link->hooks->on_broken(link, POOL_REASON_EARLY);
		return false;
	}
	if (reply->data != NULL && link->program->service->conf->stream) {
		link->answered = true;
		link->hooks->on_part(link, req, reply->data, reply->length);
		return true;
	}
	TAILQ_REMOVE(&link->reqs, req, in_handler);
	link->inside--;
	link->replies++;
	req->link = NULL;
	link->answered = true;
	link->hooks->on_reply(link, req, reply->data, reply->length);
	return true;
}

static enum codec_found
link_find_reply(struct link *link, const char *data, size_t length, struct codec_message *reply)
{
	const struct conf_service *conf = link->program->service->conf;

	if (conf->stream)
		return codec_find_next_line(&link->lines, data, length, conf->max_message, reply);
	if (link->lines.end != NULL)
		return codec_find_lines(&link->lines, data, length, conf->max_message, reply);
	return codec_find(conf->framing, data, length, conf->max_message, &link->scanned, reply);
}

/* All replies in the bytes. Returns how many bytes are a rest; the lease may be over. */
static size_t
link_take_replies(struct link *link, const char *data, size_t length)
{
	struct codec_message reply;
	size_t used = 0;

	while (used < length) {
		enum codec_found found;

		if (TAILQ_EMPTY(&link->reqs)) {
			link->hooks->on_broken(link, POOL_REASON_BABBLE);
			return 0;
		}
		found = link_find_reply(link, data + used, length - used, &reply);
		if (found != CODEC_MESSAGE) {
			if (found == CODEC_MORE)
				return length - used;
			link->hooks->on_broken(link, POOL_REASON_TOO_LARGE);
			return 0;
		}
		used += reply.used;
		if (!link_take_reply(link, &reply))
			return 0;
	}
	return 0;
}

static void
link_take_bytes(struct link *link, const char *data, size_t length)
{
	size_t rest;

	if (buf_length(&link->reply) == 0) {
		rest = link_take_replies(link, data, length);
		if (link->held && rest > 0)
			buf_append(&link->reply, data + length - rest, rest);
		return;
	}
	buf_append(&link->reply, data, length);
	rest = link_take_replies(link, buf_bytes(&link->reply), buf_length(&link->reply));
	if (link->held)
		buf_consume(&link->reply, buf_length(&link->reply) - rest);
}

/*
 * What the instance took for these replies at least. Who has more to do was at work all the time,
 * and who woke the worker had only just replied. Else the replies may have lain there since the
 * worker last looked.
 */
static uint64_t
link_least(const struct link *link)
{
	const struct worker *worker = link->program->service->worker;
	uint64_t looked = worker->turned, least;

	if (!TAILQ_EMPTY(&link->reqs) ||
	    (worker->waited != 0 && link->program->woken - worker->waited > LINK_WAITED))
		looked = worker->now;
	least = looked > link->since ? looked - link->since : 0;
	return least > LINK_WAKING ? least - LINK_WAKING : 0;
}

/* One read. Returns false when there is no more to read under this lease. */
static bool
link_read(struct link *link)
{
	struct worker *worker = link->program->service->worker;
	ssize_t n = read(link->out, worker->scratch, WORKER_SCRATCH);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		link->hooks->on_broken(link, POOL_REASON_CLOSED);
		return false;
	}
	if (n < 0)
		return errno == EINTR;
	link->replies = 0;
	link_take_bytes(link, worker->scratch, (size_t)n);
	if (link->held && link->replies > 0) {
		link->hooks->on_replies(
		    link, link_least(link), worker->now - link->since, link->replies);
		link->since = worker->now;
		if (!TAILQ_EMPTY(&link->reqs))
			link_start_clock(link);
	}
	if (link->held && TAILQ_EMPTY(&link->reqs)) {
		/* A full read may have left something: that would be babble. */
		enum pool_reason reason =
		    n < WORKER_SCRATCH ? POOL_REASON_NONE : link_check_quiet(link);

		if (reason == POOL_REASON_NONE)
			link->hooks->on_quiet(link);
		else
			link->hooks->on_broken(link, reason);
		return false;
	}
	return link->held;
}

static void
link_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;
	struct program *program = link->program;
	struct worker *worker = program->service->worker;

	(void)fd;
	(void)what;
	worker->now = clock_now();
	if (program->woken_round != worker->round) {
		program->woken_round = worker->round;
		program->woken = worker->now;
	}
	if (link->held) {
		link_read(link);
		return;
	}
	/* Another worker asked it, or it ended: whoever takes it finds out. */
	event_del(&link->read_event);
	link->shy = LINK_SHY;
}

static void
link_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;

	(void)fd;
	(void)what;
	link->write_pending = false;
	if (!link->held)
		return;
	link->program->service->worker->now = clock_now();
	if (link->input_closed)
		link->hooks->on_broken(link, POOL_REASON_CLOSED);
	else
		link_flush(link);
}

void
link_read_rest(struct link *link)
{
	/* Bounded: a pipe holds 64 KiB unless somebody enlarged it to at most 1 MiB. */
	for (int i = 0; i < 32 && link->held; i++)
		if (!link_read(link))
			return;
}
