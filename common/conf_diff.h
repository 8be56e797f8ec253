/*
 * What another configuration changes: key by key in [hostler], service by service. Services are the
 * same when they have the same name.
 */
#ifndef COMMON_CONF_DIFF_H
#define COMMON_CONF_DIFF_H

#include "common/conf.h"
struct option; /* common/option.h */

#define CONF_DIFF_NONE (~0u) /* no such service in that configuration */

/* One key that has another value. */
struct conf_change {
	const struct option *option;
	char *from, *to; /* owns; NULL where there is none */
};

struct conf_changes {
	struct conf_change *list; /* owns */
	unsigned count;
};

/* What it means for a service. */
enum conf_change_kind {
	CONF_SAME,
	CONF_LIMITS,   /* it keeps its pool and its instances */
	CONF_REPLACED, /* it gets a new pool */
	CONF_ADDED,
	CONF_REMOVED
};

const char *conf_change_kind_name(enum conf_change_kind kind);

struct conf_diff_service {
	const char *name;     /* borrows */
	unsigned before, now; /* index in each configuration, or CONF_DIFF_NONE */
	enum conf_change_kind kind;
	struct conf_changes changes;
};

struct conf_diff {
	struct conf_changes hostler;
	struct conf_diff_service *services; /* owns; in the order of `now`, then what is removed */
	unsigned count;
};

/* Both configurations are borrowed as long as the difference lives. Free it with conf_diff_free. */
struct conf_diff *conf_diff_new(const struct conf *before, const struct conf *now);
void conf_diff_free(struct conf_diff *diff);
/* Whether the two mean the same. */
bool conf_diff_is_empty(const struct conf_diff *diff);
/* Adds a change of a key that is not there yet; takes both texts over, which may be NULL. */
void conf_diff_note(struct conf_changes *changes, const char *key, char *from, char *to);

#endif
