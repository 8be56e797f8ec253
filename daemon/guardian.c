/*
 * Both sides of the guardian: the master's, which forks it and tells it, and its own short life,
 * which is one read(2) after another. It owns its end of the pipe and its list of groups, holds no
 * other descriptor but the log's, and never signals anything while the master lives.
 */
#include "daemon/guardian.h"

#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum guardian_order { GUARDIAN_ADD = 1, GUARDIAN_FORGET = 2 };

/* Shorter than PIPE_BUF: written and read as a whole. */
struct guardian_record {
	uint32_t order;
	int32_t group;
};

#define GUARDIAN_BATCH 64 /* records of one read(2) */

/* What the guardian itself knows. */
struct guardian_list {
	pid_t *groups; /* owns */
	size_t count, capacity;
};

/* ---- the guardian's own life ---- */

static void
guardian_learn(struct guardian_list *list, pid_t group)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity > 0 ? list->capacity * 2 : 64;
		list->groups = mem_resize(list->groups, list->capacity, sizeof(pid_t));
	}
	list->groups[list->count++] = group;
}

static void
guardian_unlearn(struct guardian_list *list, pid_t group)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->groups[i] == group)
			list->groups[i--] = list->groups[--list->count];
}

static void
guardian_obey(struct guardian_list *list, const struct guardian_record *record)
{
	/* Group 0 or 1 would mean our own, or everybody. */
	if (record->group <= 1)
		return;
	if (record->order == GUARDIAN_ADD)
		guardian_learn(list, record->group);
	else if (record->order == GUARDIAN_FORGET)
		guardian_unlearn(list, record->group);
}

/* Reads orders until the last writer is gone. */
static void
guardian_listen(int fd, struct guardian_list *list)
{
	struct guardian_record records[GUARDIAN_BATCH];

	for (;;) {
		ssize_t n = read(fd, records, sizeof(records));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		for (size_t i = 0; i < (size_t)n / sizeof(records[0]); i++)
			guardian_obey(list, &records[i]);
	}
}

static void
guardian_kill(const struct guardian_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		kill(-list->groups[i], SIGKILL);
	if (list->count > 0)
		log_warnx("the master is gone; killed %zu process group%s", list->count,
		    list->count == 1 ? "" : "s");
	log_flush();
}

/* Nothing that is meant for the master, or for its terminal, may end the guardian. */
static void
guardian_set_signals(void)
{
	static const int ignored[] = {
	    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE, SIGTTOU, SIGTTIN, SIGTSTP};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Keeps the pipe and the log; 0 to 2 are held by /dev/null. */
static void
guardian_close_rest(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int low = fd < log_fd() ? fd : log_fd();
	int high = fd < log_fd() ? log_fd() : fd;

	for (int i = 0; i <= STDERR_FILENO; i++)
		if (null >= 0)
			dup2(null, i);
	if (low > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)low - 1, 0);
	if (low >= 0 && high > low + 1)
		close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0U, 0);
}

static void __attribute__((noreturn)) guardian_main(int fd, const pid_t *groups, size_t count)
{
	struct guardian_list list = {0};

	/* A group of its own: who kills the master's whole group does not kill the guardian. */
	setsid();
	prctl(PR_SET_NAME, "hostler-guard");
	log_open("guardian", log_get_level());
	guardian_set_signals();
	guardian_close_rest(fd);
	for (size_t i = 0; i < count; i++)
		guardian_learn(&list, groups[i]);
	guardian_listen(fd, &list);
	guardian_kill(&list);
	_exit(0);
}

/* ---- the master's side ---- */

int
guardian_start(struct guardian *guardian, const pid_t *groups, size_t count)
{
	sigset_t all, before;
	int ends[2], saved;

	guardian->pid = 0;
	guardian->pipe = -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	/* A stopped guardian must not stop the master. */
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	guardian->pid = fork();
	if (guardian->pid == 0) {
		close(ends[1]);
		guardian_main(ends[0], groups, count);
	}
	saved = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[0]);
	if (guardian->pid < 0) {
		guardian->pid = 0;
		close(ends[1]);
		errno = saved;
		return -1;
	}
	guardian->pipe = ends[1];
	return 0;
}

static int
guardian_tell(int fd, enum guardian_order order, pid_t group)
{
	struct guardian_record record = {.order = order, .group = group};
	ssize_t n;

	do
		n = write(fd, &record, sizeof(record));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(record) ? 0 : -1;
}

int
guardian_add(int pipe, pid_t group)
{
	return guardian_tell(pipe, GUARDIAN_ADD, group);
}

void
guardian_forget(struct guardian *guardian, pid_t group)
{
	if (guardian->pipe < 0 || guardian_tell(guardian->pipe, GUARDIAN_FORGET, group) == 0)
		return;
	/* It must not live on with a number that is about to be free. */
	log_warn("guardian (pid %ld) cannot be told and is replaced", (long)guardian->pid);
	kill(guardian->pid, SIGKILL);
}

void
guardian_gone(struct guardian *guardian)
{
	if (guardian->pipe >= 0)
		close(guardian->pipe);
	guardian->pipe = -1;
	guardian->pid = 0;
}

void
guardian_stop(struct guardian *guardian)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	pid_t pid = guardian->pid;
	int tries = 0;

	guardian_gone(guardian);
	if (pid <= 0)
		return;
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (++tries == 200)
			kill(pid, SIGKILL);
		nanosleep(&pause, NULL);
	}
}
