/*
 * The master: the parent of everybody. Reads the configuration, owns the listening sockets, the
 * pools and every life, and never reads a client's byte.
 *
 * Its parts are told the time and asked when they want to be called next; processes are started
 * between turns of the event loop, never inside a callback.
 */
#ifndef DAEMON_MASTER_H
#define DAEMON_MASTER_H

#include "common/backend.h"
#include "common/conf.h"
#include "common/stats.h"
#include "daemon/balance.h"
#include "daemon/collect.h"
#include "daemon/control.h"
#include "daemon/generation.h"
#include "daemon/guardian.h"
#include "daemon/instance.h"
#include "daemon/priv.h"
#include "daemon/reload.h"
#include "daemon/service.h"
#include "daemon/slot.h"
#include "daemon/state.h"
#include "daemon/stop.h"
#include "daemon/upgrade.h"
#include "ipc/pool.h"

#include <event2/event.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define MASTER_NEVER UINT64_MAX /* a time that does not come */

enum master_state { MASTER_STARTING, MASTER_RUNNING, MASTER_STOPPING };

#define MASTER_SIGNALS 9

struct listing;

struct master {
	const struct conf *conf;     /* borrows; of the current generation */
	const char *control_default; /* borrows; where no control socket is configured */
	char *control_path;          /* owns */
	char *pid_path;              /* owns; NULL for none */
	pid_t pid;                   /* ours; children compare getppid(2) with it */
	uint64_t started;
	uint64_t turned; /* when the newest turn began */
	enum master_state state;
	int quiet_level;      /* of the log before an order changed it; -1: none did */
	struct rlimit nofile; /* as we were started; instances get it back */

	enum backend backend;                  /* of the workers' loops; never auto */
	struct event_base *base;               /* owns */
	struct event *signals[MASTER_SIGNALS]; /* owns */
	struct event *tick;                    /* owns; when somebody wants to be called */
	struct event *looked;                  /* owns; on wake_master */

	struct generation_list generations; /* owns; oldest first */
	struct generation *current;         /* borrows; the one that accepts */
	unsigned generation_number;         /* of the newest */
	struct service_list services;       /* owns; of all generations */
	struct collect_files files;         /* owns; that services collect in */
	uint32_t file_number;               /* of the newest of them */
	struct collect_opens left_files;    /* owns; those that were replaced, oldest first */
	unsigned left_count;                /* how many they are */
	struct reload reload;
	struct upgrade upgrade;
	unsigned logs_version; /* rises when workers must be told of their logs */

	struct stats *sum; /* owns; of all services */
	unsigned ids;      /* worker ids */
	int *wakes;        /* owns; an eventfd for each worker id */
	int wake_master;   /* owns; eventfd */
	struct priv worker_priv;

	struct balance balance;
	struct guardian guardian;
	uint64_t guardian_retry; /* when the next one may be tried */
	struct stop stop;

	int pidfile;             /* owns; -1 for none */
	struct control *control; /* owns */
	struct listing *listing; /* owns */

	bool rehearsal;           /* we only try whether we could be the master: see state.h */
	struct state_guest guest; /* owns */
};

/* Whether a pool must start over before workers or instances may be started. */
bool master_is_damaged(const struct master *master);
/* All pools must. */
void master_damage_all(struct master *master);
/* Takes up what a reload changed of the master's own: the diff says what. */
void master_apply(struct master *master, const struct conf_diff *diff);
/*
 * The whole life; takes `conf` over. `control_default` is where the control socket is when a file
 * names none. `start` is how the process was started. Returns the exit status.
 */
int master_run(struct conf *conf, const char *control_default, const struct upgrade_start *start);
/* The rest of the life of a master that is open, or was taken over; frees it. */
int master_live(struct master *master);

/* ---- between the master's own files ---- */

/* master_open.c; a failure is fatal. */
void master_open(struct master *master, struct conf *conf);
void master_close(struct master *master);
/* master_events.c: the loop and what it waits for. False and a sentence in `why`. */
bool master_make_events(struct master *master, char *why, size_t why_size);
void master_free_events(struct master *master);
/* Who may use the control socket, and what for. */
struct control_setup master_control_setup(struct master *master);
/* master.c: what ends a turn of the loop */
void master_on_signal(evutil_socket_t number, short what, void *arg);
void master_on_wake(evutil_socket_t fd, short what, void *arg);
void master_on_tick(evutil_socket_t fd, short what, void *arg);

#endif
