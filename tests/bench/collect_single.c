/*
 * The plain way to collect lines in a file: an epoll loop that writes each line by itself, waits
 * until that is on the disk (fdatasync(2); not with --sync 0), and says OK. What hostlerd's shared
 * syncs are held against. The last argument is the file.
 */
#include "tests/bench/bench_net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 512

static bool single_sync;
static int single_file;

static bool
single_collect(struct bench_client *client, const char *line, size_t length)
{
	if (write(single_file, line, length) != (ssize_t)length ||
	    (single_sync && fdatasync(single_file) != 0))
		bench_die("cannot collect");
	return bench_write(client->fd, "OK\n", 3);
}

/* One read, then each whole line in it; clients of the bench never send half a line for long. */
static bool
single_read(struct bench_client *client)
{
	static char bytes[BENCH_SCRATCH];
	size_t have = client->kept;
	char *at = bytes, *lf;
	ssize_t n;

	if (have > 0)
		memcpy(bytes, client->rest, have);
	n = read(client->fd, bytes + have, sizeof(bytes) - have);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	have += (size_t)n;
	while ((lf = memchr(at, '\n', have)) != NULL) {
		size_t length = (size_t)(lf + 1 - at);

		if (!single_collect(client, at, length))
			return false;
		at += length;
		have -= length;
	}
	free(client->rest);
	client->rest = have > 0 ? malloc(have) : NULL;
	client->kept = have;
	if (have > 0)
		memcpy(client->rest, at, have);
	return true;
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int listener = bench_listen(argc, argv, false);
	int poller = epoll_create1(EPOLL_CLOEXEC);

	single_sync = bench_option(argc, argv, "sync", 1) != 0;
	single_file = open(argv[argc - 1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (poller < 0 || single_file < 0)
		bench_die("cannot start");
	bench_watch(poller, listener, EPOLLIN, NULL);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			struct bench_client *client = events[i].data.ptr;

			if (client == NULL) {
				while (bench_take_client(poller, listener))
					;
			} else if (!single_read(client)) {
				bench_leave(client);
				free(client);
			}
		}
	}
}
