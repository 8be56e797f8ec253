/*
 * Collects what the workers say about their connections. Owns one file for each worker that was
 * asked, and the requests that wait. One listing at a time: who asks meanwhile gets the next, so
 * that nobody is told of a moment before its question. Never waits for a worker.
 */
#include "daemon/listing.h"

#include "common/log.h"
#include "common/mem.h"
#include "daemon/control.h"
#include "daemon/master.h"
#include "ipc/msg.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LISTING_ROWS 5000 /* in one reply: reading them takes the master some 10 ms */

/* A worker that was asked. */
struct listing_part {
	unsigned id; /* worker id */
	unsigned generation;
	unsigned place;
	pid_t pid;
	int file;      /* owns; -1 when it is not waited for */
	bool is_known; /* it has answered, or has died */
};

struct listing {
	struct master *master;      /* borrows */
	struct event *late;         /* owns */
	uint64_t number;            /* of the newest listing */
	unsigned most;              /* rows of each worker */
	struct listing_part *parts; /* owns */
	unsigned count, open;       /* parts; how many are waited for */
	json_t *rows;               /* owns; NULL when no listing is under way */
	struct control_ask *asks[CONTROL_ASKS_MAX];
	unsigned asking; /* the first so many get this listing ... */
	unsigned asked;  /* ... the others the next */
};

static void listing_begin(struct listing *listing);

/* ---- one worker's file ---- */

/* Sealed, so that no worker can make it larger; holes cost nothing. */
static int
listing_file(void)
{
	int fd = memfd_create("hostler-connections", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, MSG_LIST_BYTES) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The row that goes into the reply; NULL when the line is not what a worker writes. */
static json_t *
listing_row(const struct listing_part *part, const char *line, size_t length)
{
	json_t *said =
	    length < MSG_LIST_LINE ? json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *service, *peer, *state;
	json_int_t age, requests, under_way, in, out;
	json_t *row = NULL;

	if (json_unpack(said, "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I !}", "service", &service,
		"peer", &peer, "state", &state, "age", &age, "requests", &requests, "under_way",
		&under_way, "in", &in, "out", &out) == 0 &&
	    age >= 0 && requests >= 0 && under_way >= 0 && in >= 0 && out >= 0)
		row = json_pack("{s:i, s:i, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I}", "worker",
		    (int)part->place, "generation", (int)part->generation, "service", service,
		    "peer", peer, "state", state, "age", (double)age, "requests", requests,
		    "under_way", under_way, "in", in, "out", out);
	json_decref(said);
	return row;
}

static void
listing_read_rows(
    struct listing *listing, const struct listing_part *part, const char *text, size_t length)
{
	for (unsigned i = 0; i < listing->most && length > 0; i++) {
		const char *lf = memchr(text, '\n', length);
		size_t line = lf != NULL ? (size_t)(lf - text) : length;
		json_t *row = listing_row(part, text, line);

		if (row == NULL) {
			log_warnx("worker %u says nonsense about its connections", part->place);
			return;
		}
		json_array_append_new(listing->rows, row);
		text += line + (lf != NULL);
		length -= line + (lf != NULL);
	}
}

static void
listing_read(struct listing *listing, struct listing_part *part, uint64_t length)
{
	char *text;
	ssize_t n;

	if (length > MSG_LIST_BYTES)
		length = MSG_LIST_BYTES;
	text = mem_alloc(length + 1, 1);
	n = pread(part->file, text, length, 0);
	if (n > 0)
		listing_read_rows(listing, part, text, (size_t)n);
	free(text);
}

static void
listing_part_end(struct listing *listing, struct listing_part *part)
{
	if (part->file < 0)
		return;
	close(part->file);
	part->file = -1;
	listing->open--;
}

/* ---- the whole ---- */

/* Who has not answered. */
static json_t *
listing_missing(const struct listing *listing)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < listing->count; i++)
		if (!listing->parts[i].is_known)
			json_array_append_new(list,
			    json_pack("{s:i, s:i, s:i}", "worker", (int)listing->parts[i].place,
				"generation", (int)listing->parts[i].generation, "pid",
				(int)listing->parts[i].pid));
	return list;
}

static void
listing_reply(struct listing *listing, json_t *reply)
{
	unsigned count = listing->asking;

	listing->asking = 0;
	listing->asked -= count;
	for (unsigned i = 0; i < count; i++)
		control_ask_reply(listing->asks[i], json_incref(reply));
	json_decref(reply);
	memmove(listing->asks, listing->asks + count, listing->asked * sizeof(listing->asks[0]));
}

