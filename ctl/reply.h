/*
 * What a reply must look like, as a table of fields, and the check of it. After reply_check() the
 * getters below cannot meet a missing key or a wrong type.
 */
#ifndef CTL_REPLY_H
#define CTL_REPLY_H

#include <jansson.h>

enum reply_kind {
	REPLY_BOOL,
	REPLY_TEXT,
	REPLY_TEXT_OR_NULL,
	REPLY_COUNT, /* an integer, not negative */
	REPLY_COUNT_OR_NULL,
	REPLY_SECONDS, /* a number, not negative */
	REPLY_SECONDS_OR_NULL,
	REPLY_TEXTS,  /* an array of texts */
	REPLY_COUNTS, /* an object whose values are counts */
	REPLY_PAIRS,  /* an array of arrays of two counts */
	REPLY_OBJECT, /* with the fields `inside` */
	REPLY_OBJECTS /* an array of them */
};

/* A row without a name ends the table. Keys that the table does not name are allowed. */
struct reply_field {
	const char *name;
	enum reply_kind kind;
	const struct reply_field *inside; /* borrows; only for objects */
};

/*
 * Whether `object` has every field. Returns NULL when it has, else what is wrong, such as
 * "services[0].pid is missing", to be freed by the caller.
 */
char *reply_check(json_t *object, const struct reply_field *fields);

/* Texts are borrowed from the reply; a null is `otherwise`. */
const char *reply_text(const json_t *object, const char *name, const char *otherwise);
json_int_t reply_count(const json_t *object, const char *name);
double reply_seconds(const json_t *object, const char *name);
/* The first of an array of objects whose text `name` is `text`; NULL when there is none. */
const json_t *reply_find(const json_t *objects, const char *name, const char *text);

#define REPLY_NUMBER_MAX 24 /* bytes of reply_count_text() with its NUL */

/* The count in digits, "-" for a null. Returns `text`. */
const char *reply_count_text(const json_t *object, const char *name, char text[REPLY_NUMBER_MAX]);

#endif
