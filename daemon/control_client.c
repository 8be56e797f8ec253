/*
 * The clients of the control socket: each has one buffer for what it asks and one reply that goes
 * out. Owns their descriptors and events. Uses read(2), which lets the kernel drop descriptors that
 * somebody passes. Never waits, and never frees a client but in that client's own events, or to
 * make room for another.
 */
#include "daemon/control_client.h"

#include "common/clock.h"
#include "common/mem.h"
#include "daemon/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_GRACE (50 * CLOCK_MS) /* that everybody has to ask, however many come */

static const struct timeval control_idle = {.tv_sec = CONTROL_IDLE};
static const struct timeval control_look = {.tv_sec = 1}; /* between two looks while it waits */

/* ---- asks ---- */

static struct control_ask *
control_ask_new(struct control_client *client)
{
	struct control_clients *clients = client->clients;
	struct control_ask *ask = mem_alloc(1, sizeof(*ask));

	ask->clients = clients;
	ask->client = client;
	ask->is_ours = client->is_ours;
	LIST_INSERT_HEAD(&clients->asks, ask, entry);
	clients->open++;
	clients->strange += !ask->is_ours;
	client->ask = ask;
	return ask;
}

static void
control_ask_free(struct control_ask *ask)
{
	if (ask->clients != NULL) {
		LIST_REMOVE(ask, entry);
		ask->clients->open--;
		ask->clients->strange -= !ask->is_ours;
	}
	if (ask->client != NULL)
		ask->client->ask = NULL;
	free(ask);
}

/* Asks outlive their clients, so that they are bounded too; a part is kept for us. */
static bool
control_ask_may_open(const struct control_client *client)
{
	const struct control_clients *clients = client->clients;

	if (clients->open >= CONTROL_ASKS_MAX)
		return false;
	return client->is_ours || clients->strange < CONTROL_ASKS_MAX - CONTROL_RESERVED;
}

/* ---- one client ---- */

static void
control_client_free(struct control_client *client)
{
	struct control_clients *clients = client->clients;

	TAILQ_REMOVE(&clients->list, client, entry);
	clients->count--;
	clients->strangers -= !client->is_ours;
	if (client->ask != NULL)
		client->ask->client = NULL;
	if (client->readable != NULL)
		event_free(client->readable);
	if (client->writable != NULL)
		event_free(client->writable);
	if (client->late != NULL)
		event_free(client->late);
	close(client->fd);
	buf_free(&client->in);
	free(client->reply);
	free(client);
}

/* Whoever asks or takes a reply is heard, so its time begins anew and it is the last to go. */
static void
control_client_heard(struct control_client *client)
{
	struct control_clients *clients = client->clients;

	TAILQ_REMOVE(&clients->list, client, entry);
	TAILQ_INSERT_TAIL(&clients->list, client, entry);
	client->heard = clock_now();
	event_add(client->late, client->ask != NULL ? &control_look : &control_idle);
}