/* All have answered, or the time is over. Whoever has asked meanwhile comes next. */
static void
listing_end(struct listing *listing)
{
	json_t *missing = listing_missing(listing);

	event_del(listing->late);
	for (unsigned i = 0; i < listing->count; i++)
		listing_part_end(listing, &listing->parts[i]);
	free(listing->parts);
	listing->parts = NULL;
	listing->count = 0;
	listing_reply(listing, control_done(json_pack("{s:I, s:I, s:o, s:o}", "total",
				   (json_int_t)stats_open(listing->master->sum), "shown",
				   (json_int_t)json_array_size(listing->rows), "connections",
				   listing->rows, "missing", missing)));
	listing->rows = NULL;
	if (listing->asked > 0)
		listing_begin(listing);
}

static void
listing_on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	listing_end(arg);
}

/* A worker that cannot be told now counts as one that stands still. */
static void
listing_ask(struct listing *listing, struct slot *slot)
{
	struct listing_part *part = &listing->parts[listing->count++];
	struct msg msg = {
	    .type = MSG_LIST, .list = {.number = listing->number, .most = listing->most}};

	part->id = slot->id;
	part->generation = slot->generation->number;
	part->place = slot->place;
	part->pid = slot->pid;
	part->file = listing_file();
	if (part->file < 0) {
		log_warn("cannot ask worker %u for its connections", slot->place);
		return;
	}
	listing->open++;
	if (!slot_send(slot, &msg, &part->file))
		log_debug("worker %u: no room for a question", slot->place);
}

static void
listing_begin(struct listing *listing)
{
	static const struct timeval limit = {.tv_sec = LISTING_TIME};
	struct master *master = listing->master;
	struct generation *generation;
	unsigned workers = 0;

	TAILQ_FOREACH (generation, &master->generations, entry)
		workers += generation->slot_count;
	listing->number++;
	listing->asking = listing->asked;
	listing->rows = json_array();
	listing->parts = mem_alloc(workers + 1, sizeof(*listing->parts));
	listing->most = LISTING_ROWS / (workers + 1);
	if (listing->most > MSG_LIST_ROWS)
		listing->most = MSG_LIST_ROWS;
	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (slot_is_alive(&generation->slots[i]) && generation->slots[i].was_ready)
				listing_ask(listing, &generation->slots[i]);
	/* Even with nobody to ask: replies go out in events, not inside the question. */
	event_add(listing->late, &limit);
	if (listing->open == 0)
		event_active(listing->late, EV_TIMEOUT, 0);
}

static struct listing_part *
listing_find(const struct listing *listing, const struct slot *slot)
{
	for (unsigned i = 0; i < listing->count; i++)
		if (listing->parts[i].id == slot->id && listing->parts[i].file >= 0)
			return &listing->parts[i];
	return NULL;
}

bool
listing_heard(struct listing *listing, const struct slot *slot, const struct msg *msg)
{
	struct listing_part *part = listing_find(listing, slot);

	if (msg->listed.number == 0 || msg->listed.number > listing->number)
		return false;
	/* Of an earlier one it is too late. */
	if (part == NULL || msg->listed.number != listing->number)
		return true;
	listing_read(listing, part, msg->listed.length);
	part->is_known = true;
	listing_part_end(listing, part);
	if (listing->open == 0)
		listing_end(listing);
	return true;
}

void
listing_forget(struct listing *listing, const struct slot *slot)
{
	struct listing_part *part = listing_find(listing, slot);

	if (part == NULL)
		return;
	part->is_known = true;
	listing_part_end(listing, part);
	if (listing->open == 0)
		listing_end(listing);
}

json_t *
listing_answer(void *arg, const json_t *request, struct control_ask *ask)
{
	struct listing *listing = ((struct master *)arg)->listing;

	(void)request;
	if (listing->asked == CONTROL_ASKS_MAX)
		return control_error("too many requests are under way");
	listing->asks[listing->asked++] = ask;
	if (listing->rows == NULL)
		listing_begin(listing);
	return NULL;
}

struct listing *
listing_open(struct master *master)
{
	struct listing *listing = mem_alloc(1, sizeof(*listing));

	listing->master = master;
	listing->late = evtimer_new(master->base, listing_on_late, listing);
	if (listing->late == NULL)
		fatalx("cannot make an event");
	return listing;
}

bool
listing_is_busy(const struct listing *listing)
{
	return listing->rows != NULL;
}

void
listing_close(struct listing *listing)
{
	if (listing == NULL)
		return;
	for (unsigned i = 0; i < listing->count; i++)
		listing_part_end(listing, &listing->parts[i]);
	free(listing->parts);
	json_decref(listing->rows);
	listing->asking = listing->asked;
	listing_reply(listing, control_error("the daemon has stopped"));
	event_free(listing->late);
	free(listing);
}
