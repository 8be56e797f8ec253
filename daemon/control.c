/*
 * The clients of the control socket. Each has one buffer for what it asks and one reply that goes
 * out; while a reply goes out nothing is read, so a client that does not take its replies costs one
 * of them. Uses read(2), which lets the kernel drop descriptors that somebody passes.
 */
#include "daemon/control.h"

#include "common/addr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/sockpath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_BACKLOG    64
#define CONTROL_MODE       0660
#define CONTROL_GROUPS_MAX 256 /* supplementary groups of a peer that are looked at */
#define CONTROL_TURN_MAX   16  /* clients that are accepted in one turn of the loop */

struct control_client {
	TAILQ_ENTRY(control_client) entry;
	struct control *control; /* borrows */
	int fd;                  /* owns */
	struct event *readable;  /* owns */
	struct event *writable;  /* owns */
	struct event *late;      /* owns; the time for a whole request, or for taking a reply */
	struct buf in;           /* owns */
	char *reply;             /* owns; NULL when none is going out */
	size_t reply_length, sent;
	bool is_last; /* close when the reply is out */
};

struct control {
	struct event_base *base; /* borrows */
	struct control_setup setup;
	struct addr addr;
	struct sockpath sockpath;
	int fd;               /* owns */
	struct event *accept; /* owns */
	struct event *resume; /* owns; accepting goes on after a pause */
	TAILQ_HEAD(, control_client) clients;
	unsigned count;
	uint64_t complained; /* when a stranger was last mentioned */
};

static const struct timeval control_idle = {.tv_sec = CONTROL_IDLE};
static const struct timeval control_pause = {.tv_sec = 1};

/* ---- one client ---- */

static void
control_client_free(struct control_client *client)
{
	TAILQ_REMOVE(&client->control->clients, client, entry);
	client->control->count--;
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
		event_add(client->late, &control_idle);
	}
	return !client->is_last;
}

/* Takes the reply over. Whoever is answered was heard, so its time begins anew. */
static bool
control_client_say(struct control_client *client, char *reply, bool is_last)
{
	client->reply = reply;
	client->reply_length = strlen(reply);
	client->sent = 0;
	client->is_last = is_last;
	event_add(client->late, &control_idle);
	return control_client_write(client);
}

static bool
control_client_ask(struct control_client *client, size_t length, bool is_last)
{
	const struct control_setup *setup = &client->control->setup;
	bool is_garbage;
	char *reply = control_line_answer(
	    setup->commands, setup->arg, buf_bytes(&client->in), length, &is_garbage);

	return control_client_say(client, reply, is_garbage || is_last);
}

