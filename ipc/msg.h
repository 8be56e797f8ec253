/*
 * What the master and a worker say to each other: one SEQPACKET message is one struct msg with the
 * type in front. The table in msg.c holds name, length, descriptors and sender of each type; chan.c
 * checks them once for everybody.
 */
#ifndef IPC_MSG_H
#define IPC_MSG_H

#include <stdint.h>

#define MSG_TEXT_MAX 256 /* bytes of a text with its NUL */
#define MSG_FDS_MAX  3

enum msg_side { MSG_FROM_MASTER = 1, MSG_FROM_WORKER = 2 };

/* X(CONSTANT, value, sender, struct, descriptors) */
#define MESSAGES(X)                                                                                \
	X(READY, 100, MSG_FROM_WORKER, msg_empty, 0)                                               \
	X(PONG, 101, MSG_FROM_WORKER, msg_number, 0)                                               \
	X(DRAINED, 102, MSG_FROM_WORKER, msg_empty, 0)                                             \
	X(LOCK_STUCK, 103, MSG_FROM_WORKER, msg_pool, 0)                                           \
	X(POOL_DAMAGED, 104, MSG_FROM_WORKER, msg_pool, 0)                                         \
	X(LISTED, 105, MSG_FROM_WORKER, msg_listed, 0)                                             \
	X(ROTATE, 106, MSG_FROM_WORKER, msg_file, 0)                                               \
	X(LEFT, 107, MSG_FROM_WORKER, msg_file, 0)                                                 \
	X(GIVEN, 108, MSG_FROM_WORKER, msg_given, 0)                                               \
	X(PING, 200, MSG_FROM_MASTER, msg_number, 0)                                               \
	X(DRAIN, 201, MSG_FROM_MASTER, msg_number, 0)                                              \
	X(INSTANCE, 202, MSG_FROM_MASTER, msg_instance, 2)                                         \
	X(INSTANCE_GONE, 203, MSG_FROM_MASTER, msg_instance, 0)                                    \
	X(START, 204, MSG_FROM_MASTER, msg_empty, 0)                                               \
	X(ACCEPT, 205, MSG_FROM_MASTER, msg_empty, 0)                                              \
	X(LOG, 206, MSG_FROM_MASTER, msg_log, 1)                                                   \
	X(LIST, 207, MSG_FROM_MASTER, msg_list, 1)                                                 \
	X(FILE, 208, MSG_FROM_MASTER, msg_file, 3)                                                 \
	X(GIVE, 209, MSG_FROM_MASTER, msg_give, 1)                                                 \
	X(TAKE, 210, MSG_FROM_MASTER, msg_take, 1)

enum msg_type {
#define X(constant, value, sender, payload, fds) MSG_##constant = value,
	MESSAGES(X)
#undef X
};

struct msg_empty {
	uint64_t unused;
};

struct msg_number {
	uint64_t number; /* PING and its PONG: the same; DRAIN: enum msg_drain */
};

/* How a worker is to end; a smaller one may follow a larger one. */
enum msg_drain {
	MSG_DRAIN_HASTY, /* answers what was sent already, closes what is idle */
	MSG_DRAIN_LEAVE, /* accepts no more, serves until its connections have moved elsewhere */
};

struct msg_pool {
	uint32_t service;
	uint32_t unused;
};

/* An instance that now exists (its stdin to write, its stdout to read) or is gone. */
struct msg_instance {
	uint32_t service;
	uint32_t slot;
	uint32_t incarnation;
	uint32_t pid; /* for messages to people; never used to signal */
};

#define MSG_LOG_DAEMON UINT32_MAX /* as service: the daemon's own log */

/* A log that was opened anew: what is written goes to this descriptor from now on. */
struct msg_log {
	uint32_t service;
	uint16_t level, format; /* of the daemon's log: enum log_level, enum log_format */
};

/*
 * FILE: what the service collects goes here from now on; with it come the file, the page that all
 * who write to it share, and its folder (ipc/ledger.h). ROTATE: the worker wants another file than
 * that one. LEFT: it has closed that one, which was replaced before.
 */
struct msg_file {
	uint32_t service;
	uint32_t number; /* of the file: never that of another one */
	uint32_t failed; /* ROTATE: 1 because it was given up, 0 because it is large enough */
	uint32_t unused;
};

/*
 * The worker writes a JSON object in a line for each of its connections, the oldest first, into the
 * file that came with LIST; LISTED says how many bytes there are now.
 */
#define MSG_LIST_ROWS  1000 /* most connections of one worker in a list */
#define MSG_LIST_LINE  1024 /* bytes of a line with its LF, at most */
#define MSG_LIST_BYTES ((size_t)MSG_LIST_ROWS * MSG_LIST_LINE)

struct msg_list {
	uint64_t number;
	uint32_t most; /* lines */
	uint32_t unused;
};

struct msg_listed {
	uint64_t number; /* as in LIST */
	uint64_t length; /* bytes */
};

/*
 * Two workers get the ends of a channel (ipc/move.h): GIVE so many connections to whoever has the
 * other end, TAKE what comes. GIVEN says that the giver is done with the order.
 */
#define MSG_GIVE_ALL UINT64_MAX /* as `most` */

struct msg_give {
	uint64_t order; /* counts up */
	uint64_t most;
};

struct msg_take {
	uint64_t order;
};

struct msg_given {
	uint64_t order;
	uint64_t moved;
	uint64_t rest; /* connections that are still here and could move */
};

struct msg {
	uint32_t type;
	uint32_t unused;
	union {
		struct msg_empty empty;
		struct msg_number number;
		struct msg_pool pool;
		struct msg_instance instance;
		struct msg_log log;
		struct msg_file file;
		struct msg_list list;
		struct msg_listed listed;
		struct msg_give give;
		struct msg_take take;
		struct msg_given given;
	};
};

struct msg_info {
	const char *name;
	uint32_t type;
	enum msg_side sender;
	uint32_t length; /* exact, with type and unused */
	unsigned fds;    /* exact */
};

/* The row of a type, or NULL. */
const struct msg_info *msg_info(uint32_t type);
/* Another number as soon as any message comes, goes or changes: for who talks to another version.
 */
uint64_t msg_layout(void);

#endif
