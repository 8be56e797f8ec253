/*
 * Holds many connections to a server of lines, HTTP or WebSocket and does nothing with them, so
 * that it can be measured what a server pays for clients that are merely there.
 *
 * Connections leave from many addresses of 127.0.0.0/8, since one address has only some 28,000
 * ports. A line "ask" on stdin has every connection ask one line at the same time and awaits all
 * replies; "ask N" does so with the first N, "ask N TIMES" again and again. The end of stdin ends
 * it. It owns its sockets, starts nothing, and gives up waiting after --timeout.
 */
#include "tests/bench/bench_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOLD_CONNECTING_MAX 256  /* attempts under way, so that a backlog is not overrun at once */
#define HOLD_MESSAGE        64   /* bytes of a request's message; a line with its LF */
#define HOLD_REPLY          2048 /* bytes of a reply at most, with all that is around it */

/* HOLD_GREETING: connected, and the reply to a WebSocket's opening is awaited. */
enum hold_state { HOLD_CLOSED, HOLD_CONNECTING, HOLD_GREETING, HOLD_IDLE, HOLD_ASKING };

struct hold_conn {
	int fd;
	unsigned got, want; /* bytes of the reply; want is known once got > 0 */
	enum hold_state state;
};

enum hold_protocol { HOLD_LINE, HOLD_HTTP, HOLD_WEBSOCKET };

static const char hold_greeting[] =
    "GET / HTTP/1.1\r\nHost: hold\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static struct hold_conn *hold_conns; /* owns; fds of those that are not HOLD_CLOSED */
static struct sockaddr_in hold_server = {.sin_family = AF_INET};
static enum hold_protocol hold_protocol; /* --protocol */
static char hold_message[256];           /* with all that is around it */
static size_t hold_length;               /* bytes of it */
static int hold_epoll;
static int hold_count = 1;       /* --connections */
static int hold_sources = 64;    /* --sources */
static double hold_timeout = 10; /* --timeout, seconds */
static int hold_under_way;       /* connections in HOLD_CONNECTING, _GREETING or _ASKING */
static int hold_lost;            /* were open, and the server ended them */
static int hold_answered;        /* replies of this "ask" */
static double hold_last;         /* when the last reply came */

static void
hold_fatal(const char *what)
{
	fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
hold_close(struct hold_conn *conn)
{
	if (conn->state != HOLD_IDLE)
		hold_under_way--;
	if (conn->state == HOLD_IDLE || conn->state == HOLD_ASKING)
		hold_lost++;
	close(conn->fd);
	conn->state = HOLD_CLOSED;
}

/* Connection number `index` leaves from 127.0.1.1, 127.0.1.2 ... in turn. */
static void
hold_connect(int index)
{
	struct hold_conn *conn = &hold_conns[index];
	struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (unsigned)index};
	struct sockaddr_in own = {.sin_family = AF_INET};
	int on = 1, source = index % hold_sources;

	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd == -1)
		hold_fatal("socket");
	conn->state = HOLD_CONNECTING;
	hold_under_way++;
	own.sin_addr.s_addr =
	    htonl(0x7f000101u + ((unsigned)source / 250u << 8) + (unsigned)source % 250u);
	/* The port is chosen at connect(), when it only has to be new towards this server. */
	setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (ntohl(hold_server.sin_addr.s_addr) >> 24 == 127 &&
	    bind(conn->fd, (struct sockaddr *)&own, sizeof(own)) == -1)
		hold_fatal("bind");
	if ((connect(conn->fd, (struct sockaddr *)&hold_server, sizeof(hold_server)) == -1 &&
		errno != EINPROGRESS) ||
	    epoll_ctl(hold_epoll, EPOLL_CTL_ADD, conn->fd, &event) == -1)
		hold_close(conn);
}

static void
hold_connected(int index)
{
	struct hold_conn *conn = &hold_conns[index];
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)index};
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error != 0) {
		hold_close(conn);
		return;
	}
	epoll_ctl(hold_epoll, EPOLL_CTL_MOD, conn->fd, &event);
	if (hold_protocol == HOLD_WEBSOCKET) {
		conn->state = HOLD_GREETING;
		if (send(conn->fd, hold_greeting, strlen(hold_greeting), MSG_NOSIGNAL) !=
		    (ssize_t)strlen(hold_greeting))
			hold_close(conn);
		return;
	}
	conn->state = HOLD_IDLE;
	hold_under_way--;
}

/* The end of a head that is there whole, or NULL: heads are short and come in one piece. */
static const char *
hold_head_end(const char *data)
{
	const char *end = strstr(data, "\r\n\r\n");

	return end != NULL ? end + 4 : NULL;
}

