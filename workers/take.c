/*
 * The taker's side of a move. Owns the channels, and what has come of a connection that is not
 * whole yet. Says how many it has descriptors for before they come, so that it never has to send
 * one back; a connection for which it has no service is refused at once.
 */
#include "workers/take.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/frozen.h"
#include "workers/listener.h"
#include "workers/service.h"
#include "workers/worker_self.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAKE_CREDITS 256 /* of one giver at a time */
#define TAKE_PACKETS 64  /* read in one turn of the loop */

struct take {
	LIST_ENTRY(take) entry;            /* of worker->takes */
	struct worker *worker;             /* borrows */
	int channel;                       /* owns */
	struct event *readable, *writable; /* owns */
	uint64_t credits;                  /* that were granted and not used */
	uint64_t numbers;                  /* heads so far */

	/* The connection that is coming. */
	bool coming;
	struct move_head head;
	unsigned service;
	uint32_t refused; /* enum move_why; what comes of it is thrown away */
	bool welcome;     /* it has a place here */
	int fd;           /* owns; -1 */
	char *bytes;      /* owns */
	uint64_t got, whole;
};

/* ---- the end ---- */

static void
take_drop_coming(struct take *take)
{
	if (take->fd >= 0)
		close(take->fd);
	take->fd = -1;
	if (take->welcome)
		listener_released(&take->worker->services[take->service]);
	take->welcome = false;
	free(take->bytes);
	take->bytes = NULL;
	take->coming = false;
}

static void
take_free(struct take *take)
{
	take_drop_coming(take);
	take->worker->promised -= take->credits;
	LIST_REMOVE(take, entry);
	event_free(take->readable);
	event_free(take->writable);
	close(take->channel);
	free(take);
}

void
take_stop_all(struct worker *worker)
{
	struct take *take;

	while ((take = LIST_FIRST(&worker->takes)) != NULL)
		take_free(take);
}

/* ---- answers ---- */

/*
 * Grants as many as there is room for, but half of it is left to who connects: what was granted is
 * kept, however long the giver's last requests may take. Asked again by the tick, and with each
 * connection.
 */
static void
take_grant(struct take *take)
{
	struct worker *worker = take->worker;
	uint64_t room = worker_room(worker);
	struct move_answer credit = {.type = MOVE_CREDIT};

	if (take->credits > TAKE_CREDITS / 2)
		return;
	credit.number = TAKE_CREDITS - take->credits;
	if (credit.number > (room + 1) / 2)
		credit.number = (room + 1) / 2;
	if (credit.number == 0 || move_send(take->channel, &credit, sizeof(credit), -1) != MOVE_OK)
		return;
	take->credits += credit.number;
	worker->promised += credit.number;
}

void
take_tick(struct worker *worker)
{
	struct take *take;

	LIST_FOREACH (take, &worker->takes, entry)
		take_grant(take);
}

/*
 * The connection is whole: it is ours when that is said, or when there is nobody left to say it to:
 * the giver is dead, or it lives and has let go of what is whole, see give_abandon().
 * False when it cannot be said now.
 */
static bool
take_settle(struct take *take)
{
	struct move_answer answer = {.type = take->refused != 0 ? MOVE_REFUSED : MOVE_TAKEN,
	    .why = take->refused,
	    .number = take->numbers - 1};

	if (take->refused == 0 && !take->welcome) {
		listener_welcome(&take->worker->services[take->service]);
		take->welcome = true;
	}
	switch (move_send(take->channel, &answer, sizeof(answer), -1)) {
	case MOVE_AGAIN:
		event_del(take->readable);
		event_add(take->writable, NULL);
		return false;
	case MOVE_BROKEN:
		take_free(take); /* then it is the giver's, who hears our end */
		return false;
	default:
		break;
	}
	if (take->refused == 0) {
		frozen_thaw(take->worker, take->service, &take->head, take->bytes, take->fd);
		take->fd = -1;
		take->welcome = false;
	}
	take_drop_coming(take);
	if (take->refused != MOVE_NOT_NOW)
		take_grant(take); /* else by the tick: it would come again at once, and again */
	return true;
}

/* ---- what comes ---- */

static bool
take_has_all(const struct take *take)
{
	return take->coming && take->got == take->whole;
}

/* False when the giver broke the rules. */
static bool
take_on_head(struct take *take, const struct move_head *head, int fd)
{
	if (take->coming || take->credits == 0 || head->number != take->numbers) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	take->credits--;
	take->worker->promised--;
	take->numbers++;
	take->coming = true;
	take->head = *head;
	take->fd = fd;
	take->got = 0;
	take->whole = head->bytes;
	take->refused = fd < 0 ? MOVE_NOT_NOW : 0;
	if (take->refused == 0 && !frozen_fits(take->worker, head, &take->service))
		take->refused = MOVE_NEVER;
	/* The memory grows with what comes: a length is only a number. */
	return true;
}

static bool
take_on_bytes(struct take *take, const char *bytes, size_t length)
{
	if (!take->coming || length > take->whole - take->got)
		return false;
	if (take->refused == 0) {
		take->bytes = mem_resize(take->bytes, take->got + length, 1);
		memcpy(take->bytes + take->got, bytes, length);
	}
	take->got += length;
	return true;
}

/* One packet. False when nothing more can be done with this giver now. */
static bool
take_packet(struct take *take)
{
	static union move_packet packet;
	bool is_good = true;
	size_t length;
	int fd;

	switch (move_receive(take->channel, true, &packet, &length, &fd)) {
	case MOVE_OK:
	case MOVE_TRUNCATED:
		is_good = packet.type == MOVE_HEAD ? take_on_head(take, &packet.head, fd)
						   : take_on_bytes(take, packet.bytes.bytes,
							 length - move_bytes_length(0));
		break;
	case MOVE_AGAIN:
		return false;
	case MOVE_ENDED:
		take_free(take);
		return false;
	case MOVE_BROKEN:
		is_good = false;
		break;
	}
	if (is_good)
		return !take_has_all(take) || take_settle(take);
	log_warnx("a worker broke the rules of a move");
	take_free(take);
	return false;
}

static void
take_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct take *take = arg;

	(void)fd;
	(void)what;
	take->worker->now = clock_now();
	for (int i = 0; i < TAKE_PACKETS && take_packet(take); i++)
		continue;
}

static void
take_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct take *take = arg;

	(void)fd;
	(void)what;
	take->worker->now = clock_now();
	if (take_settle(take))
		event_add(take->readable, NULL);
}

void
take_on_order(struct worker *worker, const struct msg_take *order, int channel)
{
	struct take *take;

	(void)order;
	if (worker->draining) {
		close(channel);
		return;
	}
	take = mem_alloc(1, sizeof(*take));
	take->worker = worker;
	take->channel = channel;
	take->fd = -1;
	LIST_INSERT_HEAD(&worker->takes, take, entry);
	take->readable =
	    event_new(worker->base, channel, EV_READ | EV_PERSIST, take_on_readable, take);
	take->writable = event_new(worker->base, channel, EV_WRITE, take_on_writable, take);
	if (take->readable == NULL || take->writable == NULL ||
	    event_add(take->readable, NULL) != 0)
		fatalx("cannot watch a channel");
	take_grant(take);
}
