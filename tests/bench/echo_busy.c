/*
 * Model "busy": sockets that never wait, asked in turn "anything for me?", for ever. One process
 * serves all clients, and nobody blocks anybody. It costs a whole CPU even when nothing happens,
 * and a system call for each connection and turn: with ten thousand of them a client waits until
 * the other 9,999 have been asked.
 */
#include "tests/bench/bench_net.h"

#include <stdlib.h>

#define CLIENTS_MAX 65536

static struct bench_client clients[CLIENTS_MAX];
static unsigned count;

static void
echo_accept(int listener)
{
	while (count < CLIENTS_MAX) {
		int fd = bench_accept(listener, false);

		if (fd < 0)
			return;
		clients[count++] = (struct bench_client){.fd = fd};
	}
}

int
main(int argc, char **argv)
{
	int listener = bench_listen(argc, argv, false);

	for (;;) {
		echo_accept(listener);
		for (unsigned i = 0; i < count; i++) {
			if (bench_echo(&clients[i]))
				continue;
			bench_leave(&clients[i]);
			clients[i--] = clients[--count];
		}
	}
}
