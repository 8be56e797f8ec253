/*
 * What a run sends and what it expects back, made ready before the first connection: the account,
 * the lines of a file, and the replies of a command that knows the right ones.
 *
 * The command reads a line for each request and prints the reply in a line. It is asked everything
 * at once before the run, for at most a minute, so that it cannot slow the run down.
 */
#ifndef CTL_LOAD_EXPECT_H
#define CTL_LOAD_EXPECT_H

struct load_run;

#define LOAD_EXPECT_MADE 4096 /* messages that a command is asked for where there is no file */

/* Opens `check` and `texts` of the run. Returns 0, or -1 with a sentence on standard error. */
int load_expect_open(struct load_run *run);

#endif