/* Writes what goes. False when the client is not worth keeping, or has had its last reply. */
static bool
control_client_write(struct control_client *client)
{
	while (client->reply != NULL) {
		ssize_t n = send(client->fd, client->reply + client->sent,
		    client->reply_length - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		client->sent += (size_t)n;
		if (client->sent < client->reply_length)
			continue;
		free(client->reply);
		client->reply = NULL;
		control_client_heard(client);
	}
	return client->ask != NULL || !client->is_last;
}

/* Takes the reply over. */
static void
control_client_say(struct control_client *client, char *reply)
{
	client->reply = reply;
	client->reply_length = strlen(reply);
	client->sent = 0;
	control_client_heard(client);
}

void
control_ask_reply(struct control_ask *ask, json_t *reply)
{
	struct control_client *client = ask->client;

	control_ask_free(ask);
	if (client == NULL) {
		json_decref(reply);
		return;
	}
	control_client_say(client, control_line_text(control_done(reply)));
	/* It goes out in the client's own event: whoever calls here is busy with other things. */
	event_add(client->writable, NULL);
}

bool
control_ask_is_ours(const struct control_ask *ask)
{
	return ask->is_ours;
}

/* One request. False when the client must go. */
static bool
control_client_ask(struct control_client *client, size_t length, bool is_last)
{
	struct control_ask *ask = control_ask_may_open(client) ? control_ask_new(client) : NULL;
	bool is_garbage;
	char *reply;

	client->is_last = is_last;
	reply = control_line_answer(
	    &client->clients->tables, ask, buf_bytes(&client->in), length, &is_garbage);
	if (reply == NULL) {
		control_client_heard(client);
		return true;
	}
	if (ask != NULL)
		control_ask_free(ask);
	client->is_last |= is_garbage;
	control_client_say(client, reply);
	return control_client_write(client);
}

static bool
control_client_is_reading(const struct control_client *client)
{
	return client->reply == NULL && client->ask == NULL;
}

/* Answers whole requests as long as it goes. False when the client must go. */
static bool
control_client_answer(struct control_client *client)
{
	while (control_client_is_reading(client) && buf_length(&client->in) > 0) {
		const char *line = buf_bytes(&client->in);
		const char *lf = memchr(line, '\n', buf_length(&client->in));
		size_t length;
		bool keep;

		if (lf == NULL && buf_length(&client->in) >= CONTROL_REQUEST_MAX) {
			client->is_last = true;
			control_client_say(client, control_line_error("the request is too long"));
			return control_client_write(client);
		}
		if (lf == NULL)
			return true;
		length = (size_t)(lf - line);
		keep = control_client_ask(client, length, false);
		buf_consume(&client->in, length + 1);
		if (!keep)
			return false;
	}
	return true;
}

/* Reads once. At the end of the input a rest without LF is a request too. */
static bool
control_client_read(struct control_client *client)
{
	size_t room = CONTROL_REQUEST_MAX - buf_length(&client->in);
	ssize_t n = read(client->fd, buf_reserve(&client->in, room), room);
	bool keep;

	if (n < 0) {
		keep = errno == EAGAIN || errno == EINTR;
		buf_consume(&client->in, 0);
		return keep;
	}
	if (n == 0) {
		size_t length = buf_length(&client->in);

		keep = length > 0 && control_client_ask(client, length, true);
		buf_consume(&client->in, length);
		return keep;
	}
	buf_added(&client->in, (size_t)n);
	return control_client_answer(client);
}

/* Reading, waiting and writing take turns. */
static bool
control_client_watch(struct control_client *client)
{
	if (control_client_is_reading(client))
		return event_add(client->readable, NULL) == 0;
	if (event_del(client->readable) != 0)
		return false;
	return client->reply == NULL || event_add(client->writable, NULL) == 0;
}

static void
control_client_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;

	(void)fd;
	(void)what;
	if (!control_client_read(client) || !control_client_watch(client))
		control_client_free(client);
}

static void
control_client_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;

	(void)fd;
	(void)what;
	if (!control_client_write(client) || !control_client_answer(client) ||
	    !control_client_watch(client))
		control_client_free(client);
}

/* Whether both sides of the connection are shut; one side alone may still wait for its reply. */
static bool
control_client_has_left(const struct control_client *client)
{
	struct pollfd ready = {.fd = client->fd};

	return poll(&ready, 1, 0) == 1 && (ready.revents & (POLLHUP | POLLERR)) != 0;
}

static void
control_client_on_late(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;

	(void)fd;
	(void)what;
	if (client->ask != NULL && !control_client_has_left(client) &&
	    event_add(client->late, &control_look) == 0)
		return;
	control_client_free(client);
}

void
control_client_refuse(int fd, const char *error)
{
	char *line = control_line_error(error);

	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(line);
	close(fd);
}

