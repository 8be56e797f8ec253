/*
 * The account of load_check.h. Owns the rings in which each connection's requests wait; allocates
 * nothing for a request.
 *
 * Which request a reply takes away is chosen so that one mistake of the server is counted once: a
 * reply that comes too early is booked on its own request, so that the one it overtook can still be
 * right; a duplicate takes nothing; anything else takes the oldest request, whose reply it should
 * have been. That one is remembered as robbed: its own reply, should it come, is wrong where it
 * comes and no duplicate.
 */
#include "ctl/load_check.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *const load_errors[] = {
#define X(constant, text) [LOAD_ERROR_##constant] = text,
    LOAD_ERRORS(X)
#undef X
};

const char *
load_check_error_text(enum load_error error)
{
	return load_errors[error];
}

void
load_check_open(struct load_check *check, unsigned connections, unsigned depth, size_t size,
    bool upper, uint64_t timeout, uint64_t seed)
{
	unsigned ring = 1;

	memset(check, 0, sizeof(*check));
	while (ring < depth)
		ring *= 2;
	load_message_open(&check->message, size, upper, seed);
	check->timeout = timeout;
	check->connections = connections;
	check->depth = depth;
	check->mask = ring - 1;
	check->made = mem_alloc((size_t)connections * ring, sizeof(*check->made));
	check->ledgers = mem_alloc(connections, sizeof(*check->ledgers));
	for (unsigned i = 0; i < connections; i++)
		check->ledgers[i].made = check->made + (size_t)i * ring;
}

void
load_check_close(struct load_check *check)
{
	load_message_close(&check->message);
	free(check->made);
	free(check->due);
	free(check->ledgers);
	memset(check, 0, sizeof(*check));
}

void
load_check_schedule(struct load_check *check)
{
	check->due = mem_alloc((size_t)check->connections * (check->mask + 1), sizeof(*check->due));
}

static uint64_t *
load_check_made(const struct load_check *check, const struct load_ledger *ledger, uint64_t sequence)
{
	return &ledger->made[sequence & check->mask];
}

bool
load_check_may_make(const struct load_check *check, unsigned connection)
{
	const struct load_ledger *ledger = &check->ledgers[connection];

	return ledger->tail - ledger->head < check->depth && ledger->late <= ledger->head;
}

bool
load_check_answered(const struct load_check *check, unsigned connection)
{
	return check->ledgers[connection].head == check->ledgers[connection].tail;
}

uint32_t
load_check_make_due(
    struct load_check *check, unsigned connection, uint64_t now, uint64_t due, char *to)
{
	uint64_t *made =
	    load_check_made(check, &check->ledgers[connection], check->ledgers[connection].tail);

	check->due[made - check->made] = due;
	return load_check_make(check, connection, now, to);
}

size_t
load_check_length(const struct load_check *check, unsigned connection, uint64_t index)
{
	return load_message_length(
	    &check->message, connection, check->ledgers[connection].first + index);
}

bool
load_check_next_length(const struct load_check *check, unsigned connection, size_t *length)
{
	const struct load_ledger *ledger = &check->ledgers[connection];

	if (ledger->head == ledger->sent)
		return false;
	*length = load_message_length(&check->message, connection, ledger->head);
	return true;
}

uint32_t
load_check_make(struct load_check *check, unsigned connection, uint64_t now, char *to)
{
	struct load_ledger *ledger = &check->ledgers[connection];

	if (to)
		load_message_write(&check->message, connection, ledger->tail, to);
	*load_check_made(check, ledger, ledger->tail++) = now;
	check->counts.requests++;
	check->waiting++;
	return (uint32_t)(ledger->tail - 1);
}

void
load_check_sent(struct load_check *check, unsigned connection, uint64_t messages)
{
	struct load_ledger *ledger = &check->ledgers[connection];

	check->counts.sent += ledger->first + messages - ledger->sent;
	ledger->sent = ledger->first + messages;
}

/* Moves the head over requests that have their reply. */
static void
load_check_advance(const struct load_check *check, struct load_ledger *ledger)
{
	while (ledger->head < ledger->sent && *load_check_made(check, ledger, ledger->head) == 0)
		ledger->head++;
	if (ledger->late < ledger->head)
		ledger->late = ledger->head;
}

/* The request has its reply. Returns false when it is overdue, which was its outcome already. */
static bool
load_check_take(struct load_check *check, struct load_ledger *ledger, uint64_t sequence)
{
	bool late = sequence < ledger->late;

	*load_check_made(check, ledger, sequence) = 0;
	load_check_advance(check, ledger);
	if (!late)
		check->waiting--;
	return !late;
}

uint64_t
load_check_age(struct load_check *check, unsigned connection, uint64_t now)
{
	struct load_ledger *ledger = &check->ledgers[connection];
	uint64_t made;

	for (; ledger->late < ledger->sent; ledger->late++) {
		made = *load_check_made(check, ledger, ledger->late);
		if (made == 0)
			continue;
		if (now <= made + check->timeout)
			break;
		check->counts.overdue++;
		check->waiting--;
	}
	if (ledger->head == ledger->tail)
		return 0;
	/* A request may be younger than `now`: made while the caller went through all of them. */
	made = *load_check_made(check, ledger, ledger->head);
	return now > made ? now - made : 0;
}

