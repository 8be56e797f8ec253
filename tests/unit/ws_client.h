/*
 * The one client of a test of WebSocket, and the two workers in this process between which its
 * connection may move. What it hears is collected, and checked from a place in it on; whatever is
 * not as it must be ends the test.
 */
#ifndef TESTS_UNIT_WS_CLIENT_H
#define TESTS_UNIT_WS_CLIENT_H

#include "tests/unit/seat.h"
#include "tests/unit/websockets.h"

struct ws_client {
	struct seat seats[2];
	struct seat *seat;  /* borrows; where the connection is */
	int fd;             /* owns, from begin() to hang_up() */
	unsigned service;   /* of WEBSOCKETS_CONF */
	char label[80];     /* what is tried */
	char heard[262144]; /* all of it, and a NUL */
	size_t length;
	bool ended;       /* the worker has said its last */
	bool opened;      /* there was a handshake */
	bool may_deflate; /* and that was agreed on */
};

extern struct ws_client ws_client;

void ws_client_open_seats(void);
void ws_client_close_seats(void);

/* Connects and shakes hands, where there is something to say. Returns the place behind that. */
const char *ws_client_begin(const struct websocket *websocket);
/* What is said behind the end of a connection is lost, as it must be. */
void ws_client_say(const char *text, size_t length);
/* Takes in what was said so far, or, with some turns, all that comes of it. */
void ws_client_hear(void);
void ws_client_settle(void);
/* To the other worker; one that is about to end stays. */
void ws_client_move(void);
/*
 * The client has no more to say and hears the end: an open one may be told a last word behind `at`,
 * one that asked for half a handshake is refused.
 */
void ws_client_hang_up(const char *at, bool refused);

/* What stands at `at`. Each returns the place behind it. */
const char *ws_client_must_reply(const char *at, const struct websocket_answer *answer, bool last);
/* The place where it was, when it is another and may be missing. */
const char *ws_client_must_say(const char *at, const struct websocket_answer *answer);
void ws_client_must_end(const char *at);

#endif
