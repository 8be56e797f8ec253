/*
 * The least that a pool can cost: one process, an epoll loop, N children over pipes, a line in and
 * a line out. What waits for a child stands in one line, first come, first served; up to --depth
 * messages are in a child at a time. There are no limits, no time limits, no restarts and no
 * statistics: it is what hostlerd's pool is held against.
 *
 * Options: --port, --children (2), --depth (1), -- COMMAND. A client has one request under way at
 * most, so that its replies are in order; what it has sent beyond that stays in its buffer.
 */
#include "tests/bench/bench_child.h"
#include "tests/bench/bench_net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#define EVENTS_MAX 512

struct client {
	int fd;                    /* owns */
	char *in;                  /* owns; what was read and not yet given to a child */
	size_t length, room;       /* of it */
	size_t line;               /* bytes of the message that waits, 0 when none waits */
	bool asked;                /* its message waits or is in a child */
	bool ended;                /* it sends no more */
	bool gone;                 /* nobody reads the reply any more */
	STAILQ_ENTRY(client) next; /* while its message waits */
};

struct child {
	struct bench_child pipes;
	struct client *
	    *asking; /* owns; a ring of `depth`: whose messages are in it, oldest first */
	unsigned oldest, messages; /* of the ring */
};

static STAILQ_HEAD(, client) waiting = STAILQ_HEAD_INITIALIZER(waiting);
static struct child *children; /* owns */
static unsigned count, depth;
static int poller;

static void
limit_free(struct client *client)
{
	close(client->fd);
	free(client->in);
	free(client);
}

/* Puts the first whole line of the client's buffer in the waiting line. */
static void
limit_ask(struct client *client)
{
	char *end;

	if (client->asked || client->length == 0)
		return;
	end = memchr(client->in, '\n', client->length);
	if (end == NULL)
		return;
	client->line = (size_t)(end + 1 - client->in);
	client->asked = true;
	STAILQ_INSERT_TAIL(&waiting, client, next);
}

/* Gives a child as many waiting messages as it may have, in one write. */
static void
limit_feed(struct child *child)
{
	static char batch[BENCH_SCRATCH];
	size_t length = 0;
	struct client *client;

	while (child->messages < depth && (client = STAILQ_FIRST(&waiting)) != NULL) {
		if (length + client->line > sizeof(batch) && length > 0) {
			bench_write(child->pipes.to, batch, length);
			length = 0;
		}
		STAILQ_REMOVE_HEAD(&waiting, next);
		child->asking[(child->oldest + child->messages++) % depth] = client;
		if (client->line > sizeof(batch)) {
			bench_write(child->pipes.to, client->in, client->line);
		} else {
			memcpy(batch + length, client->in, client->line);
			length += client->line;
		}
		client->length -= client->line;
		memmove(client->in, client->in + client->line, client->length);
	}
	if (length > 0)
		bench_write(child->pipes.to, batch, length);
}

static void
limit_on_reply(void *arg, const char *line, size_t length)
{
	struct child *child = arg;
	struct client *client;

	if (child->messages == 0)
		return; /* nobody asked for it */
	client = child->asking[child->oldest];
	child->oldest = (child->oldest + 1) % depth;
	child->messages--;
	client->asked = false;
	if (!client->gone && !bench_write(client->fd, line, length))
		client->gone = true;
	limit_ask(client);
	/* One that is gone has an event coming, whose read tells. */
	if (!client->asked && client->ended)
		limit_free(client);
}

static void
limit_on_client(struct client *client)
{
	static char scratch[BENCH_SCRATCH];
	ssize_t n = read(client->fd, scratch, sizeof(scratch));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client->ended = true;
		client->gone = n < 0;
		epoll_ctl(poller, EPOLL_CTL_DEL, client->fd, NULL);
		if (!client->asked)
			limit_free(client);
		return;
	}
	if (client->length + (size_t)n > client->room) {
		client->room = client->length + (size_t)n;
		client->in = realloc(client->in, client->room);
		if (client->in == NULL)
			bench_die("cannot keep a message");
	}
	memcpy(client->in + client->length, scratch, (size_t)n);
	client->length += (size_t)n;
	limit_ask(client);
}

static void
limit_on_listener(int listener)
{
	int fd;

	while ((fd = bench_accept(listener, false)) >= 0) {
		struct client *client = calloc(1, sizeof(*client));

		if (client == NULL)
			bench_die("cannot take a client");
		client->fd = fd;
		bench_watch(poller, fd, EPOLLIN, client);
	}
}

/* A free child is given its next message before anything else happens. */
static void
limit_on_child(struct child *child)
{
	bench_child_read(&child->pipes, limit_on_reply, child);
	limit_feed(child);
}

static void
limit_start(char **command)
{
	children = calloc(count, sizeof(*children));
	if (children == NULL)
		bench_die("cannot make a pool");
	for (unsigned i = 0; i < count; i++) {
		bench_child_start(&children[i].pipes, command);
		children[i].asking = calloc(depth, sizeof(*children[i].asking));
		if (children[i].asking == NULL)
			bench_die("cannot count messages");
		bench_watch(poller, children[i].pipes.from, EPOLLIN, &children[i]);
	}
}

int
main(int argc, char **argv)
{
	char **command = bench_command(argc, argv);
	struct epoll_event events[EVENTS_MAX];
	int listener;

	count = bench_option(argc, argv, "children", 2);
	depth = bench_option(argc, argv, "depth", 1);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0 || count == 0 || depth == 0)
		bench_die("cannot make a pool");
	limit_start(command);
	listener = bench_listen(argc, argv, false);
	bench_watch(poller, listener, EPOLLIN, NULL);
	for (;;) {
		int ready = epoll_wait(poller, events, EVENTS_MAX, -1);

		for (int i = 0; i < ready; i++) {
			void *what = events[i].data.ptr;
			struct child *child = what;

			if (what == NULL)
				limit_on_listener(listener);
			else if (child >= children && child < children + count)
				limit_on_child(child);
			else
				limit_on_client(what);
		}
		for (unsigned i = 0; i < count; i++)
			limit_feed(&children[i]);
	}
}
