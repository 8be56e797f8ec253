/* See bench_net.h. Owns nothing but the process that waits for the end of stdin. */
#include "tests/bench/bench_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void
bench_die(const char *what)
{
	perror(what);
	exit(1);
}

void
bench_complain(const char *what)
{
	static bool complained;

	if (!complained)
		perror(what);
	complained = true;
}

unsigned
bench_option(int argc, char **argv, const char *name, unsigned fallback)
{
	for (int i = 1; i + 1 < argc; i++) {
		char *end;
		unsigned long number;

		if (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, name) != 0)
			continue;
		number = strtoul(argv[i + 1], &end, 10);
		if (*argv[i + 1] == '\0' || *end != '\0' || number > 1u << 30) {
			fprintf(stderr, "--%s expects a number\n", name);
			exit(2);
		}
		return (unsigned)number;
	}
	return fallback;
}

double
bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * A process of its own waits for the end of stdin. A thread would make every system call on a
 * descriptor dearer, since the kernel has to count who uses it, and that is what is measured here.
 */
static void
bench_watch_stdin(void)
{
	pid_t parent = getpid();
	char byte;

	switch (fork()) {
	case -1:
		bench_die("cannot fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent && read(STDIN_FILENO, &byte, 1) > 0)
			;
		if (getppid() == parent)
			kill(parent, SIGTERM);
		_exit(0);
	default:
		break;
	}
}

static void
bench_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
bench_listen(int argc, char **argv, bool blocking)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)bench_option(argc, argv, "port", 0)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
	int on = 1;

	signal(SIGPIPE, SIG_IGN);
	bench_raise_limit();
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		bench_die("cannot listen");
	bench_watch_stdin();
	printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

int
bench_accept(int listener, bool blocking)
{
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK));
}

void
bench_watch(int poller, int fd, uint32_t events, void *what)
{
	struct epoll_event event = {.events = events, .data.ptr = what};

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
		bench_die("cannot watch a descriptor");
}

bool
bench_take_client(int poller, int listener)
{
	int fd = bench_accept(listener, false);
	struct bench_client *client;

	if (fd < 0)
		return false;
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		bench_die("cannot take a client");
	client->fd = fd;
	bench_watch(poller, fd, EPOLLIN, client);
	return true;
}

bool
bench_write(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n > 0) {
			data += n;
			length -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd room = {.fd = fd, .events = POLLOUT};

			(void)poll(&room, 1, -1);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

void
bench_keep(char **bytes, size_t *kept, const char *data, size_t length)
{
	if (length == 0)
		return;
	*bytes = realloc(*bytes, *kept + length);
	if (*bytes == NULL)
		bench_die("cannot keep an unfinished line");
	memcpy(*bytes + *kept, data, length);
	*kept += length;
}

bool
bench_echo(struct bench_client *client)
{
	static char scratch[BENCH_SCRATCH];

	return bench_echo_with(client, scratch, sizeof(scratch));
}

bool
bench_echo_with(struct bench_client *client, char *scratch, size_t size)
{
	ssize_t n = read(client->fd, scratch, size);
	char *end;
	size_t whole;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	end = memrchr(scratch, '\n', (size_t)n);
	whole = end == NULL ? 0 : (size_t)(end + 1 - scratch);
	if (whole > 0 && client->kept > 0) {
		if (!bench_write(client->fd, client->rest, client->kept))
			return false;
		free(client->rest);
		client->rest = NULL;
		client->kept = 0;
	}
	if (whole > 0 && !bench_write(client->fd, scratch, whole))
		return false;
	bench_keep(&client->rest, &client->kept, scratch + whole, (size_t)n - whole);
	return true;
}

void
bench_leave(struct bench_client *client)
{
	close(client->fd);
	free(client->rest);
}
