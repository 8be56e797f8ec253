/*
 * How a worker comes into being. Between fork and worker_main() the child sheds everything that is
 * the master's: event loop, handlers, descriptors, privileges. It never returns to the master's
 * code.
 */
#include "common/log.h"
#include "common/mem.h"
#include "daemon/master.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void
slot_fork_tie(pid_t master)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		fatal("cannot be tied to the master");
	/* It may be gone already; then the signal will not come. */
	if (getppid() != master)
		_exit(1);
}

/* The loop is shared with the master until it is made anew; freeing it must not reach the master's.
 */
static void
slot_fork_drop_loop(struct event_base *base)
{
	event_reinit(base);
	event_base_free(base);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
}

static int
slot_fork_compare(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Closes all but 0 to 2, the logs, the channel, the listening sockets and the eventfds. */
static void
slot_fork_close_rest(const struct slot *slot, int channel)
{
	const struct listen_set *listen = &slot->generation->listen;
	const struct master *master = slot->master;
	const struct logs *logs = &slot->generation->logs;
	unsigned services = slot->generation->conf->service_count;
	int *keep = mem_alloc(listen->count + master->ids + services + 6, sizeof(int));
	unsigned count = 0;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		keep[count++] = fd;
	keep[count++] = log_fd() >= 0 ? log_fd() : STDERR_FILENO;
	keep[count++] = channel;
	keep[count++] = master->wake_master;
	for (unsigned i = 0; i < listen->count; i++)
		keep[count++] = listen->listeners[i].fd;
	for (unsigned i = 0; i < services; i++)
		if (logs->access[i] >= 0)
			keep[count++] = logs->access[i];
	for (unsigned i = 0; i < master->ids; i++)
		keep[count++] = master->wakes[i];
	qsort(keep, count, sizeof(int), slot_fork_compare);
	for (unsigned i = 1; i < count; i++)
		if (keep[i] > keep[i - 1] + 1)
			close_range((unsigned)keep[i - 1] + 1, (unsigned)keep[i] - 1, 0);
	close_range((unsigned)keep[count - 1] + 1, ~0U, 0);
	free(keep);
}

/* A descriptor that the worker watches gets a number that its loop can carry. */
static int
slot_fork_carry(const struct master *master, int fd)
{
	int most = backend_descriptors(master->backend), lower;

	if (fd < most)
		return fd;
	lower = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (lower < 0 || lower >= most)
		fatalx("event_backend %s cannot carry descriptor %d", backend_name(master->backend),
		    fd);
	close(fd);
	return lower;
}

static void
slot_fork_carry_all(struct slot *slot, int *channel)
{
	struct master *master = slot->master;
	struct listen_set *listen = &slot->generation->listen;

	*channel = slot_fork_carry(master, *channel);
	master->wakes[slot->id] = slot_fork_carry(master, master->wakes[slot->id]);
	for (unsigned i = 0; i < listen->count; i++)
		listen->listeners[i].fd = slot_fork_carry(master, listen->listeners[i].fd);
}

static void __attribute__((noreturn)) slot_fork_child(struct slot *slot, int channel)
{
	struct master *master = slot->master;
	const struct generation *generation = slot->generation;
	struct worker_start start = {
	    .conf = generation->conf,
	    .id = slot->id,
	    .ids = master->ids,
	    .backend = master->backend,
	    .max_connections = generation->max_connections,
	    .wakes = master->wakes,
	    .wake_master = master->wake_master,
	    .listeners = generation->listen.listeners,
	    .listener_count = generation->listen.count,
	    .access_logs = generation->logs.access,
	    .pools = generation->pools,
	    .stats = generation->stats,
	    .sum = master->sum,
	    .is_trial = master->rehearsal,
	};
	char role[32];

	slot_fork_tie(master->pid);
	slot_fork_drop_loop(master->base);
	snprintf(role, sizeof(role), "worker %u", slot->place);
	log_open(role, log_get_level());
	slot_fork_close_rest(slot, channel);
	slot_fork_carry_all(slot, &channel);
	start.channel = channel;
	priv_drop(&master->worker_priv);
	/* A change of ids clears it. */
	slot_fork_tie(master->pid);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		fatal("cannot give up new privileges");
	umask(077);
	exit(worker_main(&start));
}

pid_t
slot_fork(struct slot *slot, int channel)
{
	sigset_t all, before;
	pid_t pid;
	int saved;

	fflush(NULL);
	/* The worker is born with all signals blocked: nothing may reach the master's handlers. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		slot_fork_child(slot, channel);
	saved = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return pid;
}
