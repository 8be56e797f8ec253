/* The command line of `hostler-load run`. */
#ifndef CTL_LOAD_OPTIONS_H
#define CTL_LOAD_OPTIONS_H

#include "common/addr.h"
#include "common/codec.h"
#include "ctl/websocket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A way to send messages over a connection: one row each. */
struct load_protocol {
	const char *name;
	enum codec codec; /* unless one of these is true */
	bool http;
	bool websocket;
	websocket_answer *answer; /* of a server to the handshake; with websocket alone */
	bool stream;              /* no framing at all */
};

/* What is right. */
enum load_expect {
	LOAD_EXPECT_ECHO,   /* the message */
	LOAD_EXPECT_UPPER,  /* the message in capitals */
	LOAD_EXPECT_STATUS, /* http: no message is sent; any reply of the expected status */
	LOAD_EXPECT_ANY,    /* whatever is no error */
	LOAD_EXPECT_COMMAND /* what a program says to the message */
};

/* So many requests in so many nanoseconds. */
struct load_frequency {
	uint64_t count; /* 0: as many as are answered */
	uint64_t per;
};

/* All durations are nanoseconds. */
struct load_options {
	struct addr address;
	const struct load_protocol *protocol; /* borrows; static */
	unsigned connections;
	unsigned depth;    /* requests without a reply, of one connection */
	size_t size;       /* bytes of a message without its framing, at most */
	size_t size_least; /* at least */
	bool size_given;
	const char *lines; /* borrows; the file of the messages, or NULL */
	struct load_frequency rate;
	uint64_t warmup;   /* what happens before is not measured */
	uint64_t duration; /* 0: until `count` */
	uint64_t count;    /* requests; 0: until `duration` */
	uint64_t timeout, connect_timeout;
	bool ids; /* frames carry ids, replies a status; they come in any order */
	enum load_expect expect;
	const char *expect_command; /* borrows; or NULL */
	bool expect_given;
	const char *path;       /* http, websocket; borrows from the command line */
	unsigned expect_status; /* http; websocket: 101, of the handshake */
	bool get;               /* http: messages go behind the path, not into a body */
	bool binary;            /* websocket: messages are binary */
	bool per_request;       /* a new connection for each */
	bool reconnect;
	bool hold; /* every connection is opened before the first request */
	bool json;
	uint64_t slice; /* of which the gaps are told; 0: of none */
	bool progress;  /* even if standard error is no terminal */
	bool histogram; /* below the table */
};

enum load_options_result { LOAD_OPTIONS_RUN, LOAD_OPTIONS_HELP, LOAD_OPTIONS_WRONG };

/* Reads the arguments behind the word `run` (argv[0]). What is wrong is told on standard error. */
enum load_options_result load_options_read(struct load_options *options, int argc, char **argv);
/* "echo", "upper", "status", "any" or "command". */
const char *load_options_expect_text(enum load_expect expect);
/*
 * What all commands share. Each returns false after a sentence on standard error, begun by the name
 * that load_options_begin() was given (borrowed).
 */
void load_options_begin(const char *program);
bool load_options_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool load_options_set_count(
    const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *number);
bool load_options_set_duration(const char *name, const char *text, uint64_t *nanoseconds);
bool load_options_set_protocol(const char *text, const struct load_protocol **protocol);
/* `protocol` becomes that of frames with ids. */
bool load_options_set_ids(const struct load_protocol **protocol);
/*
 * http://HOST:PORT/PATH and ws://HOST:PORT/PATH set all three. Other texts leave the protocol and
 * *path, NULL where none was given before, as they are; *path borrows from `text`.
 */
bool load_options_set_address(const char *text, struct addr *address,
    const struct load_protocol **protocol, const char **path);
/* The help of `hostler-load run`. */
extern const char load_options_help[];

#endif
