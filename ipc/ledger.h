/*
 * A file that several processes append whole records to, so that no reader ever finds a torn one.
 *
 * Every descriptor of it comes from the master: the file (each process has an open file description
 * of its own, so that fsync(2) tells each of them of every failure), its folder, and a page of
 * memory that all share. In that page are a robust lock and the *end*: the bytes of the file that
 * are known to be whole records. Who holds the lock and finds that a write of ours was under way
 * cuts the file back to the end before anything else. So a write that came short and a writer that
 * was killed are mended alike, by the next one.
 *
 * A file of which a sync failed is given up for good: nobody believes or uses it any more.
 *
 * docs/decisions/0008-collect.md tells why. Calls block on the disk: not for an event loop.
 */
#ifndef IPC_LEDGER_H
#define IPC_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LEDGER_LAYOUT    1         /* of the page; rises with every change of it */
#define LEDGER_WRITE_MAX (1 << 20) /* bytes of one write; a single record may have more */

/* How records are told apart when a file is taken up that has some already. */
enum ledger_framing { LEDGER_BYTES, LEDGER_LINE, LEDGER_FRAME };

struct ledger;

/* The records to append, at least one: record i ends at bytes[ends[i] - before]. */
struct ledger_records {
	const char *bytes;
	const size_t *ends;
	size_t count;
	size_t before; /* what stood in front of the first */
};

struct ledger_result {
	size_t count; /* of the records, how many are whole in the file, from the first on */
	int error;    /* errno: why not all are; 0: they are, or the rest is for the next call */
	const char *what; /* which call failed */
	uint64_t size;    /* bytes of the file now */
	uint64_t cut;     /* bytes of a torn record that were cut off first */
	int64_t foreign;  /* bytes that somebody else had added, or taken away (negative) */
};

/* The shared page of a new file, for the master: a sealed memfd, or -1 with errno. */
int ledger_new_page(void);

/*
 * For the master, once no process has the file any more: cuts a torn record off that the last of
 * them left. Returns how many bytes it were, or -1 with errno. The descriptors are borrowed.
 */
int64_t ledger_settle(int file, int page);

/* Takes over all three descriptors, even when it fails: NULL with errno. */
struct ledger *ledger_open(int file, int page, int folder);
void ledger_close(struct ledger *ledger);

/*
 * Appends some of the records, with one write: as many as LEDGER_WRITE_MAX bytes hold, at least
 * one. `framing` says how what the file already has is looked at, once; `tail_max` how long an
 * unfinished record at its end may be. A file that makes no sense is given up: EILSEQ.
 */
void ledger_append(struct ledger *ledger, enum ledger_framing framing, size_t tail_max,
    const struct ledger_records *records, struct ledger_result *result);
/*
 * What was appended before is on the disk, and so is the file's name. Returns 0, or -1 with errno
 * and the call that failed in *what: then the file is given up.
 */
int ledger_sync(struct ledger *ledger, const char **what);
/* Whether it was given up, by anybody. */
bool ledger_is_given_up(const struct ledger *ledger);
/* True for one caller in a tenth of a second among all processes: who may ask for another file. */
bool ledger_may_ask(struct ledger *ledger, uint64_t now);

#endif
