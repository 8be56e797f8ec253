/*
 * What became of every request: the account that a run ends with.
 *
 * A request is made, then sent (its first byte was written), then has one outcome: right, error,
 * wrong, overdue, broken or unsent. Replies are expected in order, or by ids in any. Pure: the
 * caller tells the time and what the sockets did.
 */
#ifndef CTL_LOAD_CHECK_H
#define CTL_LOAD_CHECK_H

#include "common/histogram.h"
#include "ctl/load_message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(CONSTANT, "what stands behind ERR") */
#define LOAD_ERRORS(X)                                                                             \
	X(BUSY, "busy")                                                                            \
	X(TIMEOUT, "timeout")                                                                      \
	X(FAILED, "failed")                                                                        \
	X(TOO_LARGE, "too-large")                                                                  \
	X(BAD, "bad")                                                                              \
	X(OTHER, "other")

enum load_error {
#define X(constant, text) LOAD_ERROR_##constant,
	LOAD_ERRORS(X)
#undef X
	    LOAD_ERROR_COUNT
};

/* X(name, "what is counted") */
#define LOAD_COUNTS(X)                                                                             \
	X(requests, "requests made")                                                               \
	X(sent, "requests of which at least a byte was written")                                   \
	X(right, "the expected reply to the oldest request without one, in time")                  \
	X(error, "a reply that begins with ERR, or whose status is an error")                      \
	X(wrong, "any other reply")                                                                \
	X(duplicate, "the reply to a request that already had one")                                \
	X(overdue, "no reply within the timeout")                                                  \
	X(broken, "sent, but the connection ended before the reply")                               \
	X(broken_new, "those of them on connections that never answered a request")                \
	X(unsent, "the connection ended before a byte of it was written")                          \
	X(late, "right and error replies to overdue requests")

struct load_counts {
#define X(name, help) uint64_t name;
	LOAD_COUNTS(X)
#undef X
	uint64_t errors[LOAD_ERROR_COUNT]; /* `error`, by kind */
};

/*
 * The requests of one connection number. Its connections may follow one another; the numbers of its
 * requests never start again. first <= head <= late <= tail, head <= sent <= tail.
 */
struct load_ledger {
	uint64_t
	    *made;     /* borrows; when each request from head to tail was made; 0: has its reply */
	uint64_t lost; /* from here to `first`: ended with the connection before this one */
	uint64_t first; /* first request of this connection */
	uint64_t head;  /* oldest request without a reply */
	uint64_t late;  /* all before this one are overdue */
	uint64_t sent;  /* first request of which nothing was written */
	uint64_t tail;  /* the next one to be made */
};

/* A request whose place was taken by a wrong reply: its own reply may still come, elsewhere. */
struct load_robbed {
	unsigned connection;
	uint64_t sequence;
};

#define LOAD_CHECK_ROBBED 256 /* the latest ones are remembered */

struct load_check {
	struct load_message message;
	struct load_counts counts;
	/* Of right replies to requests due since `since`, in nanoseconds: */
	struct histogram latency;      /* from when the request was due */
	struct histogram latency_sent; /* from when it was made; only if that may be later */
	uint64_t since;                /* a time */
	uint64_t slowest;              /* a time; when the request of the longest latency was due */
	bool any;                      /* every reply is right but one that says it is an error */
	uint64_t waiting;              /* requests without an outcome */
	uint64_t spoiled;              /* requests whose outcome was a wrong reply */
	uint64_t timeout;              /* nanoseconds */
	unsigned connections, depth, mask;
	struct load_robbed robbed[LOAD_CHECK_ROBBED];
	uint64_t robbed_count;       /* so many were written, round and round */
	uint64_t *made;              /* owns; the rings of all ledgers */
	uint64_t *due;               /* owns, or NULL; beside each of them, when it was due */
	struct load_ledger *ledgers; /* owns; one for each connection */
};

enum load_found {
	LOAD_FOUND_RIGHT,
	LOAD_FOUND_ERROR,
	LOAD_FOUND_LATE, /* to an overdue request; counted as that */
	LOAD_FOUND_WRONG,
	LOAD_FOUND_DUPLICATE
};

/* `depth`: how many requests of one connection wait for replies at most. */
void load_check_open(struct load_check *check, unsigned connections, unsigned depth, size_t size,
    bool upper, uint64_t timeout, uint64_t seed);
void load_check_close(struct load_check *check);

/* Whether the connection may make another request: there is room, and none of it is overdue. */
bool load_check_may_make(const struct load_check *check, unsigned connection);
/* Requests are due at times of their own: from now on load_check_make_due() is used. */
void load_check_schedule(struct load_check *check);
/* A request is made and its message written to `to`, unless that is NULL. Returns its id. */
uint32_t load_check_make(struct load_check *check, unsigned connection, uint64_t now, char *to);
/* The same for one that was to be made at `due`, which may be earlier than `now`. */
uint32_t load_check_make_due(
    struct load_check *check, unsigned connection, uint64_t now, uint64_t due, char *to);
/* Bytes of the message that is the present connection's number `index` (0: its first). */
size_t load_check_length(const struct load_check *check, unsigned connection, uint64_t index);
/* Bytes of the message whose reply is expected next; false if none is. */
bool load_check_next_length(const struct load_check *check, unsigned connection, size_t *length);
/* So many messages of the present connection were written, the last one at least in part. */
void load_check_sent(struct load_check *check, unsigned connection, uint64_t messages);
/* A reply arrived; one that begins with ERR is an error. */
enum load_found load_check_reply(
    struct load_check *check, unsigned connection, const char *data, size_t length, uint64_t now);
/*
 * With ids: the same for a reply that names its request; `status` as in hostlerd's frames. One
 * whose id no request has that waits takes nothing.
 */
enum load_found load_check_reply_to(struct load_check *check, unsigned connection, uint32_t id,
    unsigned status, const char *data, size_t length, uint64_t now);
/* The same where errors are told by other means: the bytes are the message or wrong. */
enum load_found load_check_body(
    struct load_check *check, unsigned connection, const char *data, size_t length, uint64_t now);
/* A reply arrived that is right for any request. */
enum load_found load_check_any(struct load_check *check, unsigned connection, uint64_t now);
/* A reply arrived that says: it could not be done. */
enum load_found load_check_error(
    struct load_check *check, unsigned connection, enum load_error error, uint64_t now);
/* Something arrived that is the reply to no request. */
enum load_found load_check_wrong(struct load_check *check, unsigned connection, uint64_t now);
/* Counts what is overdue by now. Returns the age of the oldest request, 0 when there is none. */
uint64_t load_check_age(struct load_check *check, unsigned connection, uint64_t now);
/* The connection ended. */
void load_check_break(struct load_check *check, unsigned connection);
/* Whether every request of the connection has its reply. */
bool load_check_answered(const struct load_check *check, unsigned connection);

/*
 * How many requests have an outcome or wait for one: always `requests`, if this account is right.
 * What was sent is the same without `unsent`.
 */
uint64_t load_check_outcomes(const struct load_check *check);
/* Wrong replies that are no request's outcome: unasked, or to one that had its outcome. */
uint64_t load_check_stray(const struct load_check *check);

/* "busy", …; "other" for what is none of them. */
const char *load_check_error_text(enum load_error error);

#endif
