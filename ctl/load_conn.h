/*
 * One place of a run: a number under which connections follow one another.
 *
 *   CLOSED -> CONNECTING -> (GREETING ->) OPEN -> CLOSING -> CLOSED
 *
 * Every way back to CLOSED goes through load_conn_end(), with its reason.
 */
#ifndef CTL_LOAD_CONN_H
#define CTL_LOAD_CONN_H

#include "common/buf.h"
#include "ctl/load_wire.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct load_run;

#define LOAD_CONN_READ 65536 /* bytes read at once */
#define LOAD_CONN_REST 4096  /* a longer unfinished reply is not moved before it is continued */

enum load_conn_state {
	LOAD_CONN_CLOSED,     /* no socket */
	LOAD_CONN_CONNECTING, /* connect(2) is under way */
	LOAD_CONN_GREETING,   /* websocket: so is the handshake */
	LOAD_CONN_OPEN,
	LOAD_CONN_CLOSING /* we said that nothing more will come; the peer may still speak */
};

/* X(CONSTANT, name, "why a connection ended, or did not begin") */
#define LOAD_CONN_ENDS(X)                                                                          \
	X(REFUSED, refused, "connections refused")                                                 \
	X(TIMED_OUT, timed_out, "connections not open within the connect timeout")                 \
	X(FAILED, failed, "connections that failed for another reason")                            \
	X(PEER, closed_by_peer, "connections that the peer closed or reset, not idle ones")        \
	X(IDLE, closed_idle, "connections that the peer ended when it had answered everything")    \
	X(SILENT, given_up, "connections closed because a request stayed overdue")                 \
	X(DAMAGED, damaged, "connections closed because what came was no reply")                   \
	X(DONE, done, "connections closed after their only request")                               \
	X(FINISHED, finished, "connections closed at the end of the run")

enum load_conn_reason {
#define X(constant, name, help) LOAD_CONN_##constant,
	LOAD_CONN_ENDS(X)
#undef X
	    LOAD_CONN_REASONS
};

struct load_conn {
	struct load_run *run; /* borrows */
	unsigned number;
	enum load_conn_state state;
	int fd;
	bool mute;          /* a write failed; what the peer said before may still be read */
	bool told;          /* the peer said that it takes no further request */
	bool closed;        /* websocket: by a Close, so that nothing follows */
	bool tried;         /* the first attempt to connect has ended */
	bool been_open;     /* some connection of this number was opened before */
	uint64_t since;     /* when connect(2) was called first for this connection; 0: not yet */
	uint64_t left;      /* websocket: when we said Close after the only request; 0: not yet */
	uint64_t due;       /* when a paused place goes to the queue */
	uint64_t written;   /* bytes, on this connection */
	uint64_t begun;     /* requests of which a byte was written, on this connection */
	uint64_t begun_end; /* where the last one of them ends, in bytes */
	uint64_t made;      /* requests, for this connection */
	uint64_t made_end;  /* where the last one of them ends, in bytes */
	uint64_t replies;   /* on this connection */
	bool listed;        /* in the list of those that have room; with a rate only */
	struct load_wire_state reading; /* the unfinished reply */
	struct buf in;                  /* its bytes */
	struct buf out;                 /* what the socket did not take */
	size_t control;                 /* bytes at its end that belong to no request */
	struct event read_event, write_event;
	TAILQ_ENTRY(load_conn) entry; /* in a list of places without a connection, or with room */
};

/* Begins to connect. False when the system has no room for it now: try again later. */
bool load_conn_open(struct load_conn *conn, uint64_t now);
/* Makes and writes as many requests as may wait, in one write; with a rate, says there is room. */
void load_conn_send(struct load_conn *conn);
/* Whether requests may be made and written now. May end a connection that is over. */
bool load_conn_has_room(struct load_conn *conn);
/* Makes and writes up to `most` requests, in one write. Returns how many. */
unsigned load_conn_write_requests(struct load_conn *conn, uint64_t now, unsigned most);
/* Writes what belongs to no request, or keeps it until the socket takes it. */
void load_conn_put(struct load_conn *conn, const char *data, size_t length);
/* It may carry requests. */
void load_conn_ready(struct load_conn *conn);
/* It could not be opened: errno in words. */
void load_conn_fail(struct load_conn *conn, int error);
/* Half-closes, so that a reply too many is still seen. Ends what has unwritten bytes. */
void load_conn_finish(struct load_conn *conn);
/* The one way out. Tells the check and the run. */
void load_conn_end(struct load_conn *conn, enum load_conn_reason reason);

#endif
