/*
 * A program at the end of two pipes, as the yardsticks of tests/bench need it: they write lines to
 * its stdin and read lines from its stdout, without blocking.
 */
#ifndef TESTS_BENCH_BENCH_CHILD_H
#define TESTS_BENCH_BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct bench_child {
	pid_t pid;
	int to, from; /* own; the ends of its stdin and stdout */
	char *rest;   /* owns; of a reply that is not whole yet */
	size_t kept;  /* its bytes */
};

/* The words behind `--`. Ends the program where there are none. */
char **bench_command(int argc, char **argv);
/* Starts one. It sees the end of its stdin when we end, however we do. */
void bench_child_start(struct bench_child *child, char **command);
/*
 * Reads once and calls `take` with each whole reply line, its LF included. Ends the program when
 * the child has ended: a yardstick does not mend anything. Returns the bytes read, 0 when there
 * was nothing to read.
 */
size_t bench_child_read(
    struct bench_child *child, void (*take)(void *arg, const char *line, size_t length), void *arg);

#endif
