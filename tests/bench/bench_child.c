/* See bench_child.h. Owns the ends of pipes; never waits for a child. */
#include "tests/bench/bench_child.h"
#include "tests/bench/bench_net.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

char **
bench_command(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return argv + i + 1;
	fprintf(stderr, "usage: %s [--NAME NUMBER ...] -- COMMAND ...\n", argv[0]);
	exit(2);
}

static void
bench_child_run(int from, int to, char **command)
{
	/* A default again, since a child inherits what is ignored. */
	signal(SIGPIPE, SIG_DFL);
	if (dup2(from, STDIN_FILENO) < 0 || dup2(to, STDOUT_FILENO) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		bench_die("cannot prepare a child");
	execvp(command[0], command);
	bench_die(command[0]);
}

void
bench_child_start(struct bench_child *child, char **command)
{
	int in[2], out[2];
	pid_t pid;

	memset(child, 0, sizeof(*child));
	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		bench_die("cannot make pipes");
	pid = fork();
	if (pid < 0)
		bench_die("cannot fork");
	if (pid == 0)
		bench_child_run(in[0], out[1], command);
	close(in[0]);
	close(out[1]);
	child->pid = pid;
	child->to = in[1];
	child->from = out[0];
	if (fcntl(child->to, F_SETFL, O_NONBLOCK) != 0 ||
	    fcntl(child->from, F_SETFL, O_NONBLOCK) != 0)
		bench_die("cannot make a pipe non-blocking");
}

size_t
bench_child_read(
    struct bench_child *child, void (*take)(void *arg, const char *line, size_t length), void *arg)
{
	static char scratch[BENCH_SCRATCH];
	ssize_t n = read(child->from, scratch, sizeof(scratch));
	char *line = scratch, *end, *stop;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		fprintf(stderr, "a child has ended\n");
		exit(1);
	}
	stop = scratch + n;
	while ((end = memchr(line, '\n', (size_t)(stop - line))) != NULL) {
		end++;
		if (child->kept == 0) {
			take(arg, line, (size_t)(end - line));
		} else {
			bench_keep(&child->rest, &child->kept, line, (size_t)(end - line));
			take(arg, child->rest, child->kept);
			child->kept = 0;
		}
		line = end;
	}
	bench_keep(&child->rest, &child->kept, line, (size_t)(stop - line));
	return (size_t)n;
}
