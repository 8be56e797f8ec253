/*
 * Model "processes": a process for each connection, as inetd and its children do. A client that
 * crashes its server hurts nobody else. It costs a fork for each connection, and a process has
 * page tables, a kernel stack and its copies of what it writes to: more than ten times what a
 * thread holds, for a client that is merely there.
 */
#include "tests/bench/bench_net.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void
echo_serve(int fd, pid_t parent)
{
	struct bench_client client = {.fd = fd};

	/* None outlives the server, which may have ended before this call. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent) {
		while (bench_echo(&client))
			;
	}
	_exit(0);
}

int
main(int argc, char **argv)
{
	int listener = bench_listen(argc, argv, true);
	pid_t self = getpid();

	for (;;) {
		int fd = bench_accept(listener, true);
		pid_t child = fd < 0 ? -1 : fork();

		if (child == 0) {
			close(listener);
			echo_serve(fd, self);
		}
		if (child < 0)
			bench_complain("no process for a client");
		if (fd >= 0)
			close(fd);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