static void
control_client_dismiss(struct control_client *client, const char *error)
{
	char *line = control_line_error(error);

	/* In the middle of a reply a line of its own would be no line. */
	if (client->reply == NULL)
		(void)!send(client->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(line);
	control_client_free(client);
}

/* ---- all clients ---- */

void
control_clients_open(
    struct control_clients *clients, struct event_base *base, const struct control_tables *tables)
{
	clients->base = base;
	clients->tables = *tables;
	TAILQ_INIT(&clients->list);
	LIST_INIT(&clients->asks);
}

void
control_clients_close(struct control_clients *clients)
{
	struct control_client *client;
	struct control_ask *ask;

	while ((client = TAILQ_FIRST(&clients->list)) != NULL) {
		if (client->ask != NULL) {
			control_client_dismiss(client, "the daemon has stopped");
			continue;
		}
		/* A reply of this very turn has not been sent yet. */
		(void)control_client_write(client);
		control_client_free(client);
	}
	while ((ask = LIST_FIRST(&clients->asks)) != NULL) {
		LIST_REMOVE(ask, entry);
		ask->clients = NULL;
	}
}

/* Whoever waits for an answer and has left; among all, or among strangers alone. */
static struct control_client *
control_clients_gone(const struct control_clients *clients, bool any)
{
	struct control_client *client;

	TAILQ_FOREACH (client, &clients->list, entry)
		if (client->ask != NULL && (any || !client->is_ours) &&
		    control_client_has_left(client))
			return client;
	return NULL;
}

/* The first, who was silent longest, with or without a question; any, or of strangers alone. */
static struct control_client *
control_clients_oldest(const struct control_clients *clients, bool has_asked, bool any)
{
	struct control_client *client;

	TAILQ_FOREACH (client, &clients->list, entry)
		if ((client->ask != NULL) == has_asked && (any || !client->is_ours))
			return client;
	return NULL;
}

/* Who goes for a newcomer. NULL when it is the newcomer. */
static struct control_client *
control_clients_choose(struct control_clients *clients, bool is_ours)
{
	struct control_client *client = control_clients_gone(clients, is_ours);

	if (client == NULL)
		client = control_clients_oldest(clients, false, false);
	if (client == NULL && is_ours)
		client = control_clients_oldest(clients, false, true);
	if (client == NULL && is_ours)
		client = control_clients_oldest(clients, true, false);
	return client;
}

static bool
control_clients_have_room(const struct control_clients *clients, bool is_ours)
{
	return clients->count < CONTROL_CLIENTS_MAX &&
	       (is_ours || clients->strangers < CONTROL_CLIENTS_MAX - CONTROL_RESERVED);
}

uint64_t
control_clients_full_for(const struct control_clients *clients)
{
	const struct control_client *client;
	uint64_t now = clock_now();

	if (control_clients_have_room(clients, false))
		return 0;
	/* Nobody knows yet who the newcomer is, so the oldest of all is as good as any. */
	client = control_clients_oldest(clients, false, true);
	if (client == NULL || now - client->heard >= CONTROL_GRACE)
		return 0;
	return CONTROL_GRACE - (now - client->heard);
}

static bool
control_clients_make_room(struct control_clients *clients, bool is_ours)
{
	struct control_client *client;

	if (control_clients_have_room(clients, is_ours))
		return true;
	client = control_clients_choose(clients, is_ours);
	if (client == NULL)
		return false;
	control_client_dismiss(client, "too many clients");
	return true;
}

/* The caller looks whether it has its events. */
static struct control_client *
control_client_new(struct control_clients *clients, int fd, bool is_ours)
{
	struct control_client *client = mem_alloc(1, sizeof(*client));

	client->clients = clients;
	client->fd = fd;
	client->is_ours = is_ours;
	client->heard = clock_now();
	TAILQ_INSERT_TAIL(&clients->list, client, entry);
	clients->count++;
	clients->strangers += !is_ours;
	client->readable =
	    event_new(clients->base, fd, EV_READ | EV_PERSIST, control_client_on_readable, client);
	client->writable =
	    event_new(clients->base, fd, EV_WRITE, control_client_on_writable, client);
	client->late = evtimer_new(clients->base, control_client_on_late, client);
	return client;
}

struct control_client *
control_client_resume(struct control_clients *clients, int fd, bool is_ours, bool is_asking)
{
	struct control_client *client = control_client_new(clients, fd, is_ours);

	if (is_asking)
		(void)control_ask_new(client);
	return client;
}

bool
control_client_go_on(struct control_client *client)
{
	return client->readable != NULL && client->writable != NULL && client->late != NULL &&
	       event_add(client->late, client->ask != NULL ? &control_look : &control_idle) == 0 &&
	       control_client_watch(client);
}

void
control_clients_add(struct control_clients *clients, int fd, bool is_ours)
{
	struct control_client *client;

	if (!control_clients_make_room(clients, is_ours)) {
		control_client_refuse(fd, "too many clients");
		return;
	}
	client = control_client_new(clients, fd, is_ours);
	if (client->readable == NULL || client->writable == NULL || client->late == NULL ||
	    event_add(client->late, &control_idle) != 0)
		control_client_free(client);
	else /* at once: it may have asked already, and shall not be displaced before it is read */
		control_client_on_readable(fd, EV_READ, client);
}
