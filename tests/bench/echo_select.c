/*
 * Model "select": the kernel is given a set of descriptors, one bit each, and sleeps until one of
 * them is ready. One process, no spinning. But the set is handed over, walked through and handed
 * back at every call, up to the highest descriptor, so that each request pays for all connections.
 * And fd_set ends at FD_SETSIZE, 1024: FD_SET() beyond that writes over other memory. Clients that
 * do not fit are closed at once. With --bigger 1 the sets are our own and as large as the limit of
 * descriptors, which Linux permits and other systems may not.
 */
#include "tests/bench/bench_net.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#define WORD (sizeof(unsigned long) * CHAR_BIT)

static struct bench_client *clients;   /* owns; by descriptor */
static unsigned long *watched, *ready; /* owns; a bit for each descriptor, as fd_set has it */
static unsigned room = FD_SETSIZE;     /* bits in each */
static int highest;

static void
echo_watch(int fd)
{
	watched[(unsigned)fd / WORD] |= 1UL << (unsigned)fd % WORD;
	highest = fd > highest ? fd : highest;
}

static void
echo_accept(int listener)
{
	int fd;

	while ((fd = bench_accept(listener, false)) >= 0) {
		if ((unsigned)fd >= room) {
			close(fd);
			continue;
		}
		clients[fd] = (struct bench_client){.fd = fd};
		echo_watch(fd);
	}
}

static void
echo_serve(int fd)
{
	if (bench_echo(&clients[fd]))
		return;
	watched[(unsigned)fd / WORD] &= ~(1UL << (unsigned)fd % WORD);
	bench_leave(&clients[fd]);
}

int
main(int argc, char **argv)
{
	int listener = bench_listen(argc, argv, false);

	if (bench_option(argc, argv, "bigger", 0))
		room = (unsigned)(sysconf(_SC_OPEN_MAX) + (long)WORD - 1) / WORD * WORD;
	watched = calloc(room / WORD, sizeof(long));
	ready = calloc(room / WORD, sizeof(long));
	clients = calloc(room, sizeof(*clients));
	if (watched == NULL || ready == NULL || clients == NULL)
		bench_die("no room for the sets");
	echo_watch(listener);
	for (;;) {
		memcpy(ready, watched, room / CHAR_BIT);
		if (select(highest + 1, (fd_set *)ready, NULL, NULL, NULL) < 0)
			bench_die("cannot select");
		for (int fd = 0; fd <= highest; fd++) {
			if (!(ready[(unsigned)fd / WORD] >> (unsigned)fd % WORD & 1))
				continue;
			if (fd == listener)
				echo_accept(listener);
			else
				echo_serve(fd);
		}
	}
}
