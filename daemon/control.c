/*
 * The control socket: owns it, accepts, and looks who is there. What is said then is not its
 * business.
 */
#include "daemon/control.h"

#include "common/addr.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/control_client.h"
#include "daemon/sockpath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_BACKLOG    64
#define CONTROL_MODE       0660
#define CONTROL_GROUPS_MAX 256 /* supplementary groups of a peer that are looked at */
#define CONTROL_PAUSE      CLOCK_SECOND
#define CONTROL_TURN_MAX   16 /* clients that are accepted in one turn of the loop */

struct control {
	struct event_base *base; /* borrows */
	struct control_setup setup;
	struct addr addr;
	struct sockpath sockpath;
	int fd;               /* owns */
	struct event *accept; /* owns */
	struct event *resume; /* owns; accepting goes on after a pause */
	struct control_clients clients;
	uint64_t complained; /* when a stranger was last mentioned */
};

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

/* *is_ours: root or our own uid, whom nobody else may keep out. */
static bool
control_may_enter(struct control *control, int fd, bool *is_ours)
{
	const struct control_setup *setup = &control->setup;
	struct ucred peer;
	socklen_t length = sizeof(peer);
	uint64_t now = clock_now();

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
		return false;
	*is_ours = peer.uid == 0 || peer.uid == geteuid();
	if (*is_ours)
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

static void
control_pause(struct control *control, uint64_t time)
{
	struct timeval pause = {.tv_sec = (time_t)(time / CLOCK_SECOND),
	    .tv_usec = (suseconds_t)(time % CLOCK_SECOND / 1000) + 1};

	event_del(control->accept);
	event_add(control->resume, &pause);
}

static void
control_on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)what;
	for (int i = 0; i < CONTROL_TURN_MAX; i++) {
		uint64_t full = control_clients_full_for(&control->clients);
		bool is_ours;
		int peer;

		if (full > 0) {
			control_pause(control, full);
			return;
		}
		peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (peer < 0) {
			/* Without descriptors the socket would stay readable and spin. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS)
				control_pause(control, CONTROL_PAUSE);
			return;
		}
		if (control_may_enter(control, peer, &is_ours))
			control_clients_add(&control->clients, peer, is_ours);
		else
			control_client_refuse(peer, "permission denied");
	}
}

static void
control_on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)fd;
	(void)what;
	if (event_add(control->accept, NULL) != 0)
		control_pause(control, CONTROL_PAUSE);
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

static struct control *
control_new(struct event_base *base, const struct control_setup *setup)
{
	const struct control_tables tables = {setup->tables, setup->arg};
	struct control *control = mem_alloc(1, sizeof(*control));

	control->base = base;
	control->setup = *setup;
	control->fd = -1;
	control_clients_open(&control->clients, base, &tables);
	return control;
}

static bool
control_watch(struct control *control)
{
	control->accept = event_new(
	    control->base, control->fd, EV_READ | EV_PERSIST, control_on_acceptable, control);
	control->resume = evtimer_new(control->base, control_on_resume, control);
	return control->accept != NULL && control->resume != NULL &&
	       event_add(control->accept, NULL) == 0;
}

struct control *
control_open(struct event_base *base, const struct control_setup *setup, char *why, size_t why_size)
{
	struct control *control = control_new(base, setup);

	if (!control_listen(control, why, why_size)) {
		control_close(control);
		return NULL;
	}
	if (!control_watch(control)) {
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
	control_clients_close(&control->clients);
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

/* ---- from one image of the master to the next ---- */

/*
 * Not of struct control: base, setup, addr, accept, resume, clients, complained. Clients are saved
 * by control_save.c, the rest is made anew.
 */
static const struct record_field control_fields[] = {
    RECORD_FIELD(struct control, fd, FD, 0),
    RECORD_NAMED("device", struct control, sockpath.device, NUMBER, 0),
    RECORD_NAMED("inode", struct control, sockpath.inode, NUMBER, 0),
    RECORD_END,
};

json_t *
control_save(const struct control *control)
{
	json_t *saved = json_object();

	record_put(saved, control_fields, control);
	json_object_set_new(saved, "clients", control_clients_save(&control->clients));
	return saved;
}

struct control *
control_load(struct event_base *base, const struct control_setup *setup, const json_t *saved,
    struct record_reader *reader, void (*on_ask)(void *arg, struct control_ask *ask), void *arg)
{
	struct control *control = control_new(base, setup);

	if (record_take(reader, saved, control_fields, control) &&
	    (control->fd >= 0 || record_fail(reader, "there is no control socket")) &&
	    (control_watch(control) ||
		record_fail(reader, "control socket %s cannot be watched", setup->path)) &&
	    control_clients_load(
		&control->clients, json_object_get(saved, "clients"), reader, on_ask, arg))
		return control;
	control_disown(control);
	return NULL;
}

void
control_disown(struct control *control)
{
	struct control_client *client;
	struct control_ask *ask;

	if (control == NULL)
		return;
	/* Whoever has an ask answers it all the same, once. */
	LIST_FOREACH (ask, &control->clients.asks, entry)
		if (ask->client != NULL)
			ask->client->ask = NULL;
	LIST_FOREACH (ask, &control->clients.asks, entry)
		ask->client = NULL;
	TAILQ_FOREACH (client, &control->clients.list, entry) {
		free(client->reply);
		client->reply = NULL;
		client->fd = -1;
	}
	control->fd = -1;
	control_close(control);
}
