/* The command line of `hostler-load run`. */
#ifndef CTL_LOAD_OPTIONS_H
#define CTL_LOAD_OPTIONS_H

#include "common/addr.h"
#include "common/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A way to send messages over a connection: one row each. */
struct load_protocol {
	const char *name;
	enum codec codec; /* unless `http` */
	bool http;
};

/* What is right: the message; the message in capitals; a reply of the expected status (http). */
enum load_expect { LOAD_EXPECT_ECHO, LOAD_EXPECT_UPPER, LOAD_EXPECT_STATUS };

/* All durations are nanoseconds. */
struct load_options {
	struct addr address;
	const struct load_protocol *protocol; /* borrows; static */
	unsigned connections;
	unsigned depth;    /* requests without a reply, of one connection */
	size_t size;       /* bytes of a message without its framing */
	uint64_t duration; /* 0: until `count` */
	uint64_t count;    /* requests; 0: until `duration` */
	uint64_t timeout, connect_timeout;
	bool ids; /* frames carry ids, replies a status; they come in any order */
	enum load_expect expect;
	bool expect_given;
	const char *path;       /* http; borrows from the command line */
	unsigned expect_status; /* http */
	bool per_request;       /* a new connection for each */
	bool reconnect;
	bool hold; /* every connection is opened before the first request */
	bool json;
};

enum load_options_result { LOAD_OPTIONS_RUN, LOAD_OPTIONS_HELP, LOAD_OPTIONS_WRONG };

/* Reads the arguments behind the word `run` (argv[0]). What is wrong is told on standard error. */
enum load_options_result load_options_read(struct load_options *options, int argc, char **argv);
/* "echo", "upper" or "status". */
const char *load_options_expect_text(enum load_expect expect);
/* The help of `hostler-load run`. */
extern const char load_options_help[];

#endif
