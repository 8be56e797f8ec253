/*
 * Model "blocking": one client at a time, from its first byte to its last. The shortest server
 * there is, and a good one while every client asks, takes its reply and leaves. A client that
 * stays, or says nothing at all, keeps all others waiting: the server sleeps in read() for that
 * one, and nothing wakes it for another.
 */
#include "tests/bench/bench_net.h"

int
main(int argc, char **argv)
{
	int listener = bench_listen(argc, argv, true);

	for (;;) {
		struct bench_client client = {.fd = bench_accept(listener, true)};

		if (client.fd < 0)
			continue;
		while (bench_echo(&client))
			;
		bench_leave(&client);
	}
}
