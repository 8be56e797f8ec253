/*
 * Three ways for several processes to accept from one port, as plain as they can be: all watch one
 * socket (--mode 0), all watch it and one of them is woken (--mode 1, EPOLLEXCLUSIVE), or each has
 * a socket of its own (--mode 2, SO_REUSEPORT). A line echo for --seconds, after which it prints
 * what each way cost. See docs/decisions/0001-one-shared-listening-socket.md.
 */
#include "tests/bench/bench_net.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS_MAX  512
#define WORKERS_MAX 64
#define BATCH       16 /* as hostlerd: so many in one go */

enum mode { MODE_SHARED, MODE_EXCLUSIVE, MODE_OWN };

/* Of one process; each has cache lines of its own. */
struct counts {
	_Alignas(128) atomic_ulong accepted, empty;
};

static void
sockets_accept(int poller, int listener, struct counts *counts)
{
	for (int i = 0; i < BATCH; i++) {
		if (!bench_take_client(poller, listener)) {
			counts->empty++;
			return;
		}
		counts->accepted++;
	}
}

static void __attribute__((noreturn))
sockets_work(int listener, enum mode mode, struct counts *counts)
{
	struct epoll_event events[EVENTS_MAX];
	int poller = epoll_create1(EPOLL_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poller < 0)
		bench_die("cannot make a poller");
	bench_watch(
	    poller, listener, EPOLLIN | (mode == MODE_EXCLUSIVE ? EPOLLEXCLUSIVE : 0), NULL);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			struct bench_client *client = events[i].data.ptr;

			if (client == NULL) {
				sockets_accept(poller, listener, counts);
			} else if (!bench_echo(client)) {
				bench_leave(client);
				free(client);
			}
		}
	}
}

/* One more socket at the address of the first, which others may share from now on. */
static int
sockets_another(int first)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || getsockname(first, (struct sockaddr *)&address, &length) != 0 ||
	    setsockopt(first, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 4096) != 0)
		bench_die("cannot listen once more");
	return fd;
}

static void
sockets_report(const struct counts *counts, unsigned workers)
{
	unsigned long accepted = 0, empty = 0, least = (unsigned long)-1, most = 0;
	struct rusage used;
	double cpu;

	for (unsigned i = 0; i < workers; i++) {
		unsigned long one = counts[i].accepted;

		accepted += one;
		empty += counts[i].empty;
		least = one < least ? one : least;
		most = one > most ? one : most;
	}
	getrusage(RUSAGE_CHILDREN, &used);
	cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
	      (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	printf("accepted %lu, by one process %lu to %lu; for each: CPU %.1f us, accepts that found "
	       "nothing %.2f, sleeps %.2f\n",
	    accepted, least, most, cpu / (double)accepted, (double)empty / (double)accepted,
	    (double)used.ru_nvcsw / (double)accepted);
}

int
main(int argc, char **argv)
{
	unsigned workers = bench_option(argc, argv, "workers", 2);
	unsigned mode = bench_option(argc, argv, "mode", MODE_EXCLUSIVE);
	unsigned seconds = bench_option(argc, argv, "seconds", 10);
	int first = bench_listen(argc, argv, false);
	struct counts *counts = mmap(NULL, WORKERS_MAX * sizeof(*counts), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[WORKERS_MAX];

	if (workers < 1 || workers > WORKERS_MAX || mode > MODE_OWN) {
		fprintf(stderr,
		    "echo_sockets [--workers 1..%d] [--mode 0..2] [--seconds N] [--port N]\n",
		    WORKERS_MAX);
		return 2;
	}
	if (counts == MAP_FAILED)
		bench_die("cannot map memory");
	for (unsigned i = 0; i < workers; i++) {
		int listener = mode == MODE_OWN && i > 0 ? sockets_another(first) : first;

		pids[i] = fork();
		if (pids[i] == 0)
			sockets_work(listener, (enum mode)mode, &counts[i]);
	}
	sleep(seconds);
	for (unsigned i = 0; i < workers; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	sockets_report(counts, workers);
	return 0;
}
