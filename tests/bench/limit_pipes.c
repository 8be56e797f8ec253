/*
 * The most that two children can do: a generator that keeps them busy over bare pipes, without any
 * network, server or client. A message is numbered, and the reply has to be it in capitals.
 *
 * Options: --children (2), --depth (1), --milliseconds (1000), -- COMMAND. Prints one JSON object:
 * requests, seconds, rate (a second), p50 and p99 (seconds) and cpu (seconds a request, of itself
 * and the children). Exit status 1 when a reply was wrong.
 */
#include "tests/bench/bench_child.h"
#include "tests/bench/bench_net.h"

#include <ctype.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE      64      /* bytes with the LF */
#define REQUESTS_MAX 1000000 /* whose times are kept; it ends there */
#define DEPTH_MAX    64
#define CHILDREN_MAX 64

struct asked {
	char message[MESSAGE + 1];
	double at;
};

struct child {
	struct bench_child pipes;
	struct asked asked[DEPTH_MAX]; /* a ring of what is in it, oldest first */
	unsigned oldest, messages;
};

static struct child children[CHILDREN_MAX];
static unsigned count, depth;
static double *took; /* owns; seconds of each request */
static unsigned done, number;

/* CPU time of this process and of the children. */
static double
limit_used(void)
{
	struct timespec used;
	double sum = 0;
	clockid_t clock;

	for (unsigned i = 0; i <= count; i++) {
		clock = CLOCK_PROCESS_CPUTIME_ID;
		if (i < count && clock_getcpuclockid(children[i].pipes.pid, &clock) != 0)
			bench_die("cannot find the clock of a child");
		clock_gettime(clock, &used);
		sum += (double)used.tv_sec + (double)used.tv_nsec / 1e9;
	}
	return sum;
}

static void
limit_ask(struct child *child)
{
	struct asked *asked = &child->asked[(child->oldest + child->messages++) % DEPTH_MAX];

	snprintf(asked->message, sizeof(asked->message), "message %-*u\n", MESSAGE - 9, number++);
	asked->at = bench_now();
	bench_write(child->pipes.to, asked->message, MESSAGE);
}

static void
limit_on_reply(void *arg, const char *line, size_t length)
{
	struct child *child = arg;
	struct asked *asked = &child->asked[child->oldest];

	for (char *c = asked->message; *c != '\0'; c++)
		*c = (char)toupper((unsigned char)*c);
	if (child->messages == 0 || length != MESSAGE ||
	    memcmp(line, asked->message, MESSAGE) != 0) {
		fprintf(stderr, "a wrong reply: %.*s", (int)length, line);
		exit(1);
	}
	child->oldest = (child->oldest + 1) % DEPTH_MAX;
	child->messages--;
	if (done < REQUESTS_MAX)
		took[done++] = bench_now() - asked->at;
}

/* Asks until `end`; then only what is under way is awaited. */
static void
limit_run(double end)
{
	struct pollfd polled[CHILDREN_MAX];
	unsigned messages;

	do {
		bool goes_on = bench_now() < end && done < REQUESTS_MAX;

		messages = 0;
		for (unsigned i = 0; i < count; i++) {
			while (goes_on && children[i].messages < depth)
				limit_ask(&children[i]);
			messages += children[i].messages;
			polled[i] = (struct pollfd){.fd = children[i].pipes.from, .events = POLLIN};
		}
		if (messages == 0 || poll(polled, count, -1) < 0)
			continue;
		for (unsigned i = 0; i < count; i++)
			if (polled[i].revents != 0)
				bench_child_read(&children[i].pipes, limit_on_reply, &children[i]);
	} while (messages > 0);
}

static int
limit_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Asks each child once, so that none is still starting when the clock starts. */
static void
limit_warm_up(void)
{
	for (unsigned i = 0; i < count; i++)
		limit_ask(&children[i]);
	limit_run(0);
	done = 0;
}

int
main(int argc, char **argv)
{
	char **command = bench_command(argc, argv);
	double milliseconds = bench_option(argc, argv, "milliseconds", 1000), begin, seconds, used;

	count = bench_option(argc, argv, "children", 2);
	depth = bench_option(argc, argv, "depth", 1);
	took = calloc(REQUESTS_MAX, sizeof(*took));
	if (count == 0 || count > CHILDREN_MAX || depth == 0 || depth > DEPTH_MAX || took == NULL) {
		fprintf(stderr, "1 to %d children, depth 1 to %d\n", CHILDREN_MAX, DEPTH_MAX);
		return 2;
	}
	for (unsigned i = 0; i < count; i++)
		bench_child_start(&children[i].pipes, command);
	limit_warm_up();
	used = limit_used();
	begin = bench_now();
	limit_run(begin + milliseconds / 1000);
	seconds = bench_now() - begin;
	used = limit_used() - used;
	if (done == 0)
		return 1;
	qsort(took, done, sizeof(*took), limit_compare);
	printf("{\"requests\":%u,\"seconds\":%.6f,\"rate\":%.3f,\"p50\":%.9f,\"p99\":%.9f,"
	       "\"cpu\":%.9f}\n",
	    done, seconds, done / seconds, took[done / 2], took[(unsigned)(done * 0.99)],
	    used / done);
	free(took);
	return 0;
}
