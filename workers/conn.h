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

enum conn_state {
	CONN_OPEN,
	CONN_LINGERING, /* everything was said; what still comes is read and thrown away */
	CONN_CLOSED     /* freed at the end of the turn */
};

struct conn {
	TAILQ_ENTRY(conn) in_service; /* or in worker->closed */
	TAILQ_ENTRY(conn) in_turn;
	struct service *service; /* borrows */
	int fd;                  /* owns */
	enum conn_state state;
	struct event read_event;
	struct event *write_event; /* owns; NULL unless output waits for room */
	struct buf in;             /* input that is no whole message yet, or is held back */
	struct buf out;
	size_t scanned;       /* for the codec */
	char *client;         /* owns; its address for the access log; NULL without one */
	struct req_list reqs; /* owns; in the client's order */
	unsigned under_way;   /* how many they are */
	struct deadline wait; /* idle, or for the rest of a message, or lingering */
	struct deadline write;
	uint64_t written;       /* bytes, ever */
	uint64_t write_mark;    /* `written` when all that the write deadline is for was taken */
	uint64_t message_since; /* when the unfinished message began; 0 when there is none */
	ssize_t last_bytes;     /* unread since before it drained; negative: newer ones came */

	uint32_t requests; /* that came on it */
	uint32_t since;    /* when it was accepted: seconds after worker->started */

	unsigned round;     /* of worker->round, when it was scheduled */
	bool scheduled;     /* it is in worker->turn */
	bool turning;       /* conn_turn() is at work */
	bool readable;      /* there may be something to read */
	bool closed_hint;   /* the kernel said that the client has shut its side */
	bool eof;           /* and we read to that end */
	bool input_ended;   /* no more messages are taken */
	bool held_back;     /* whole messages may wait in `in` */
	bool last_look;     /* draining: take what is there now, then no more */
	bool drain_later;   /* as soon as the message that it is at is whole */
	bool was_asked;     /* a message came on it; since drain_later, if that is set */
	bool write_pending; /* write_event is added */
	bool linger;        /* the client may still be sending when we close */
};

/* Takes over an accepted, non-blocking descriptor. */
struct conn *conn_new(struct service *service, int fd);
/* The one door out; `why` is for the debug log. */
void conn_close(struct conn *conn, const char *why);

/* There is something to do in this turn. */
void conn_schedule(struct conn *conn);
void conn_turn(struct conn *conn);

/* For protocols: whether one more message may be taken now (pipeline, high_water). */
bool conn_may_take(const struct conn *conn);
/* For protocols: no more input will be taken; the connection closes when all is answered. */
void conn_end_input(struct conn *conn);

/*
 * Answer what is there, then close. `patiently`: who has just connected may still ask once, and an
 * unfinished message may still be finished, within the usual time limits.
 */
void conn_drain(struct conn *conn, bool patiently);

/* What comes due on service->idles, ->messages, ->writes and ->lingers. */
void conn_on_idle(struct deadline *deadline);
void conn_on_message_late(struct deadline *deadline);
void conn_on_write_late(struct deadline *deadline);
void conn_on_lingered(struct deadline *deadline);

#endif
