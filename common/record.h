/*
 * A struct as a JSON object and back, by a table of its fields: for what one process writes down
 * and another image of the program reads, which may be of another version.
 *
 * What is read is not believed: every number is held against its bounds, every descriptor must be
 * open and is given to one taker only. A key that nobody knows is passed over; a field whose key is
 * missing keeps the value that it has.
 */
#ifndef COMMON_RECORD_H
#define COMMON_RECORD_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_type {
	RECORD_BOOL,
	RECORD_NUMBER, /* unsigned, an enum, uint32_t, uint64_t, size_t */
	RECORD_SIGNED, /* int, pid_t, int64_t */
	RECORD_TEXT,   /* char[], any bytes but NUL */
	RECORD_STRING, /* char *, owned; NULL is null */
	RECORD_FD      /* int; -1 for none */
};

/*
 * A row of a table; a row without a name ends it. A descriptor is named "fd" or "fd_...", and
 * nothing else is: record_each_fd() finds it by that.
 */
struct record_field {
	const char *name;
	enum record_type type;
	size_t offset, size;
	uint64_t most; /* of a number; 0 for no bound */
};

#define RECORD_FIELD(structure, member, kind, bound)                                               \
	{                                                                                          \
#member, RECORD_##kind, offsetof(structure, member),                               \
		    sizeof(((structure *)0)->member), bound                                        \
	}
#define RECORD_NAMED(key, structure, member, kind, bound)                                          \
	{                                                                                          \
		key, RECORD_##kind, offsetof(structure, member), sizeof(((structure *)0)->member), \
		    bound                                                                          \
	}
#define RECORD_END                                                                                 \
	{                                                                                          \
		NULL, RECORD_BOOL, 0, 0, 0                                                         \
	}

/* Who reads. Empty it before; record_reader_close() frees what it has learnt. */
struct record_reader {
	char *why; /* borrows; the first thing that was wrong, as a sentence */
	size_t why_size;
	bool has_failed;
	unsigned char *taken; /* owns; a bit for each descriptor that was given to somebody */
	size_t taken_size;
};

void record_reader_close(struct record_reader *reader);
/* Notes what is wrong, unless something was before. Returns false. */
bool record_fail(struct record_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds every field of the struct to the object. */
void record_put(json_t *object, const struct record_field *fields, const void *from);
/* Reads every field that the object has into the struct; false, and told, at the first bad one. */
bool record_take(struct record_reader *reader, const json_t *object,
    const struct record_field *fields, void *to);

/* Any bytes as a JSON string; each stands for the code point of its number. */
json_t *record_bytes(const char *bytes, size_t length);
/* The same of a text; null for NULL. */
json_t *record_text(const char *text);
/* Back; the caller frees it. A NUL stands behind. NULL when it is no such string. */
char *record_read_bytes(const json_t *string, size_t *length);
/* The same where a NUL inside is none that anybody wrote. */
char *record_read_text(const json_t *string);

/* The descriptor named in the object: -1 where there is none. False when it is not open. */
bool record_take_fd(struct record_reader *reader, const json_t *object, const char *name, int *fd);
/* A list of descriptors, -1 among them; they go to the first `count` of `fds`. */
bool record_take_fds(
    struct record_reader *reader, const json_t *object, const char *name, int *fds, size_t count);
/* Whether it was taken: then it belongs to who wrote it down. */
bool record_has(const struct record_reader *reader, int fd);
/* All that are named in it are taken, whoever has them. */
void record_note_fds(struct record_reader *reader, const json_t *value);
/* Forgets one that was. */
void record_disown(const struct record_reader *reader, int *fd);
json_t *record_fds(const int *fds, size_t count);
/* Calls `each` for every descriptor that is named anywhere in it, but -1. */
void record_each_fd(const json_t *value, void (*each)(void *arg, int fd), void *arg);

#endif
