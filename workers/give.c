/*
 * The giver's side of a move. Owns the channel, and every connection that was sent and is not
 * TAKEN: when the taker dies those go on here. Takes no more from a client only while its last
 * requests are answered; a connection for which the taker has no room is served as ever.
 */
#include "workers/give.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/conn.h"
#include "workers/frozen.h"
#include "workers/give_self.h"
#include "workers/proto.h"
#include "workers/service.h"
#include "workers/worker.h"
#include "workers/worker_self.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GIVE_ANSWERS  256
#define GIVE_PATIENCE 2 /* ticks without one that moved */

/* A connection on its way. */
struct give_sent {
	TAILQ_ENTRY(give_sent) entry;
	struct conn *conn; /* owns, until it is TAKEN */
	struct move_head head;
	struct buf state; /* owns; until all is sent */
	bool head_sent;
	uint64_t offset; /* of state, input and output that was sent */
};

/* ---- the end ---- */

static void
give_free_sent(struct give *give, struct give_sent *sent)
{
	TAILQ_REMOVE(&give->sent, sent, entry);
	if (give->now == sent)
		give->now = NULL;
	buf_free(&sent->state);
	free(sent);
}

static void
give_take_back(struct give *give, struct give_sent *sent)
{
	struct move_head head = sent->head;
	struct conn *conn = sent->conn;

	give_free_sent(give, sent);
	frozen_undo(conn, &head);
	if (give->worker->hasty)
		conn_drain(conn, false);
}

/* Those that were waited for go on as ever. */
static void
give_unmark_all(struct give *give)
{
	struct worker *worker = give->worker;
	struct conn *conn;

	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		TAILQ_FOREACH (conn, &worker->services[i].conns, in_service) {
			if (!conn->leaving)
				continue;
			conn->leaving = false;
			conn_schedule(conn);
		}
	give->marked = 0;
}

bool
give_can_ever(const struct conn *conn)
{
	return !conn->stays && !conn->last_look && !conn->drain_later &&
	       conn->proto->freeze != NULL;
}

static uint64_t
give_count_rest(const struct worker *worker)
{
	const struct conn *conn;
	uint64_t count = 0;

	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		TAILQ_FOREACH (conn, &worker->services[i].conns, in_service)
			count += give_can_ever(conn);
	return count;
}

/*
 * The taker cannot be trusted, but it lives: what it has whole it may own already, and two owners
 * would be worse than none. It keeps them, or they end with it.
 */
static void
give_abandon(struct give *give)
{
	struct give_sent *sent;

	log_warnx("a worker broke the rules of a move");
	while ((sent = TAILQ_FIRST(&give->sent)) != NULL && sent != give->now) {
		struct conn *conn = sent->conn;

		give_free_sent(give, sent);
		frozen_let_go(conn);
	}
}

/* The taker says no more, or is gone: what it did not take is ours. */
static void
give_finish(struct give *give)
{
	struct worker *worker = give->worker;
	struct give_sent *sent;

	worker->give = NULL;
	while ((sent = TAILQ_FIRST(&give->sent)) != NULL)
		give_take_back(give, sent);
	give_unmark_all(give);
	event_free(give->readable);
	event_free(give->writable);
	close(give->channel);
	worker_send(worker,
	    &(struct msg){.type = MSG_GIVEN,
		.given = {
		    .order = give->order, .moved = give->moved, .rest = give_count_rest(worker)}});
	log_debug("%llu connections moved", (unsigned long long)give->moved);
	free(give);
	worker_check_drained(worker);
}

/* Nothing more goes; the taker answers what it has, then its end comes. */
static void
give_end(struct give *give)
{
	if (give->ended)
		return;
	give->ended = true;
	shutdown(give->channel, SHUT_WR);
}

void
give_stop(struct worker *worker)
{
	struct give *give = worker->give;

	if (give == NULL)
		return;
	give_unmark_all(give);
	give_end(give);
}

/* ---- sending ---- */

/* A piece of state, input and output, as if they were one. */
static size_t
give_fill(const struct give_sent *sent, char *piece)
{
	const struct conn_busy *busy = sent->conn->busy;
	const struct buf none = {0};
	const struct buf *parts[] = {
	    &sent->state, busy != NULL ? &busy->in : &none, busy != NULL ? &busy->out : &none};
	uint64_t offset = sent->offset;
	size_t filled = 0;

	for (int i = 0; i < 3; i++) {
		size_t length = buf_length(parts[i]), more;

		if (offset >= length) {
			offset -= length;
			continue;
		}
		more =
		    length - offset < MOVE_PIECE - filled ? length - offset : MOVE_PIECE - filled;
		memcpy(piece + filled, buf_bytes(parts[i]) + offset, more);
		filled += more;
		offset = 0;
	}
	return filled;
}

/* Sends what is left of the connection that is being sent. False when it cannot go on now. */
static bool
give_send(struct give *give)
{
	static struct move_bytes bytes = {.type = MOVE_BYTES};
	struct give_sent *sent = give->now;
	uint64_t whole = sent->head.state + sent->head.in + sent->head.out;
	enum move_result result = MOVE_OK;

	if (!sent->head_sent) {
		result = move_send(give->channel, &sent->head, sizeof(sent->head), sent->conn->fd);
		sent->head_sent = result == MOVE_OK;
	}
	while (result == MOVE_OK && sent->offset < whole) {
		size_t length = give_fill(sent, bytes.bytes);

		result = move_send(give->channel, &bytes, move_bytes_length(length), -1);
		if (result == MOVE_OK)
			sent->offset += length;
	}
	if (result == MOVE_OK) {
		buf_free(&sent->state);
		give->now = NULL;
		return true;
	}
	give->full = true;
	/* Where it failed its end comes by the event for reading, behind the last answers. */
	if (result == MOVE_AGAIN)
		event_add(give->writable, NULL);
	else
		give_stop(give->worker);
	return false;
}

