/*
 * The clients of the control socket and what they have asked. control.c lets them in.
 *
 *   READING ──a request──► ASKED ──control_ask_reply()──► REPLYING ──taken──► READING
 *      └───────────────────answered at once─────────────────►┘
 *
 * Nothing is read in any state but READING, so a client costs one request and one reply. In ASKED
 * its time does not run (the command's own deadline does); it is looked once a second whether it
 * has left.
 */
#ifndef DAEMON_CONTROL_CLIENT_H
#define DAEMON_CONTROL_CLIENT_H

#include "common/buf.h"
#include "common/record.h"
#include "daemon/control_line.h"

#include <event2/event.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct control_clients;

struct control_client {
	TAILQ_ENTRY(control_client) entry;
	struct control_clients *clients; /* borrows */
	int fd;                          /* owns */
	bool is_ours;                    /* root, or our own uid */
	uint64_t heard;                  /* when it came, asked, or took a reply */
	struct event *readable;          /* owns */
	struct event *writable;          /* owns */
	struct event *late;      /* owns; see above: time for a request, a reply, or a look */
	struct buf in;           /* owns */
	struct control_ask *ask; /* borrows; NULL when nothing was asked */
	char *reply;             /* owns; NULL when none is going out */
	size_t reply_length, sent;
	bool is_last; /* close when the reply is out */
};

/* A request under way. It lives until it is answered, whoever has left meanwhile. */
struct control_ask {
	LIST_ENTRY(control_ask) entry;
	struct control_clients *clients; /* borrows; NULL when the control socket was closed */
	struct control_client *client;   /* borrows; NULL when it has left */
	bool is_ours;
};

struct control_clients {
	struct event_base *base; /* borrows */
	struct control_tables tables;
	TAILQ_HEAD(, control_client) list; /* owns; whoever was silent longest comes first */
	LIST_HEAD(, control_ask) asks;     /* borrows */
	unsigned count, strangers;         /* clients; how many of them are not ours */
	unsigned open, strange;            /* the same of asks */
};

void control_clients_open(
    struct control_clients *clients, struct event_base *base, const struct control_tables *tables);
/* Asks that are open then stay valid; who waits for one is told. */
void control_clients_close(struct control_clients *clients);
/*
 * How long the next newcomer has to wait outside, in ns: whoever would be displaced by it was heard
 * only just now, and shall have the time to ask. 0: it may come in.
 */
uint64_t control_clients_full_for(const struct control_clients *clients);
/*
 * Takes the descriptor over. Where all places are taken, the client that has been silent longest
 * goes, or this one is told that there are too many: nobody who is not ours displaces us.
 */
void control_clients_add(struct control_clients *clients, int fd, bool is_ours);
/*
 * A client that another image of the master had, as it was there: filled in by the caller, then
 * control_client_go_on(), which is false when it cannot be watched. One that is asking has an ask.
 */
struct control_client *control_client_resume(
    struct control_clients *clients, int fd, bool is_ours, bool is_asking);
bool control_client_go_on(struct control_client *client);
/* control_save.c: all of them as a list; and back, with `on_ask` for each that is asking. */
json_t *control_clients_save(const struct control_clients *clients);
bool control_clients_load(struct control_clients *clients, const json_t *saved,
    struct record_reader *reader, void (*on_ask)(void *arg, struct control_ask *ask), void *arg);
/* One line for somebody who is not let in; the socket's buffer takes it or not. Closes it. */
void control_client_refuse(int fd, const char *error);

#endif
