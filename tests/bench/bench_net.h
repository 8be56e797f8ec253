/*
 * What the small servers of tests/bench share: a listening socket, the job that all of them do
 * (lines are sent back), and an end. They are yardsticks, so this is as little as it can be: no
 * limits, no time limits, no statistics. Never use them for anything else.
 */
#ifndef TESTS_BENCH_BENCH_NET_H
#define TESTS_BENCH_BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_SCRATCH 65536

/* A client of an echo server: what it has sent of a line that is not whole yet. */
struct bench_client {
	int fd;      /* owns */
	char *rest;  /* owns; NULL when there is none */
	size_t kept; /* its bytes */
};

/* The number behind `--name`, or `fallback`. Ends the program where it is no number. */
unsigned bench_option(int argc, char **argv, const char *name, unsigned fallback);
/* Prints the sentence and why it failed (errno), and ends the program with status 1. */
void bench_die(const char *what) __attribute__((noreturn));
/* Prints the sentence and why it failed, the first time only: a limit is met ten thousand times. */
void bench_complain(const char *what);

/* Seconds of a clock that never goes back. */
double bench_now(void);

/*
 * Raises the descriptor limit as far as it goes, listens on 127.0.0.1 at `--port N` (0, the
 * default: any), prints "listening on 127.0.0.1:PORT", and ends the program when stdin ends.
 */
int bench_listen(int argc, char **argv, bool blocking);
/* Accepts one, non-blocking unless `blocking`. -1 when there is none. */
int bench_accept(int listener, bool blocking);

/* Writes all of it, waiting for room. False when the client has left. */
bool bench_write(int fd, const char *data, size_t length);
/* Appends to `bytes`, of which `kept` are there: an unfinished line, until the rest of it comes. */
void bench_keep(char **bytes, size_t *kept, const char *data, size_t length);
/* One read, then the whole lines in it are sent back. False when the client has left. */
bool bench_echo(struct bench_client *client);
/* The same with a buffer of the caller's: bench_echo() has one for the whole process. */
bool bench_echo_with(struct bench_client *client, char *scratch, size_t size);
/* The poller tells `what` when the descriptor has one of the EPOLL* `events`. */
void bench_watch(int poller, int fd, uint32_t events, void *what);
/* Accepts one, whose bench_client it watches for what it sends. False when there is none. */
bool bench_take_client(int poller, int listener);
/* Closes and frees what it owns. */
void bench_leave(struct bench_client *client);

#endif