/* It leaves the lists; whether it goes at once or waits for room in the channel. */
bool
give_connection(struct give *give, struct conn *conn)
{
	struct give_sent *sent = mem_alloc(1, sizeof(*sent));

	sent->conn = conn;
	frozen_make(conn, &sent->head, &sent->state);
	sent->head.number = give->numbers++;
	TAILQ_INSERT_TAIL(&give->sent, sent, entry);
	give->now = sent;
	return give_send(give);
}

void
give_quiet(struct conn *conn)
{
	struct give *give = conn->service->worker->give;

	give->marked--;
	if (give->now != NULL || give->full || !frozen_may(conn)) {
		/* It is served as ever until there is room. */
		conn->leaving = false;
		give->credits++;
		give->left++;
		give->look = true;
		conn_schedule(conn);
		return;
	}
	give_connection(give, conn);
}

void
give_left(struct conn *conn)
{
	struct give *give = conn->service->worker->give;

	conn->leaving = false;
	give->marked--;
	give->credits++;
	give->left++;
}

/* ---- turns ---- */

void
give_turn(struct worker *worker)
{
	struct give *give = worker->give;

	if (give == NULL || give->ended)
		return;
	if (give->now != NULL && !give->full)
		(void)give_send(give);
	if (give_look_may(give))
		give_look_turn(give);
	if (give->marked == 0 && give->now == NULL &&
	    (give->left == 0 || (!give->look && !give->looking)))
		give_end(give);
}

void
give_tick(struct worker *worker)
{
	struct give *give = worker->give;

	if (give == NULL)
		return;
	/* Who has not been looked at may be able to go, with another order or to another taker. */
	if ((give->look || give->looking) && (give->left == 0 || give->credits == 0) &&
	    give->moved == give->progress)
		give->held_up++;
	else
		give->held_up = 0;
	give->progress = give->moved;
	if (give->held_up >= GIVE_PATIENCE)
		give_stop(worker);
}

bool
give_may_sleep(const struct worker *worker)
{
	return worker->give == NULL || !give_look_may(worker->give);
}

/* ---- answers ---- */

static bool
give_answer(struct give *give, const struct move_answer *answer)
{
	struct give_sent *sent = TAILQ_FIRST(&give->sent);
	struct conn *conn;

	if (answer->type == MOVE_CREDIT) {
		if (answer->number > UINT32_MAX - give->credits)
			return false;
		give->credits += answer->number;
		return true;
	}
	/* One that it makes nothing of may be refused before it is whole. */
	if (sent == NULL || sent->head.number != answer->number ||
	    (sent == give->now && answer->type == MOVE_TAKEN))
		return false;
	conn = sent->conn;
	if (answer->type == MOVE_TAKEN) {
		give_free_sent(give, sent);
		frozen_let_go(conn);
		give->moved++;
		return true;
	}
	give_take_back(give, sent);
	give->left++;
	if (answer->why != MOVE_NEVER) {
		give_stop(give->worker); /* the master knows whether another one has room */
		return true;
	}
	conn->stays = true;
	/* What it is owed is seen when its input was looked at again, see conn_turn(). */
	if (give->worker->draining && (conn->busy == NULL || !conn->busy->held_back))
		conn_drain(conn, !give->worker->hasty);
	return true;
}

static void
give_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct give *give = arg;
	union move_packet packet;
	size_t length;

	(void)what;
	give->worker->now = clock_now();
	for (int i = 0; i < GIVE_ANSWERS; i++) {
		int none;

		switch (move_receive(fd, false, &packet, &length, &none)) {
		case MOVE_OK:
			if (give_answer(give, &packet.answer))
				break;
			/* fall through */
		case MOVE_BROKEN:
		case MOVE_TRUNCATED:
			give_abandon(give);
			/* fall through */
		case MOVE_ENDED:
			give_finish(give);
			return;
		case MOVE_AGAIN:
			return;
		}
	}
}

static void
give_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct give *give = arg;

	(void)fd;
	(void)what;
	give->worker->now = clock_now();
	give->full = false;
}

void
give_on_order(struct worker *worker, const struct msg_give *order, int channel)
{
	struct give *give;

	if (worker->give != NULL) {
		close(channel);
		worker_send(
		    worker, &(struct msg){.type = MSG_GIVEN,
				.given = {.order = order->order, .rest = give_count_rest(worker)}});
		return;
	}
	give = mem_alloc(1, sizeof(*give));
	give->worker = worker;
	give->channel = channel;
	give->order = order->order;
	give->left = order->most;
	give->look = true;
	TAILQ_INIT(&give->sent);
	worker->give = give;
	give->readable =
	    event_new(worker->base, channel, EV_READ | EV_PERSIST, give_on_readable, give);
	give->writable = event_new(worker->base, channel, EV_WRITE, give_on_writable, give);
	if (give->readable == NULL || give->writable == NULL ||
	    event_add(give->readable, NULL) != 0)
		fatalx("cannot watch a channel");
}
