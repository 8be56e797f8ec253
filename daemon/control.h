/*
 * The control socket: a unix stream socket that takes one JSON object in a line and answers with
 * one line. It knows its peers by their credentials, and it is bounded in everything: clients,
 * length of a request, time.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "common/record.h"
#include "daemon/control_line.h"

#include <event2/event.h>

#include <stdbool.h>
#include <sys/types.h>

#define CONTROL_CLIENTS_MAX 32
#define CONTROL_ASKS_MAX    64    /* requests under way, those of clients that have left too */
#define CONTROL_RESERVED    8     /* of both for root and our own uid alone */
#define CONTROL_REQUEST_MAX 65536 /* bytes of a request with its LF */
#define CONTROL_IDLE        5     /* seconds without a whole request, or without taking a reply */

struct control; /* owns its socket, its clients and their events */

/* What it is made for. The pointers are borrowed as long as it is open. */
struct control_setup {
	const char *path;
	uid_t uid; /* may talk to it, beside root and our own uid; (uid_t)-1 for none */
	gid_t gid; /* its members may too; (gid_t)-1 for none */
	const struct control_command *const *tables; /* of commands; NULL ends it */
	void *arg;                                   /* of the commands */
};

/* NULL and a sentence in `why` when the socket cannot be had. */
struct control *control_open(
    struct event_base *base, const struct control_setup *setup, char *why, size_t why_size);
/*
 * The same socket in another image of the master, and those who are connected. `saved` is what
 * control_save() returned; `on_ask` is called for each request under way. NULL when that cannot be:
 * then nothing was closed.
 */
struct control *control_load(struct event_base *base, const struct control_setup *setup,
    const json_t *saved, struct record_reader *reader,
    void (*on_ask)(void *arg, struct control_ask *ask), void *arg);
json_t *control_save(const struct control *control);
/* Frees it all, but leaves what it owns outside as it is. */
void control_disown(struct control *control);
/* Removes the socket. Asks that are open stay valid until they are answered. */
void control_close(struct control *control);

#endif