static enum load_error
load_check_kind(const char *data, size_t length)
{
	for (unsigned i = 0; i < LOAD_ERROR_COUNT; i++) {
		if (strlen(load_errors[i]) == length && memcmp(load_errors[i], data, length) == 0)
			return (enum load_error)i;
	}
	return LOAD_ERROR_OTHER;
}

static enum load_found
load_check_on_late(struct load_check *check)
{
	check->counts.late++;
	return LOAD_FOUND_LATE;
}

/* A request of the run that does not wait for a reply any more: did it have one? */
static bool
load_check_was_answered(const struct load_check *check, unsigned connection, uint64_t sequence)
{
	const struct load_ledger *ledger;

	if (connection >= check->connections)
		return false;
	ledger = &check->ledgers[connection];
	if (sequence >= ledger->sent)
		return false;
	if (sequence >= ledger->head)
		return *load_check_made(check, ledger, sequence) == 0;
	return sequence < ledger->lost || sequence >= ledger->first;
}

/* A wrong reply takes the place of the oldest request. */
static void
load_check_rob(struct load_check *check, unsigned connection)
{
	struct load_ledger *ledger = &check->ledgers[connection];

	if (ledger->head == ledger->sent)
		return;
	check->robbed[check->robbed_count++ % LOAD_CHECK_ROBBED] = (struct load_robbed){
	    .connection = connection,
	    .sequence = ledger->head,
	};
	check->spoiled += load_check_take(check, ledger, ledger->head);
}

static bool
load_check_was_robbed(const struct load_check *check, unsigned connection, uint64_t sequence)
{
	for (unsigned i = 0; i < LOAD_CHECK_ROBBED && i < check->robbed_count; i++) {
		if (check->robbed[i].connection == connection &&
		    check->robbed[i].sequence == sequence)
			return true;
	}
	return false;
}

/* The reply to a request of the run, but not the one that was expected now on this connection. */
static enum load_found
load_check_on_misplaced(
    struct load_check *check, unsigned connection, unsigned whose, uint64_t sequence)
{
	struct load_ledger *ledger = &check->ledgers[connection];
	bool robbed = load_check_was_robbed(check, whose, sequence);

	if (!robbed && load_check_was_answered(check, whose, sequence)) {
		check->counts.duplicate++;
		return LOAD_FOUND_DUPLICATE;
	}
	check->counts.wrong++;
	if (whose == connection && sequence >= ledger->head && sequence < ledger->sent)
		check->spoiled += load_check_take(check, ledger, sequence);
	else if (whose != connection || !robbed)
		load_check_rob(check, connection);
	return LOAD_FOUND_WRONG;
}

static enum load_found
load_check_on_right(
    struct load_check *check, struct load_ledger *ledger, uint64_t sequence, uint64_t now)
{
	const uint64_t *slot = load_check_made(check, ledger, sequence);
	uint64_t made = *slot, due = check->due ? check->due[slot - check->made] : made;

	if (!load_check_take(check, ledger, sequence))
		return load_check_on_late(check);
	check->counts.right++;
	if (due < check->since)
		return LOAD_FOUND_RIGHT;
	if (now - due > check->latency.max)
		check->slowest = due;
	histogram_add(&check->latency, now - due);
	if (check->due)
		histogram_add(&check->latency_sent, now - made);
	return LOAD_FOUND_RIGHT;
}

static enum load_found
load_check_on_error(
    struct load_check *check, struct load_ledger *ledger, uint64_t sequence, enum load_error error)
{
	if (!load_check_take(check, ledger, sequence))
		return load_check_on_late(check);
	check->counts.error++;
	check->counts.errors[error]++;
	return LOAD_FOUND_ERROR;
}

static enum load_found
load_check_on_wrong(struct load_check *check, unsigned connection)
{
	check->counts.wrong++;
	load_check_rob(check, connection);
	return LOAD_FOUND_WRONG;
}

static bool
load_check_expects(const struct load_check *check, unsigned connection)
{
	return check->ledgers[connection].head < check->ledgers[connection].sent;
}

enum load_found
load_check_error(struct load_check *check, unsigned connection, enum load_error error, uint64_t now)
{
	struct load_ledger *ledger = &check->ledgers[connection];

	load_check_age(check, connection, now);
	if (!load_check_expects(check, connection))
		return load_check_on_wrong(check, connection);
	return load_check_on_error(check, ledger, ledger->head, error);
}

enum load_found
load_check_wrong(struct load_check *check, unsigned connection, uint64_t now)
{
	load_check_age(check, connection, now);
	return load_check_on_wrong(check, connection);
}

