/*
 * A client's connection: bytes in, bytes out, and when it ends. Knows nothing of what the bytes
 * mean.
 *
 * Events only note what happened; the work is done once a turn in conn_turn(): read, let the
 * protocol take messages, write. So however many replies a turn brings, they leave in one write.
 */
#ifndef WORKERS_CONN_H
#define WORKERS_CONN_H

#include "common/buf.h"
#include "workers/req.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct proto;
struct worker;

enum conn_state {
	CONN_OPEN,
	CONN_LINGERING, /* everything was said; what still comes is read and thrown away */
	CONN_MOVING,    /* frozen: another worker may have it already, see frozen.h */
	CONN_CLOSED     /* freed at the end of the turn */
};

/* The end of a reply that is a file: it goes out behind all that is in `out`. */
struct conn_file {
	int fd; /* owns, while `left` is not 0 */
	uint64_t at, left;
	int64_t taken; /* bytes that the client had, when the write deadline was set */
};

/*
 * What a connection has only while something is going on: from the event that wakes it until all
 * is answered and written. An idle one is `struct conn` alone, and tens of thousands may be idle.
 */
struct conn_busy {
	TAILQ_ENTRY(conn_busy) in_turn; /* or in the free list */
	struct conn *conn;              /* borrows */
	struct event write_event;
	struct buf in; /* input that is no whole message yet, or is held back */
	struct buf out;
	struct conn_file file;
	size_t scanned;       /* for the codec */
	void *state;          /* owns, by proto->drop(); what else the protocol keeps */
	struct req_list reqs; /* owns; in the client's order */
	unsigned under_way;   /* how many they are */
	unsigned taken;       /* messages, in this turn */
	unsigned round;       /* of worker->round, when it was scheduled */
	unsigned status;      /* of HTTP: of the newest reply; 0: none since it was taken up */
	size_t body;          /* of that reply: bytes */
	struct deadline write;
	uint64_t written;       /* bytes, since it is busy */
	uint64_t write_mark;    /* `written` when all that the write deadline is for was taken */
	uint64_t message_since; /* when the unfinished message began; 0 when there is none */
	ssize_t last_bytes;     /* unread since before it drained; negative: newer ones came */

	bool partial;       /* the protocol keeps a part of a message that is in `in` no more */
	bool scheduled;     /* it is in worker->turn */
	bool turning;       /* conn_turn() is at work */
	bool held_back;     /* whole messages may wait in `in` */
	bool holds;         /* no message is taken before nothing is under way any more */
	bool write_pending; /* write_event is added */
};

struct conn {
	TAILQ_ENTRY(conn) in_service; /* or in worker->closed */
	struct service *service;      /* borrows */
	const struct proto *proto;    /* borrows; what is spoken on it now */
	struct conn_busy *busy;       /* owns; NULL while it is idle */
	char *client;                 /* owns; its address for the access log; NULL without one */
	struct event read_event;
	struct deadline wait; /* idle, or for the rest of a message, or lingering */
	int fd;               /* owns */
	uint32_t requests;    /* that came on it */
	uint32_t since;       /* when it was accepted: seconds of clock_now() */
	uint16_t listener;    /* by which of worker->listeners it came */
	uint16_t visitor;     /* see visit.h */

	enum conn_state state : 2;
	bool readable : 1;    /* there may be something to read */
	bool closed_hint : 1; /* the kernel said that the client has shut its side */
	bool eof : 1;         /* and we read to that end */
	bool input_ended : 1; /* no more messages are taken */
	bool last_look : 1;   /* draining: take what is there now, then no more */
	bool drain_later : 1; /* as soon as the message that it is at is whole */
	bool was_asked : 1;   /* a message came on it; since drain_later, if that is set */
	bool linger : 1;      /* the client may still be sending when we close */
	bool leaving : 1; /* it moves as soon as nothing is under way; no more is taken before */
	bool stays : 1;   /* nobody else can have it */
	bool turned_away : 1; /* too many of its address: it is told so */
	bool cut : 1;         /* a reply broke off: it closes in its turn, and no more is said */
	bool said_bye : 1;    /* proto->bye() was called */
	bool pinged : 1;      /* it was silent and asked whether it is there; nothing came since */
};

