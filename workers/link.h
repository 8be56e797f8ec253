/*
 * A link: this worker's pipes to one instance, and the exchange on them while it holds the lease.
 * Mechanism only: who gets the lease is decided in program.c.
 *
 * The contract (docs/programs.md): one reply for each message, in order, and not a byte more. Who
 * breaks it is killed, never reused.
 */
#ifndef WORKERS_LINK_H
#define WORKERS_LINK_H

#include "common/buf.h"
#include "common/codec.h"
#include "ipc/pool.h"
#include "workers/req.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct program;

struct link {
	TAILQ_ENTRY(link) entry;        /* of program->held */
	struct program *program;        /* borrows */
	const struct link_hooks *hooks; /* borrows */
	uint32_t slot, incarnation;
	uint32_t pid; /* for messages to people only */
	int in, out;  /* owns; to write its stdin, to read its stdout */
	struct event read_event, write_event;
	bool write_pending;
	bool input_closed; /* a write failed */
	bool gone;         /* dead or given up: freed when no lease holds it */

	unsigned shy; /* leases after which it is not watched, since another worker was disturbed */
	bool held;    /* this worker has the lease, which is `grant` */
	struct pool_grant grant;
	unsigned given;       /* messages of this lease */
	unsigned inside;      /* of these not answered */
	unsigned replies;     /* in this read */
	uint64_t since;       /* when the first was given, or the last replies were read */
	struct req_list reqs; /* owns; given and not answered, oldest first */
	struct buf unwritten; /* bytes for its stdin */
	struct buf reply;     /* a reply that is not whole yet */
	size_t scanned;
	struct codec_lines lines; /* reply_end; `end` is NULL where a reply is one message */
	uint64_t queued, written; /* bytes for its stdin, ever */
	struct deadline deadline; /* of the oldest message */
	uint64_t asked_at;        /* when the oldest message was given */
	bool answered, hinted;    /* it replied once; the hint about flushing was given */
};

/* What program.c does when something happens on a link. */
struct link_hooks {
	/* The oldest request was answered; called before the lease may be passed on. */
	void (*on_reply)(struct link *link, struct req *req, const char *data, size_t length);
	/* Lines of its reply, each with its LF, where conf->stream says so; may come often. */
	void (*on_part)(struct link *link, struct req *req, const char *data, size_t length);
	/* So many replies were read at once; the instance took from `least` to `most` ns for them.
	 */
	void (*on_replies)(struct link *link, uint64_t least, uint64_t most, unsigned replies);
	/* Nothing is under way any more and the instance is quiet. */
	void (*on_quiet)(struct link *link);
	/* The contract is broken, or the instance is dead (POOL_REASON_CLOSED). */
	void (*on_broken)(struct link *link, enum pool_reason reason);
};

/* Takes over both descriptors. */
struct link *link_new(struct program *program, const struct link_hooks *hooks, uint32_t slot,
    uint32_t incarnation, uint32_t pid, int in, int out);
/* Closes the pipes. Not while the lease is held. */
void link_free(struct link *link);

/*
 * The lease begins. Returns POOL_REASON_NONE, or why the instance is not fit: it wrote something
 * that nobody asked for, or is dead. `quiet` says that this worker has just read it empty.
 */
enum pool_reason link_take(struct link *link, const struct pool_grant *grant, bool quiet);
/* The lease is over: events are deleted, buffers emptied. */
void link_rest(struct link *link);

/* Gives the instance one more message; with `more` to come it may wait for link_flush(). */
void link_give(struct link *link, struct req *req, bool more);
void link_flush(struct link *link);
/* Whether a byte of the request was written. */
bool link_has_begun(const struct link *link, const struct req *req);
/* Whether it was given a whole request `time` ago or more, has read it, and never said a word. */
bool link_is_mute(const struct link *link, uint64_t now, uint64_t time);
/* Reads what is there, whole replies are delivered; for an instance that the master doomed. */
void link_read_rest(struct link *link);

#endif
