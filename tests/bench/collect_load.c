/*
 * Clients that send lines of 64 bytes to be collected. With --wait 1 each has up to --depth of them
 * under way and waits for OK; they stop after --ms. With --wait 0 nobody waits, and --count lines
 * are sent in all, as fast as they are taken.
 *
 * Prints one JSON object: lines sent, lines acknowledged, other replies, seconds, and the time that
 * half and 99 of 100 of the acknowledgements took, in microseconds.
 */
#include "tests/bench/bench_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE      64
#define DEPTH_MAX 1024
#define BATCH     256 /* lines in one write, where nobody waits */
#define TIMES_MAX (1u << 22)

struct load_client {
	int fd;
	unsigned sent, answered;
	size_t unsent; /* bytes of the batch that are still to be sent */
	uint64_t since[DEPTH_MAX];
	char rest[64];
	size_t kept;
};

static unsigned load_depth, load_wait, load_most, load_sent, load_answered, load_errors;
static uint32_t *load_times;
static unsigned load_timed;
static char load_batch[BATCH * LINE];

static uint64_t
load_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Sends what the client may have under way. */
static void
load_send(struct load_client *client, bool over)
{
	char line[LINE + 1];

	while (load_wait && !over && client->sent - client->answered < load_depth) {
		snprintf(line, sizeof(line), "%010u %052u\n", client->sent, client->fd);
		client->since[client->sent++ % DEPTH_MAX] = load_now();
		load_sent++;
		if (!bench_write(client->fd, line, LINE))
			bench_die("cannot send");
	}
}

/* As much as the socket takes, from where the last write ended. */
static void
load_pour(struct load_client *client)
{
	while (load_sent < load_most || client->unsent > 0) {
		ssize_t n;

		if (client->unsent == 0) {
			client->unsent = sizeof(load_batch);
			load_sent += BATCH;
		}
		n = write(
		    client->fd, load_batch + sizeof(load_batch) - client->unsent, client->unsent);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			bench_die("cannot send");
		client->unsent -= (size_t)n;
	}
}

static void
load_reply(struct load_client *client, const char *line, size_t length)
{
	uint64_t took = load_now() - client->since[client->answered++ % DEPTH_MAX];

	if (length == 2 && memcmp(line, "OK", 2) == 0)
		load_answered++;
	else
		load_errors++;
	if (load_timed < TIMES_MAX)
		load_times[load_timed++] = (uint32_t)(took / 1000);
}

static void
load_read(struct load_client *client)
{
	char bytes[8192], *at = bytes, *lf;
	size_t have = client->kept;
	ssize_t n;

	memcpy(bytes, client->rest, have);
	n = read(client->fd, bytes + have, sizeof(bytes) - have);
	if (n <= 0)
		bench_die("the server left");
	have += (size_t)n;
	while ((lf = memchr(at, '\n', have)) != NULL) {
		load_reply(client, at, (size_t)(lf - at));
		have -= (size_t)(lf + 1 - at);
		at = lf + 1;
	}
	if (have > sizeof(client->rest))
		bench_die("a reply is too long");
	memcpy(client->rest, at, have);
	client->kept = have;
}

static void
load_connect(struct load_client *client, unsigned port, int poller)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0 ||
	    connect(client->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		bench_die("cannot connect");
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!load_wait && fcntl(client->fd, F_SETFL, O_NONBLOCK) != 0)
		bench_die("cannot be non-blocking");
	bench_watch(poller, client->fd, load_wait ? EPOLLIN : EPOLLOUT, client);
}

static int
load_compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
load_print(uint64_t took)
{
	qsort(load_times, load_timed, sizeof(*load_times), load_compare);
	printf("{\"sent\": %u, \"answered\": %u, \"errors\": %u, \"seconds\": %.6f, "
	       "\"p50\": %u, \"p99\": %u}\n",
	    load_sent, load_answered, load_errors, (double)took / 1e9,
	    load_timed > 0 ? load_times[load_timed / 2] : 0,
	    load_timed > 0 ? load_times[(uint64_t)load_timed * 99 / 100] : 0);
}

int
main(int argc, char **argv)
{
	unsigned connections = bench_option(argc, argv, "connections", 64);
	unsigned port = bench_option(argc, argv, "port", 0);
	uint64_t began, ms = bench_option(argc, argv, "ms", 1000);
	struct load_client *clients = calloc(connections, sizeof(*clients));
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[512];
	bool over = false;

	load_depth = bench_option(argc, argv, "depth", 1);
	load_wait = bench_option(argc, argv, "wait", 1);
	load_most = bench_option(argc, argv, "count", 100000);
	load_times = calloc(TIMES_MAX, sizeof(*load_times));
	if (clients == NULL || load_times == NULL || poller < 0 || load_depth > DEPTH_MAX)
		bench_die("cannot start");
	for (unsigned i = 0; i < BATCH; i++) {
		memset(load_batch + i * LINE, 'x', LINE - 1);
		load_batch[i * LINE + LINE - 1] = '\n';
	}
	for (unsigned i = 0; i < connections; i++)
		load_connect(&clients[i], port, poller);
	began = load_now();
	for (unsigned i = 0; i < connections; i++)
		load_send(&clients[i], false);
	while (
	    load_wait ? !over || load_answered + load_errors < load_sent : load_sent < load_most) {
		int count = epoll_wait(poller, events, 512, 100);

		over = over || load_now() - began > ms * 1000000;
		for (int i = 0; i < count; i++) {
			struct load_client *client = events[i].data.ptr;

			if (load_wait)
				load_read(client);
			else
				load_pour(client);
			load_send(client, over);
		}
	}
	/* What was begun is ended, so that every line is whole. */
	for (unsigned i = 0; i < connections; i++)
		while (clients[i].unsent > 0)
			load_pour(&clients[i]);
	load_print(load_now() - began);
	return 0;
}
