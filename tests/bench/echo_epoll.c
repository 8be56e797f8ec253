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

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int listener = bench_listen(argc, argv, false);
	int poller = epoll_create1(EPOLL_CLOEXEC);

	if (poller < 0)
		bench_die("cannot make a poller");
	bench_watch(poller, listener, EPOLLIN, NULL);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			struct bench_client *client = events[i].data.ptr;

			if (client == NULL) {
				while (bench_take_client(poller, listener))
					;
			} else if (!bench_echo(client)) {
				bench_leave(client);
				free(client);
			}
		}
	}
}
