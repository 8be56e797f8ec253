/* What give.c and give_look.c alone know of an order to give connections away. */
#ifndef WORKERS_GIVE_SELF_H
#define WORKERS_GIVE_SELF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct conn;
struct event;
struct give_sent;
struct worker;

TAILQ_HEAD(give_list, give_sent);

/* For whom all are looked through, one after the other. */
enum give_look {
	GIVE_LOOK_IDLE, /* in the order of their deadlines, which the taker has them in too */
	GIVE_LOOK_ABLE, /* others that can go at once */
	GIVE_LOOK_MARK, /* those that have a request under way: to be marked */
};

struct give {
	struct worker *worker;             /* borrows */
	int channel;                       /* owns */
	struct event *readable, *writable; /* owns */
	uint64_t order;                    /* the master's number for it */
	uint64_t left;                     /* how many more may go */
	uint64_t credits;                  /* how many more the taker has room for */
	uint64_t marked;       /* connections with `leaving`; counted in neither of the two */
	uint64_t numbers;      /* heads so far */
	uint64_t moved;        /* TAKEN */
	struct give_list sent; /* owns; in the order of their heads */
	struct give_sent *now; /* borrows; the last of them while it is not sent whole */
	bool full;             /* the channel takes nothing for now */
	bool ended;            /* nothing more is sent; answers may come */

	/* All connections are looked at, so many in a turn. */
	bool look;    /* from the first on, when this is done: some were passed over */
	bool looking; /* it is being done */
	enum give_look for_whom;
	unsigned services; /* that were looked through, or are */
	uint64_t unlooked; /* connections of the last of these, in front of its list */
	uint64_t progress; /* `moved` at the last tick */
	unsigned held_up;  /* ticks since then */
};

/* give.c: it leaves the lists and is sent, at once or as soon as there is room. False for later. */
bool give_connection(struct give *give, struct conn *conn);

/* give_look.c: whether there is anybody to look at; and looks at some. */
bool give_look_may(const struct give *give);
void give_look_turn(struct give *give);

#endif