#define CONN_LINGER_TIME (2 * CLOCK_SECOND)

/* Takes over an accepted, non-blocking descriptor, for which a place was taken. */
struct conn *conn_new(struct service *service, int fd, uint16_t listener);
/* The one door out; `why` is for the debug log. */
void conn_close(struct conn *conn, const char *why);

/* There is something to do in this turn. */
void conn_schedule(struct conn *conn);
void conn_turn(struct conn *conn);
/* The end of its turn: one with nothing to do becomes idle. */
void conn_rest(struct conn *conn);
/* Whether the client is gone for good, as opposed to having shut its sending side. */
bool conn_hung_up(const struct conn *conn);
/* The end of a turn: frees those that were closed in it. */
void conn_free_closed(struct worker *worker);

/* For protocols: whether one more message may be taken now (pipeline, high_water, the turn). */
bool conn_may_take(const struct conn *conn);
/* For protocols: the next message is looked at again when all that is under way is answered. */
void conn_hold(struct conn *conn);
/* For protocols: `length` bytes of a file go out behind the next output; takes `fd` over. */
void conn_file_send(struct conn *conn, int fd, uint64_t from, uint64_t length);
/* Nothing may be written behind the output before it is gone. */
static inline bool
conn_file_is_there(const struct conn *conn)
{
	return conn->busy->file.left > 0;
}
/* For protocols: no more input will be taken; the connection closes when all is answered. */
void conn_end_input(struct conn *conn);

/*
 * It goes on as one of that service, which it belongs to from now on. Nothing may be under way.
 * False, and nothing has changed, where the service has no place for it.
 */
bool conn_switch(struct conn *conn, struct service *service, const struct proto *proto);

/*
 * For protocols: a reply of which some was written already will never be whole. What was written
 * may still reach the client, unless there is to be a `reset`, for who would take the end of the
 * connection for that of the reply.
 */
void conn_cut(struct conn *conn, bool reset);

/*
 * Answer what is there, then close. `patiently`: who has just connected may still ask once, and an
 * unfinished message may still be finished, within the usual time limits.
 */
void conn_drain(struct conn *conn, bool patiently);

/* ---- between its own files: conn_file.c ---- */

/*
 * Sends on, `*most` bytes at most; takes off what went. False when there is no more to do now: the
 * socket takes none (`errno` is EAGAIN), or the connection was closed.
 */
bool conn_file_write(struct conn *conn, size_t *most);
/* The write deadline is set: how far must the client come until then? */
void conn_file_mark(struct conn *conn);
/* Whether it came so far. */
bool conn_file_is_taken(const struct conn *conn);
/* The connection ends before its file. */
void conn_file_drop(struct conn *conn);

/* ---- and conn_turn.c ---- */

/* The client must take what waits for it until then. */
void conn_set_write_deadline(struct conn *conn);

/* ---- for frozen.c ---- */

/* A connection that nothing watches yet. */
struct conn *conn_make(struct service *service, int fd, uint16_t listener);
/* Whose `wait` it is. */
struct conn *conn_of_wait(struct deadline *deadline);
/* Events of its client come from now on. False when it had to be closed. */
bool conn_watch(struct conn *conn);
/* What it is busy with; made where there is nothing. */
struct conn_busy *conn_get_busy(struct conn *conn);
/* Neither event nor deadline nor turn reaches it any more. */
void conn_stop(struct conn *conn);
/* Closes the descriptor and gives the place back; the memory goes at the end of the turn. */
void conn_forget(struct conn *conn);

/* In the middle of a message, be it in `in` or with the protocol. */
bool conn_is_partial(const struct conn *conn);

/* What comes due on service->idles, ->silents, ->messages, ->writes and ->lingers. */
void conn_on_idle(struct deadline *deadline);
void conn_on_silent(struct deadline *deadline);
void conn_on_message_late(struct deadline *deadline);
void conn_on_write_late(struct deadline *deadline);
void conn_on_lingered(struct deadline *deadline);

#endif
