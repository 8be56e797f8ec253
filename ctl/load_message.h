/*
 * The messages of a run, and what is expected back for each.
 *
 * A message is unlike every other of any run: six letters for the run, the number of the
 * connection, the number of the request on it, then letters a-z0-9 whose place in a table of random
 * ones depends on both, and so does its size: `k3x9ab-12-345-qy71…`. So nothing has to be kept for
 * a request to know later whether a reply is the right one, and whose it is.
 *
 * Or messages and their replies come from a list (load_texts.h), round and round. Then a reply can
 * be compared with the one that is expected, and tells no more.
 */
#ifndef CTL_LOAD_MESSAGE_H
#define CTL_LOAD_MESSAGE_H

#include "ctl/load_texts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_MESSAGE_MIN            32         /* bytes; the head alone never needs more */
#define LOAD_MESSAGE_MAX            (16 << 20) /* bytes */
#define LOAD_MESSAGE_CONNECTION_MAX 999999
#define LOAD_MESSAGE_RUN            6 /* letters */

struct load_message {
	size_t size;                          /* bytes, at most */
	size_t least;                         /* bytes, at least */
	const struct load_texts *texts;       /* borrows; NULL: made here */
	unsigned connections;                 /* with texts: how many begin, each elsewhere */
	char run[LOAD_MESSAGE_RUN + 1];       /* as sent, with its hyphen; no NUL */
	char run_reply[LOAD_MESSAGE_RUN + 1]; /* as expected back */
	char *letters;                        /* owns; what messages are cut from */
	char *letters_reply;                  /* owns, or the same as `letters` */
};

/*
 * `size` is LOAD_MESSAGE_MIN to LOAD_MESSAGE_MAX. `upper`: replies are the messages in capitals.
 * The same seed makes the same messages.
 */
void load_message_open(struct load_message *message, size_t size, bool upper, uint64_t seed);
void load_message_close(struct load_message *message);
/* Messages are of any size from `least` up. */
void load_message_vary(struct load_message *message, size_t least);
/* Messages and replies are these: connection 0 begins with the first, the others spread evenly. */
void load_message_use(
    struct load_message *message, const struct load_texts *texts, unsigned connections);

/* Bytes of a message. */
size_t load_message_length(
    const struct load_message *message, unsigned connection, uint64_t sequence);
/* Writes the message and returns its bytes; `sequence` is below 10^16. */
size_t load_message_write(
    const struct load_message *message, unsigned connection, uint64_t sequence, char *to);
/* Whether these bytes are the reply expected for that message. */
bool load_message_is(const struct load_message *message, unsigned connection, uint64_t sequence,
    const char *data, size_t length);
/*
 * Whether these bytes are, to the last one, the reply expected for some message of this run; says
 * for which. Not for texts.
 */
bool load_message_find(const struct load_message *message, const char *data, size_t length,
    unsigned *connection, uint64_t *sequence);

#endif
