/*
 * Model "poll": as select, with a list of descriptors instead of bits, so that there is no largest
 * one. The whole list still goes to the kernel and back at every call, and is walked through twice,
 * there and here: with ten thousand idle connections a request pays ten thousand times for being
 * found.
 */
#include "tests/bench/bench_net.h"

#include <poll.h>
#include <stdlib.h>

#define CLIENTS_MAX 65536

/* Entry 0 is the listening socket; the client of entry i is clients[i]. */
static struct pollfd watched[CLIENTS_MAX];
static struct bench_client clients[CLIENTS_MAX];
static unsigned count = 1;

static void
echo_accept(int listener)
{
	while (count < CLIENTS_MAX) {
		int fd = bench_accept(listener, false);

		if (fd < 0)
			return;
		clients[count] = (struct bench_client){.fd = fd};
		watched[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
}

int
main(int argc, char **argv)
{
	int listener = bench_listen(argc, argv, false);

	watched[0] = (struct pollfd){.fd = listener, .events = POLLIN};
	for (;;) {
		if (poll(watched, count, -1) < 0)
			bench_die("cannot poll");
		/* From the end: a client that leaves is replaced by the last one, already served.
		 */
		for (unsigned i = count - 1; i > 0; i--) {
			if (watched[i].revents == 0 || bench_echo(&clients[i]))
				continue;
			bench_leave(&clients[i]);
			clients[i] = clients[--count];
			watched[i] = watched[count];
		}
		if (watched[0].revents != 0)
			echo_accept(listener);
	}
}