/* Bytes of the whole reply that begins so; 0 where it is none that we know. */
static unsigned
hold_reply_length(const char *data)
{
	const char *end, *field;

	if (hold_protocol == HOLD_LINE)
		return HOLD_MESSAGE;
	if (hold_protocol == HOLD_WEBSOCKET) /* one short text, RFC 6455, 5.2 */
		return (unsigned char)data[0] == 0x81 ? 2 + (unsigned char)data[1] : 0;
	end = hold_head_end(data);
	field = strcasestr(data, "\r\nContent-Length:");
	if (end == NULL || field == NULL || field > end || strncmp(data, "HTTP/1.1 200 ", 13) != 0)
		return 0;
	return (unsigned)(end - data) + (unsigned)strtoul(strchr(field, ':') + 1, NULL, 10);
}

/* The server agreed to speak WebSocket, or it did not. */
static void
hold_greeted(struct hold_conn *conn, const char *data)
{
	if (strncmp(data, "HTTP/1.1 101 ", 13) != 0 || hold_head_end(data) == NULL) {
		hold_close(conn);
		return;
	}
	conn->state = HOLD_IDLE;
	hold_under_way--;
}

static void
hold_read(struct hold_conn *conn)
{
	char data[HOLD_REPLY + 1];
	ssize_t got = recv(conn->fd, data, HOLD_REPLY, 0);

	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	/* What an idle connection receives is the reply of an earlier "ask" that came too late. */
	if (got <= 0) {
		hold_close(conn);
		return;
	}
	data[got] = '\0';
	if (conn->state == HOLD_GREETING) {
		hold_greeted(conn, data);
		return;
	}
	if (conn->got == 0)
		conn->want = hold_reply_length(data);
	if (conn->want == 0) {
		hold_close(conn);
		return;
	}
	conn->got += (unsigned)got;
	if (conn->state != HOLD_ASKING || conn->got < conn->want)
		return;
	conn->state = HOLD_IDLE;
	hold_under_way--;
	hold_answered++;
	hold_last = bench_now();
}

/* Handles what is ready, waiting for it until the deadline; false when that has passed. */
static bool
hold_turn(double deadline)
{
	struct epoll_event events[256];
	double left = deadline - bench_now();
	int ready = left <= 0 ? 0 : epoll_wait(hold_epoll, events, 256, (int)(left * 1000) + 1);

	for (int i = 0; i < ready; i++) {
		struct hold_conn *conn = &hold_conns[events[i].data.u32];

		if (conn->state == HOLD_CONNECTING)
			hold_connected((int)events[i].data.u32);
		else if (conn->state != HOLD_CLOSED)
			hold_read(conn);
	}
	return left > 0;
}

static void
hold_open(void)
{
	double begin = bench_now();
	int next = 0, open = 0;

	while (next < hold_count || hold_under_way > 0) {
		while (next < hold_count && hold_under_way < HOLD_CONNECTING_MAX)
			hold_connect(next++);
		if (!hold_turn(begin + hold_timeout))
			break;
	}
	for (int i = 0; i < next; i++) {
		if (hold_conns[i].state == HOLD_CONNECTING || hold_conns[i].state == HOLD_GREETING)
			hold_close(&hold_conns[i]);
		open += hold_conns[i].state == HOLD_IDLE;
	}
	printf(
	    "holding %d of %d connections after %.3f s\n", open, hold_count, bench_now() - begin);
	fflush(stdout);
}

/* The first so many connections ask one line each; returns how many did. */
static int
hold_ask(int first)
{
	double begin = bench_now();
	int asked = 0;

	for (int i = 0; i < first; i++) {
		struct hold_conn *conn = &hold_conns[i];

		if (conn->state != HOLD_IDLE)
			continue;
		conn->got = 0;
		conn->state = HOLD_ASKING;
		hold_under_way++;
		asked++;
		if (send(conn->fd, hold_message, hold_length, MSG_NOSIGNAL) != (ssize_t)hold_length)
			hold_close(conn);
	}
	while (hold_under_way > 0 && hold_turn(begin + hold_timeout))
		;
	for (int i = 0; i < first; i++) {
		if (hold_conns[i].state == HOLD_ASKING) {
			hold_conns[i].state = HOLD_IDLE;
			hold_under_way--;
		}
	}
	return asked;
}

/* Again and again, each time when all are answered; ends early when some were not. */
static void
hold_ask_times(int first, int times)
{
	double begin = hold_last = bench_now();
	int asked = 0;

	hold_answered = 0;
	for (int i = 0; i < times && hold_answered == asked; i++)
		asked += hold_ask(first);
	printf(
	    "answered %d of %d, the last after %.6f s\n", hold_answered, asked, hold_last - begin);
	fflush(stdout);
}

