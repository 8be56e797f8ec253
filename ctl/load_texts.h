/*
 * A list of requests with the reply that each should get: lines of a file, or messages that were
 * made, and what a program says to them. All of it is there before the run, so that no file and no
 * program can slow it down.
 */
#ifndef CTL_LOAD_TEXTS_H
#define CTL_LOAD_TEXTS_H

#include <stdbool.h>
#include <stddef.h>

#define LOAD_TEXTS_MAX   (1u << 20)  /* texts */
#define LOAD_TEXTS_BYTES (64u << 20) /* of all of them */

struct load_text {
	const char *data; /* borrows from the list */
	size_t length;    /* bytes, without LF */
};

struct load_texts {
	size_t count;
	struct load_text *requests; /* owns */
	struct load_text *replies;  /* owns, or the same as `requests` */
	size_t longest;             /* bytes of a request */
	size_t longest_reply;
	char *bytes, *reply_bytes; /* owns; LF behind each text; the second may be NULL */
	size_t length;             /* bytes of `bytes` */
};

/*
 * The lines of a file ("-": standard input), each the reply to itself; a CR before the LF is none
 * of theirs. False after a sentence without a full stop in `why`: not readable, empty, or too large
 * for the limits above or for `longest` bytes a line.
 */
bool load_texts_read(
    struct load_texts *texts, const char *path, size_t longest, char *why, size_t why_size);
/* Takes over `bytes`, in which each text ends with LF, and there is at least one. */
void load_texts_take(struct load_texts *texts, char *bytes, size_t length, size_t count);
/* Replies are the requests in capitals. */
void load_texts_capitals(struct load_texts *texts);
/*
 * Takes over `bytes`: the replies, each ending with LF. False, and the caller keeps them, when they
 * are not as many as the requests; `found` says how many.
 */
bool load_texts_answer(struct load_texts *texts, char *bytes, size_t length, size_t *found);
void load_texts_free(struct load_texts *texts);

#endif
