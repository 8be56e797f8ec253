/*
 * Model "epoll": the kernel keeps the list of descriptors and tells only those that are ready, so
 * a wake-up costs the same with ten connections as with ten thousand. One system call to wait, one
 * to read and one to write: less is not possible without io_uring, so this is the limit that
 * hostlerd is held against.
 */
#include "tests/bench/bench_net.h"

#include <stdlib.h>
#include <sys/epoll.h>

#define EVENTS_MAX 512

static void
echo_watch(int poller, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
		bench_die("cannot watch a descriptor");
}

static void
echo_accept(int poller, int listener)
{
	int fd;

	while ((fd = bench_accept(listener, false)) >= 0) {
		struct bench_client *client = calloc(1, sizeof(*client));

		if (client == NULL)
			bench_die("cannot take a client");
		client->fd = fd;
		echo_watch(poller, fd, client);
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int listener = bench_listen(argc, argv, false);
	int poller = epoll_create1(EPOLL_CLOEXEC);

	if (poller < 0)
		bench_die("cannot make a poller");
	echo_watch(poller, listener, NULL);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			struct bench_client *client = events[i].data.ptr;

			if (client == NULL) {
				echo_accept(poller, listener);
			} else if (!bench_echo(client)) {
				bench_leave(client);
				free(client);
			}
		}
	}
}