enum load_found
load_check_any(struct load_check *check, unsigned connection, uint64_t now)
{
	load_check_age(check, connection, now);
	if (!load_check_expects(check, connection))
		return load_check_on_wrong(check, connection);
	return load_check_on_right(
	    check, &check->ledgers[connection], check->ledgers[connection].head, now);
}

/* Of texts a reply tells nothing but whether it is the one that is expected now. */
static enum load_found
load_check_on_text(
    struct load_check *check, unsigned connection, const char *data, size_t length, uint64_t now)
{
	struct load_ledger *ledger = &check->ledgers[connection];

	if (load_check_expects(check, connection) &&
	    load_message_is(&check->message, connection, ledger->head, data, length))
		return load_check_on_right(check, ledger, ledger->head, now);
	return load_check_on_wrong(check, connection);
}

enum load_found
load_check_body(
    struct load_check *check, unsigned connection, const char *data, size_t length, uint64_t now)
{
	struct load_ledger *ledger = &check->ledgers[connection];
	unsigned whose = 0;
	uint64_t sequence = 0;

	if (check->any)
		return load_check_any(check, connection, now);
	load_check_age(check, connection, now);
	if (check->message.texts)
		return load_check_on_text(check, connection, data, length, now);
	if (!load_message_find(&check->message, data, length, &whose, &sequence))
		return load_check_on_wrong(check, connection);
	if (!load_check_expects(check, connection) || whose != connection ||
	    sequence != ledger->head)
		return load_check_on_misplaced(check, connection, whose, sequence);
	return load_check_on_right(check, ledger, sequence, now);
}

enum load_found
load_check_reply(
    struct load_check *check, unsigned connection, const char *data, size_t length, uint64_t now)
{
	if (length >= 4 && memcmp(data, "ERR ", 4) == 0)
		return load_check_error(
		    check, connection, load_check_kind(data + 4, length - 4), now);
	return load_check_body(check, connection, data, length, now);
}

/* The reply names a request that waits: is it a good one? */
static enum load_found
load_check_on_own(struct load_check *check, unsigned connection, uint64_t sequence, unsigned status,
    const char *data, size_t length, uint64_t now)
{
	struct load_ledger *ledger = &check->ledgers[connection];

	if (status == 0 &&
	    (check->any || load_message_is(&check->message, connection, sequence, data, length)))
		return load_check_on_right(check, ledger, sequence, now);
	if (status > 0 && status <= LOAD_ERROR_OTHER && length == 0)
		return load_check_on_error(check, ledger, sequence, (enum load_error)(status - 1));
	check->counts.wrong++;
	check->spoiled += load_check_take(check, ledger, sequence);
	return LOAD_FOUND_WRONG;
}

enum load_found
load_check_reply_to(struct load_check *check, unsigned connection, uint32_t id, unsigned status,
    const char *data, size_t length, uint64_t now)
{
	struct load_ledger *ledger = &check->ledgers[connection];
	/* The ids of those that wait are neighbours, so that they tell the whole number. */
	uint64_t sequence = ledger->head + (uint32_t)(id - (uint32_t)ledger->head);

	load_check_age(check, connection, now);
	if (sequence < ledger->sent && *load_check_made(check, ledger, sequence) != 0)
		return load_check_on_own(check, connection, sequence, status, data, length, now);
	/* Not one that waits: then one of long ago, or a number out of the air. */
	if (sequence >= ledger->sent && (uint32_t)(ledger->head - 1 - id) < ledger->head)
		sequence = ledger->head - 1 - (uint32_t)(ledger->head - 1 - id);
	if (load_check_was_answered(check, connection, sequence)) {
		check->counts.duplicate++;
		return LOAD_FOUND_DUPLICATE;
	}
	check->counts.wrong++;
	return LOAD_FOUND_WRONG;
}

/* Whether no request of the present connection has its reply. */
static bool
load_check_is_fresh(const struct load_check *check, const struct load_ledger *ledger)
{
	for (uint64_t i = ledger->head; i < ledger->sent; i++) {
		if (*load_check_made(check, ledger, i) == 0)
			return false;
	}
	return ledger->head == ledger->first;
}

void
load_check_break(struct load_check *check, unsigned connection)
{
	struct load_ledger *ledger = &check->ledgers[connection];
	bool fresh = load_check_is_fresh(check, ledger);

	for (uint64_t i = ledger->late; i < ledger->sent; i++) {
		if (*load_check_made(check, ledger, i) == 0)
			continue;
		check->counts.broken++;
		check->counts.broken_new += fresh;
		check->waiting--;
	}
	check->counts.unsent += ledger->tail - ledger->sent;
	check->waiting -= ledger->tail - ledger->sent;
	ledger->lost = ledger->head;
	ledger->first = ledger->head = ledger->late = ledger->sent = ledger->tail;
}

uint64_t
load_check_outcomes(const struct load_check *check)
{
	const struct load_counts *counts = &check->counts;

	return counts->right + counts->error + check->spoiled + counts->overdue + counts->broken +
	       counts->unsent + check->waiting;
}

uint64_t
load_check_stray(const struct load_check *check)
{
	return check->counts.wrong - check->spoiled;
}
