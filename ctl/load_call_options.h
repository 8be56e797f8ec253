/* The command line of `hostler-load call`. */
#ifndef CTL_LOAD_CALL_OPTIONS_H
#define CTL_LOAD_CALL_OPTIONS_H

#include "ctl/load_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All durations are nanoseconds. */
struct load_call_options {
	struct addr address;
	const struct load_protocol *protocol; /* borrows; static; line, frame or http */
	bool ids;
	const char *path; /* borrows; http: where texts are POSTed to, or NULL: they are paths */
	uint64_t connect_timeout, timeout;
	uint64_t backoff; /* before the first retry; twice as long before each next one */
	unsigned retries; /* of each text */
	bool retry_all;   /* also what may have been executed */
	char **texts;     /* borrows; those of the command line */
	size_t count;     /* 0: the lines of standard input */
};

/* Reads the arguments behind the word `call` (argv[0]). What is wrong is told on standard error. */
enum load_options_result load_call_options_read(
    struct load_call_options *options, int argc, char **argv);
/* The help of `hostler-load call`. */
extern const char load_call_options_help[];

#endif
