/*
 * The rehearsal of an upgrade, as the running master sees it: another binary runs as a child, on a
 * copy of the state, and has to say within its time that it could take over. Whatever that program
 * does instead, it costs nothing but this child: it is a process group of its own, which the
 * guardian knows.
 *
 * The child is `BINARY --rehearse STATE,ANSWER ...`: two numbers of descriptors. It writes one line
 * to ANSWER, "ready VERSION" or "failed WHY", and ends, with status 0 if it is ready.
 */
#ifndef DAEMON_REHEARSAL_H
#define DAEMON_REHEARSAL_H

#include <event2/event.h>

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define REHEARSAL_ANSWER_MAX 512  /* bytes of the answer that are kept, with its NUL */
#define REHEARSAL_SAID_MAX   4096 /* of what it says otherwise */

struct master;
struct upgrade_file;

/* What one end of a pipe has brought. */
struct rehearsal_text {
	int fd;              /* owns; -1 when closed */
	struct event *event; /* owns */
	size_t size;         /* bytes of `bytes`, with the NUL */
	size_t length;
	char *bytes; /* borrows; what comes first is kept */
};

struct rehearsal {
	struct master *master; /* borrows */
	pid_t pid;             /* 0 for none */
	bool was_late;         /* killed because its time was over */
	struct rehearsal_text answer, said;
	char answer_bytes[REHEARSAL_ANSWER_MAX];
	char said_bytes[REHEARSAL_SAID_MAX];
};

/*
 * Starts the file, whose name is `binary`; `words` end its command line. It gets all descriptors
 * that the state names; `state` itself stays the caller's. False and a clause in `why` when there
 * is no process.
 */
bool rehearsal_start(struct rehearsal *rehearsal, struct master *master, const char *binary,
    const struct upgrade_file *file, char **words, int state, char *why, size_t why_size);
/* Its time is over: it is killed, and rehearsal_end() will be told. */
void rehearsal_expire(struct rehearsal *rehearsal);
/*
 * Its process is a zombie, as waitid(2) says: it is reaped here. True when it was ready; *version
 * is what it called itself, which the caller owns. Else a sentence about it is in `why`.
 */
bool rehearsal_end(
    struct rehearsal *rehearsal, const siginfo_t *info, char **version, char *why, size_t why_size);
/* Kills and reaps it, whatever it does; nothing is left of it. */
void rehearsal_abort(struct rehearsal *rehearsal);

#endif
