/*
 * Starts one program. Between vfork and execve the child runs in the master's memory, so it calls
 * only what is safe there: no allocation, no lock, no log. What fails is written into a struct that
 * the master reads afterwards.
 *
 * PR_SET_NO_NEW_PRIVS is set exactly where the uid was changed: who gave up a uid for a program
 * does not want it back through a set-uid file. A program that keeps the caller's uid may need
 * sudo(8) or ping(8), and gains nothing that the caller does not have.
 */
#include "daemon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* On a few machines the plain numbers are the old calls with 16-bit ids. */
#ifdef SYS_setgroups32
#define SPAWN_SETGROUPS SYS_setgroups32
#define SPAWN_SETRESGID SYS_setresgid32
#define SPAWN_SETRESUID SYS_setresuid32
#else
#define SPAWN_SETGROUPS SYS_setgroups
#define SPAWN_SETRESGID SYS_setresgid
#define SPAWN_SETRESUID SYS_setresuid
#endif

enum spawn_stage {
	SPAWN_FINE,
	SPAWN_PIPE,
	SPAWN_FORK,
	SPAWN_GROUP,
	SPAWN_GUARDIAN,
	SPAWN_LIMIT,
	SPAWN_GROUPS,
	SPAWN_GID,
	SPAWN_UID,
	SPAWN_PRIVS,
	SPAWN_PARENT,
	SPAWN_DUP,
	SPAWN_DIRECTORY,
	SPAWN_EXEC
};

static const char *const spawn_stages[] = {
    [SPAWN_PIPE] = "cannot make a pipe",
    [SPAWN_FORK] = "cannot fork",
    [SPAWN_GROUP] = "cannot make a process group",
    [SPAWN_GUARDIAN] = "cannot tell the guardian",
    [SPAWN_LIMIT] = "cannot set a resource limit",
    [SPAWN_GROUPS] = "cannot set the supplementary groups",
    [SPAWN_GID] = "cannot set the gid",
    [SPAWN_UID] = "cannot set the uid",
    [SPAWN_PRIVS] = "cannot give up new privileges",
    [SPAWN_PARENT] = "cannot be tied to its parent",
    [SPAWN_DUP] = "cannot connect its pipes",
};

/* Shared with the child, which runs in our memory until it executes. */
struct spawn_step {
	const struct spawn_plan *plan; /* borrows */
	int guardian;                  /* borrows; where the group is told */
	pid_t master;
	int ends[3]; /* the child's stdin, stdout, stderr; above 2 */
	volatile enum spawn_stage stage;
	volatile int error;
};

/* ---- in the child ---- */

static void __attribute__((noreturn)) spawn_fail(struct spawn_step *step, enum spawn_stage stage)
{
	step->error = errno;
	step->stage = stage;
	_exit(127);
}

static void
spawn_set_ids(struct spawn_step *step)
{
	const struct spawn_plan *plan = step->plan;

	/* Raw calls: the library's would speak to other threads. */
	if (plan->set_gid) {
		if (syscall(SPAWN_SETGROUPS, plan->group_count, plan->groups) != 0)
			spawn_fail(step, SPAWN_GROUPS);
		if (syscall(SPAWN_SETRESGID, plan->gid, plan->gid, plan->gid) != 0)
			spawn_fail(step, SPAWN_GID);
	}
	if (plan->set_uid) {
		if (syscall(SPAWN_SETRESUID, plan->uid, plan->uid, plan->uid) != 0)
			spawn_fail(step, SPAWN_UID);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
			spawn_fail(step, SPAWN_PRIVS);
	}
}

static void
spawn_set_signals(void)
{
	struct sigaction fresh = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &fresh, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) spawn_child(struct spawn_step *step)
{
	const struct spawn_plan *plan = step->plan;

