/*
 * How a connection goes from one worker to another: the packets on a channel between the two, a
 * non-blocking SOCK_SEQPACKET socketpair that the master made. No client's byte passes the master.
 *
 *   giver                                   taker
 *                               ◄── CREDIT  so many connections may come
 *   HEAD + descriptor ──►                   what it is, and how many bytes follow
 *   BYTES ... ──►                           state, input, output, in pieces
 *                               ◄── TAKEN   from here on the taker owns it
 *                                or REFUSED the giver goes on owning it
 *   end of packets ──►                      nothing more comes
 *
 * Answers come in the order of the heads. The giver keeps its descriptor until the answer; where
 * the taker dies it reads what was answered before, and what was not TAKEN is still its own. A
 * giver that ends the channel, be it dead or alive, has let go of all that was sent whole. So
 * whoever dies or breaks the rules, never do two sides own.
 *
 * The two may be of different versions of hostlerd: numbers have fixed widths, MOVE_VERSION stands
 * in each head, and a head that is not understood is refused.
 */
#ifndef IPC_MOVE_H
#define IPC_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOVE_VERSION   1
#define MOVE_PIECE     32768               /* bytes in one packet */
#define MOVE_BYTES_MAX (UINT64_C(1) << 32) /* of one connection */
#define MOVE_NAME      64                  /* of a service, with its NUL */
#define MOVE_PROTOCOL  24                  /* of a protocol's variant, with its NUL */

enum move_type {
	MOVE_HEAD = 1,
	MOVE_BYTES,
	MOVE_CREDIT,
	MOVE_TAKEN,
	MOVE_REFUSED,
};

enum move_why {
	MOVE_NOT_NOW = 1, /* the taker has no descriptor left: later, or to another one */
	MOVE_NEVER,       /* it has no such service, address or protocol any more */
};

/* What a connection waits for, beside the write deadline. */
enum move_wait {
	MOVE_WAIT_NOTHING,
	MOVE_WAIT_IDLE,
	MOVE_WAIT_MESSAGE,
	MOVE_WAIT_LINGER,
	MOVE_WAIT_SILENT, /* to ask whether the client is there, or for what it answers */
	MOVE_WAIT_COUNT
};

enum move_flag {
	MOVE_LINGERING = 1,    /* everything was said, the client's end is waited for */
	MOVE_READABLE = 2,     /* there may be something to read */
	MOVE_CLOSED_HINT = 4,  /* the kernel said that the client has shut its side */
	MOVE_EOF = 8,          /* and all was read to that end */
	MOVE_INPUT_ENDED = 16, /* no more messages are taken */
	MOVE_LINGER = 32,      /* the client may still be sending when it is closed */
	MOVE_WAS_ASKED = 64,   /* a message came on it */
	MOVE_SAID_BYE = 128,   /* the protocol's last words were said */
	MOVE_PINGED = 256,     /* it was asked whether it is there, and nothing came since */
};

/* Times are of CLOCK_MONOTONIC, in nanoseconds, and absolute: no deadline begins anew. */
struct move_head {
	/* These are the same in every version, so that what is not understood can be refused. */
	uint32_t type, version;
	uint64_t number; /* of this connection on this channel, from 0 */
	uint64_t bytes;  /* how many follow: here the sum of state, input and output */

	uint64_t listener;            /* the inode of the listening socket that it came by */
	char service[MOVE_NAME];      /* by name: the two may have different configurations */
	char protocol[MOVE_PROTOCOL]; /* whose state it is, and in which version */
	uint32_t protocol_version;
	uint32_t flags;
	uint32_t since; /* when it was accepted, in seconds */
	uint32_t requests;
	uint32_t wait_for, unused; /* enum move_wait */
	uint64_t wait;             /* until when */
	uint64_t message_since;    /* when an unfinished message began; 0 when there is none */
	uint64_t write;            /* until when the bytes of write_left must be written; 0: none */
	uint64_t write_left;
	uint64_t state, in, out; /* how many bytes of each follow */
};

struct move_bytes {
	uint32_t type, unused;
	char bytes[MOVE_PIECE];
};

struct move_answer {
	uint32_t type;
	uint32_t why;    /* of REFUSED */
	uint64_t number; /* of CREDIT: how many more; else of the connection */
};

union move_packet {
	uint32_t type;
	struct move_head head;
	struct move_bytes bytes;
	struct move_answer answer;
};

enum move_result {
	MOVE_OK,
	MOVE_AGAIN,     /* nothing to read, or no room to write now */
	MOVE_ENDED,     /* the other side says no more, or is gone */
	MOVE_TRUNCATED, /* a head, but its descriptor was lost: this process has none left */
	MOVE_BROKEN     /* the other side broke the rules, or an unexpected errno */
};

/* `fd` (borrowed) goes along; -1 for none. MOVE_ENDED: the other side is gone. */
enum move_result move_send(int channel, const void *packet, size_t length, int fd);
/* The length of a packet with so many bytes of payload. */
size_t move_bytes_length(size_t payload);
/*
 * Receives one packet that the giver (or the taker) may send, checked. *length is its length, *fd
 * its descriptor, which the caller owns, or -1. What a dead peer sent before it died still comes.
 */
enum move_result move_receive(
    int channel, bool from_giver, union move_packet *packet, size_t *length, int *fd);
/* The check alone, for tests and fuzzing. */
bool move_valid(const union move_packet *packet, size_t length, bool has_fd, bool from_giver);

#endif
