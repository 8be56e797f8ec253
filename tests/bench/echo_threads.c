/*
 * Model "threads": a thread for each connection, which does nothing but serve it, and blocks. Each
 * reads like the blocking server, and the kernel does the waiting: a thread that waits costs no
 * CPU. It costs memory, a stack of its own here and another in the kernel, and each request is a
 * change of threads. Stacks are as small as they can be; the usual 8 MiB are only reserved.
 */
#include "tests/bench/bench_net.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *
echo_serve(void *arg)
{
	struct bench_client *client = arg;
	char scratch[4096];

	while (bench_echo_with(client, scratch, sizeof(scratch)))
		;
	bench_leave(client);
	free(client);
	return NULL;
}

static bool
echo_start(int fd, const pthread_attr_t *attributes)
{
	struct bench_client *client = calloc(1, sizeof(*client));
	pthread_t thread;

	if (client == NULL)
		return false;
	client->fd = fd;
	errno = pthread_create(&thread, attributes, echo_serve, client);
	if (errno != 0)
		free(client);
	return errno == 0;
}

int
main(int argc, char **argv)
{
	int listener = bench_listen(argc, argv, true);
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + 16384);
	for (;;) {
		int fd = bench_accept(listener, true);

		if (fd < 0 || echo_start(fd, &attributes))
			continue;
		bench_complain("no thread for a client");
		close(fd);
	}
}