/* Answers whole requests until a reply does not go out at once. False when the client must go. */
static bool
control_client_answer(struct control_client *client)
{
	while (client->reply == NULL && buf_length(&client->in) > 0) {
		const char *line = buf_bytes(&client->in);
		const char *lf = memchr(line, '\n', buf_length(&client->in));
		size_t length;
		bool keep;

		if (lf == NULL && buf_length(&client->in) >= CONTROL_REQUEST_MAX)
			return control_client_say(
			    client, control_line_error("the request is too long"), true);
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

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return buf_length(&client->in) > 0 &&
		       control_client_ask(client, buf_length(&client->in), true);
	buf_added(&client->in, (size_t)n);
	return control_client_answer(client);
}

/* Reading and writing take turns. */
static bool
control_client_watch(struct control_client *client)
{
	if (client->reply != NULL)
		return event_del(client->readable) == 0 && event_add(client->writable, NULL) == 0;
	return event_add(client->readable, NULL) == 0;
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

static void
control_client_on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_client_free(arg);
}

/* ---- who may come in ---- */

static bool
control_is_member(int fd, gid_t first, gid_t wanted)
{
	gid_t groups[CONTROL_GROUPS_MAX];
	socklen_t length = sizeof(groups);

	if (first == wanted)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) != 0)
		return false;
	for (size_t i = 0; i < length / sizeof(gid_t); i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

static bool
control_may_enter(struct control *control, int fd)
{
	const struct control_setup *setup = &control->setup;
	struct ucred peer;
	socklen_t length = sizeof(peer);
	uint64_t now = clock_now();

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	if (setup->uid != (uid_t)-1 && peer.uid == setup->uid)
		return true;
	if (setup->gid != (gid_t)-1 && control_is_member(fd, peer.gid, setup->gid))
		return true;
	if (control->complained == 0 || now - control->complained > CLOCK_SECOND)
		log_warnx("control: uid %lu (pid %ld) is refused", (unsigned long)peer.uid,
		    (long)peer.pid);
	control->complained = now;
	return false;
}

/* One line for somebody who is not let in; the socket's buffer takes it or not. */
static void
control_refuse(int fd, const char *error)
{
	char *line = control_line_error(error);

	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(line);
	close(fd);
}

static void
control_client_new(struct control *control, int fd)
{
	struct control_client *client = mem_alloc(1, sizeof(*client));

	client->control = control;
	client->fd = fd;
	TAILQ_INSERT_TAIL(&control->clients, client, entry);
	control->count++;
	client->readable =
	    event_new(control->base, fd, EV_READ | EV_PERSIST, control_client_on_readable, client);
	client->writable =
	    event_new(control->base, fd, EV_WRITE, control_client_on_writable, client);
	client->late = evtimer_new(control->base, control_client_on_late, client);
	if (client->readable == NULL || client->writable == NULL || client->late == NULL ||
	    event_add(client->readable, NULL) != 0 || event_add(client->late, &control_idle) != 0)
		control_client_free(client);
}

static void
control_on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)what;
	for (int i = 0; i < CONTROL_TURN_MAX; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer < 0) {
			/* Without descriptors the socket would stay readable and spin. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS) {
				event_del(control->accept);
				event_add(control->resume, &control_pause);
			}
			return;
		}
		if (!control_may_enter(control, peer))
			control_refuse(peer, "permission denied");
		else if (control->count >= CONTROL_CLIENTS_MAX)
			control_refuse(peer, "too many clients");
		else
			control_client_new(control, peer);
	}
}

static void
control_on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)fd;
	(void)what;
	if (event_add(control->accept, NULL) != 0)
		event_add(control->resume, &control_pause);
}

/* ---- life ---- */

static bool
control_listen(struct control *control, char *why, size_t why_size)
{
	const struct control_setup *setup = &control->setup;
	char clause[256], text[ADDR_TEXT_MAX + 8];

	snprintf(text, sizeof(text), "unix:%s", setup->path);
	if (!addr_parse(&control->addr, text, clause, sizeof(clause))) {
		snprintf(why, why_size, "control socket %s: %s", setup->path, clause);
		return false;
	}
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (control->fd < 0) {
		snprintf(why, why_size, "control socket: %s", strerror(errno));
		return false;
	}
	if (!sockpath_bind(&control->sockpath, control->fd, &control->addr, CONTROL_MODE, clause,
		sizeof(clause))) {
		snprintf(why, why_size, "control socket %s %s", setup->path, clause);
		return false;
	}
	/* The mode lets owner and group in; for root both can be others than ourselves. */
	if ((setup->uid != (uid_t)-1 || setup->gid != (gid_t)-1) &&
	    chown(setup->path, geteuid() == 0 ? setup->uid : (uid_t)-1, setup->gid) != 0)
		log_warn("control socket %s cannot be given its owner", setup->path);
	if (listen(control->fd, CONTROL_BACKLOG) != 0) {
		snprintf(why, why_size, "control socket %s: %s", setup->path, strerror(errno));
		return false;
	}
	return true;
}

struct control *
control_open(struct event_base *base, const struct control_setup *setup, char *why, size_t why_size)
{
	struct control *control = mem_alloc(1, sizeof(*control));

	control->base = base;
	control->setup = *setup;
	control->fd = -1;
	TAILQ_INIT(&control->clients);
	if (!control_listen(control, why, why_size)) {
		control_close(control);
		return NULL;
	}
	control->accept =
	    event_new(base, control->fd, EV_READ | EV_PERSIST, control_on_acceptable, control);
	control->resume = evtimer_new(base, control_on_resume, control);
	if (control->accept == NULL || control->resume == NULL ||
	    event_add(control->accept, NULL) != 0) {
		snprintf(why, why_size, "control socket %s cannot be watched", setup->path);
		control_close(control);
		return NULL;
	}
	return control;
}

void
control_close(struct control *control)
{
	if (control == NULL)
		return;
	while (!TAILQ_EMPTY(&control->clients))
		control_client_free(TAILQ_FIRST(&control->clients));
	if (control->accept != NULL)
		event_free(control->accept);
	if (control->resume != NULL)
		event_free(control->resume);
	if (control->fd >= 0) {
		sockpath_remove(&control->sockpath, control->setup.path);
		close(control->fd);
	}
	free(control);
}