	if (setpgid(0, 0) != 0)
		spawn_fail(step, SPAWN_GROUP);
	/* SIGPIPE is still blocked here: a guardian that just died is an error, not our death. */
	if (guardian_add(step->guardian, getpid()) != 0)
		spawn_fail(step, SPAWN_GUARDIAN);
	for (unsigned i = 0; i < plan->limit_count; i++)
		if (setrlimit(plan->limits[i].resource, &plan->limits[i].value) != 0)
			spawn_fail(step, SPAWN_LIMIT);
	spawn_set_ids(step);
	/* After the ids: changing them would clear it. Then look whether it came too late. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		spawn_fail(step, SPAWN_PARENT);
	if (getppid() != step->master)
		_exit(127);
	for (int i = 0; i < 3; i++)
		if (dup2(step->ends[i], i) < 0)
			spawn_fail(step, SPAWN_DUP);
	if (chdir(plan->directory) != 0)
		spawn_fail(step, SPAWN_DIRECTORY);
	/* Everything is close-on-exec anyway; this also catches what we were started with. */
	close_range(3, ~0U, 0);
	spawn_set_signals();
	execve(plan->executable, plan->argv, plan->env);
	spawn_fail(step, SPAWN_EXEC);
}

/* ---- in the master ---- */

/*
 * A function of its own that nobody inlines: the child returns from vfork first and must find an
 * unspoilt stack frame when it is the master's turn.
 */
static pid_t __attribute__((noinline)) spawn_fork(struct spawn_step *step)
{
	pid_t pid = vfork();

	if (pid == 0)
		spawn_child(step);
	return pid;
}

static void
spawn_explain(const struct spawn_step *step, char why[SPAWN_WHY_MAX])
{
	const char *error = strerror(step->error);

	if (step->stage == SPAWN_EXEC)
		snprintf(
		    why, SPAWN_WHY_MAX, "cannot execute %s: %s", step->plan->executable, error);
	else if (step->stage == SPAWN_DIRECTORY)
		snprintf(why, SPAWN_WHY_MAX, "cannot change to the directory %s: %s",
		    step->plan->directory, error);
	else
		snprintf(why, SPAWN_WHY_MAX, "%s: %s", spawn_stages[step->stage], error);
}

static void
spawn_close(int fds[2])
{
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Three pipes, [0] to read and [1] to write; ours are non-blocking, the program's are not. */
static int
spawn_make_pipes(int pipes[3][2])
{
	for (int i = 0; i < 3; i++) {
		int ours = i == 0 ? 1 : 0;

		if (pipe2(pipes[i], O_CLOEXEC) != 0 ||
		    fcntl(pipes[i][ours], F_SETFL, O_NONBLOCK) != 0)
			return -1;
	}
	return 0;
}

/* Returns the pid, or -1; then step says why, and there is no process and no group any more. */
static pid_t
spawn_run(struct spawn_step *step, struct guardian *guardian)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = spawn_fork(step);
	if (pid < 0) {
		step->error = errno;
		step->stage = SPAWN_FORK;
	} else if (step->stage != SPAWN_FINE) {
		guardian_forget(guardian, pid);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		pid = -1;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

int
spawn_start(const struct spawn_plan *plan, struct guardian *guardian, struct spawned *spawned,
    char why[SPAWN_WHY_MAX])
{
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	struct spawn_step step = {
	    .plan = plan, .guardian = guardian->pipe, .master = getpid(), .stage = SPAWN_FINE};

	spawned->pid = -1;
	if (spawn_make_pipes(pipes) != 0) {
		step.error = errno;
		step.stage = SPAWN_PIPE;
	} else {
		step.ends[0] = pipes[0][0];
		step.ends[1] = pipes[1][1];
		step.ends[2] = pipes[2][1];
		spawned->pid = spawn_run(&step, guardian);
	}
	if (spawned->pid < 0) {
		for (int i = 0; i < 3; i++)
			spawn_close(pipes[i]);
		spawn_explain(&step, why);
		return -1;
	}
	close(pipes[0][0]);
	close(pipes[1][1]);
	close(pipes[2][1]);
	spawned->in = pipes[0][1];
	spawned->out = pipes[1][0];
	spawned->err = pipes[2][0];
	return 0;
}
