/*
 * One end of a control channel: a non-blocking SOCK_SEQPACKET socketpair, see unix(7).
 *
 * Every message is checked against the table in msg.c: known type, right sender, exact length,
 * exact number of descriptors. A peer that breaks a rule is CHAN_BROKEN; the caller ends it.
 */
#ifndef IPC_CHAN_H
#define IPC_CHAN_H

#include "ipc/msg.h"

#include <stddef.h>

enum chan_result {
	CHAN_OK,
	CHAN_AGAIN,     /* nothing to read, or no room to write now */
	CHAN_CLOSED,    /* the peer is gone */
	CHAN_TRUNCATED, /* descriptors were lost: this process has none left */
	CHAN_BROKEN     /* the peer broke the protocol, or an unexpected errno */
};

/* Makes a pair of non-blocking close-on-exec ends. Returns 0, or -1 with errno. */
int chan_pair(int ends[2]);

/* Sends one message with the descriptors that its type demands (borrowed). */
enum chan_result chan_send(int fd, const struct msg *msg, const int *fds);

/*
 * Receives one message that `sender` may send. fds[] holds MSG_FDS_MAX entries; received
 * descriptors are close-on-exec and belong to the caller, the others are -1. On any result but
 * CHAN_OK no descriptor is left open.
 */
enum chan_result chan_receive(int fd, enum msg_side sender, struct msg *msg, int fds[MSG_FDS_MAX]);

/* The checks alone, for tests and fuzzing: is this a message that `sender` may send? */
int chan_valid(const void *bytes, size_t length, size_t fds, enum msg_side sender);

#endif