/* Idle connections are watched all the while: what the server ends is counted when it happens. */
static void
hold_obey(void)
{
	struct pollfd watched[] = {
	    {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = hold_epoll, .events = POLLIN}};
	char line[64];
	size_t have = 0;

	for (;;) {
		if (poll(watched, 2, -1) == -1 && errno != EINTR)
			hold_fatal("poll");
		if (watched[1].revents)
			hold_turn(bench_now() + 0.001);
		if (!watched[0].revents)
			continue;
		ssize_t got = read(STDIN_FILENO, line + have, 1);

		if (got <= 0)
			break;
		if (line[have] != '\n') {
			have = have + 1 < sizeof(line) - 1 ? have + 1 : 0;
			continue;
		}
		line[have] = '\0';
		have = 0;
		int first = hold_count, times = 1;

		if (strcmp(line, "ask") == 0 ||
		    (sscanf(line, "ask %d %d", &first, &times) >= 1 && first > 0 &&
			first <= hold_count && times > 0 && times <= INT_MAX / first))
			hold_ask_times(first, times);
		else
			fprintf(stderr,
			    "hold: \"%s\" is not \"ask\", \"ask N\" or \"ask N TIMES\"\n", line);
	}
	printf("lost %d of %d connections\n", hold_lost, hold_count);
}

/* What each connection asks: 64 bytes, in the manner of the protocol. */
static void
hold_make_message(void)
{
	char text[HOLD_MESSAGE];
	static const char masked[] = {(char)0x81, (char)(0x80 | (HOLD_MESSAGE - 1)), 0, 0, 0, 0};

	memset(text, 'h', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (hold_protocol == HOLD_HTTP)
		hold_length = (size_t)snprintf(hold_message, sizeof(hold_message),
		    "GET /?%s HTTP/1.1\r\nHost: hold\r\n\r\n", text);
	else if (hold_protocol == HOLD_WEBSOCKET)
		hold_length =
		    sizeof(masked) + (size_t)snprintf(hold_message + sizeof(masked),
					 sizeof(hold_message) - sizeof(masked), "%s", text);
	else
		hold_length = (size_t)snprintf(hold_message, sizeof(hold_message), "%s\n", text);
	if (hold_protocol == HOLD_WEBSOCKET)
		memcpy(hold_message, masked, sizeof(masked));
}

_Noreturn static void
hold_usage(void)
{
	fprintf(stderr, "hold [--protocol line|http|websocket] [--connections N] [--sources N]\n"
			"     [--timeout SECONDS] ADDRESS:PORT\n"
			"then on stdin: ask | ask N | ask N TIMES; its end ends it\n");
	exit(2);
}

static enum hold_protocol
hold_find_protocol(const char *name)
{
	static const char *const names[] = {"line", "http", "websocket"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return (enum hold_protocol)i;
	hold_usage();
}

static void
hold_options(int argc, char **argv)
{
	static const struct option options[] = {{"connections", required_argument, NULL, 'c'},
	    {"protocol", required_argument, NULL, 'p'}, {"sources", required_argument, NULL, 's'},
	    {"timeout", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
	int option;
	char *colon;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			hold_count = (int)strtol(optarg, NULL, 10);
		else if (option == 'p')
			hold_protocol = hold_find_protocol(optarg);
		else if (option == 's')
			hold_sources = (int)strtol(optarg, NULL, 10);
		else if (option == 't')
			hold_timeout = strtod(optarg, NULL);
		else
			hold_usage();
	}
	colon = optind == argc - 1 ? strrchr(argv[optind], ':') : NULL;
	if (colon == NULL || hold_count < 1 || hold_count > 1000000 || hold_sources < 1 ||
	    hold_sources > 10000 || !(hold_timeout > 0 && hold_timeout < 1e6))
		hold_usage();
	*colon = '\0';
	hold_server.sin_port = htons((unsigned short)strtol(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, argv[optind], &hold_server.sin_addr) != 1)
		hold_usage();
}

int
main(int argc, char **argv)
{
	struct rlimit files;

	hold_options(argc, argv);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < (rlim_t)hold_count + 16) {
		fprintf(stderr, "hold: %d connections, but %llu descriptors (see ulimit -Hn)\n",
		    hold_count, (unsigned long long)files.rlim_max);
		return 2;
	}
	hold_make_message();
	hold_conns = calloc((size_t)hold_count, sizeof(*hold_conns));
	hold_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (hold_conns == NULL || hold_epoll == -1)
		hold_fatal("start");
	hold_open();
	hold_obey();
	return 0;
}
