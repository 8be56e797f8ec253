/*
 * Compares two configurations: what is written, and what was found for it (users, programs). Pure;
 * decides what a change means by the option table alone: what shapes a pool needs a new one.
 */
#include "common/conf_diff.h"

#include "common/conf_build.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

const char *
conf_change_kind_name(enum conf_change_kind kind)
{
	static const char *const names[] = {
	    [CONF_SAME] = "unchanged",
	    [CONF_LIMITS] = "limits",
	    [CONF_REPLACED] = "replaced",
	    [CONF_ADDED] = "added",
	    [CONF_REMOVED] = "removed",
	};

	return names[kind];
}

/* ---- keys ---- */

/* Adds the change; takes both texts over. */
static void
conf_diff_add(struct conf_changes *changes, const struct option *option, char *from, char *to)
{
	changes->list = mem_resize(changes->list, changes->count + 1, sizeof(*changes->list));
	changes->list[changes->count++] =
	    (struct conf_change){.option = option, .from = from, .to = to};
}

static bool
conf_diff_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Without a group of one's own it is that of the user, who is told when it is another one. */
static bool
conf_diff_same_group(const char *group, bool same_user, gid_t a, gid_t b)
{
	return a == b || (group == NULL && !same_user);
}

/* Values that are written alike may still have come to mean something else. */
static bool
conf_diff_same_meaning(
    const struct conf *before, const struct conf *now, unsigned a, unsigned b, const char *key)
{
	const struct conf_service *x, *y;

	if (a == CONF_HOSTLER)
		return (strcmp(key, "user") != 0 || before->uid == now->uid) &&
		       (strcmp(key, "group") != 0 ||
			   conf_diff_same_group(
			       now->group, before->uid == now->uid, before->gid, now->gid)) &&
		       (strcmp(key, "workers") != 0 || before->workers == now->workers);
	x = &before->services[a - 1];
	y = &now->services[b - 1];
	if (strcmp(key, "user") == 0)
		return x->uid == y->uid;
	if (strcmp(key, "group") == 0)
		return conf_diff_same_group(y->group, x->uid == y->uid, x->gid, y->gid);
	if (strcmp(key, "command") == 0)
		return x->files == y->files && conf_diff_same_text(x->executable, y->executable);
	return strcmp(key, "instances") != 0 || x->instances == y->instances;
}

static void
conf_diff_key(struct conf_changes *changes, const struct option *option, const struct conf *before,
    const struct conf *now, unsigned a, unsigned b)
{
	char *from = conf_value_text(before, a, option), *to = conf_value_text(now, b, option);

	if (!conf_diff_same_text(from, to)) {
		conf_diff_add(changes, option, from, to);
		return;
	}
	if (!conf_diff_same_meaning(before, now, a, b, option->key))
		conf_diff_add(changes, option, mem_strdup(from != NULL ? from : "not set"),
		    mem_printf("%s (%s)", from != NULL ? from : "not set",
			strcmp(option->key, "command") == 0 ? "its files have changed"
							    : "means another one now"));
	free(from);
	free(to);
}

static void
conf_diff_section(struct conf_changes *changes, const struct conf *before, const struct conf *now,
    unsigned a, unsigned b)
{
	for (unsigned i = 0; i < option_count(); i++)
		if (option_at(i)->scope == conf_scope(a))
			conf_diff_key(changes, option_at(i), before, now, a, b);
}

static void
conf_diff_free_changes(struct conf_changes *changes)
{
	for (unsigned i = 0; i < changes->count; i++) {
		free(changes->list[i].from);
		free(changes->list[i].to);
	}
	free(changes->list);
}

/* ---- services ---- */

static unsigned
conf_diff_find(const struct conf *conf, const char *name)
{
	for (unsigned i = 0; i < conf->service_count; i++)
		if (strcmp(conf->services[i].name, name) == 0)
			return i;
	return CONF_DIFF_NONE;
}

/* Whether any of the changed keys shapes the pool. Another handler is another service. */
static bool
conf_diff_shapes(const struct conf_changes *changes)
{
	for (unsigned i = 0; i < changes->count; i++)
		if ((changes->list[i].option->flags & OPTION_SHAPES) ||
		    strcmp(changes->list[i].option->key, "handler") == 0)
			return true;
	return false;
}

static void
conf_diff_service(struct conf_diff *diff, const struct conf *before, const struct conf *now,
    unsigned a, unsigned b)
{
	struct conf_diff_service *service = &diff->services[diff->count++];

	service->before = a;
	service->now = b;
	service->name = b != CONF_DIFF_NONE ? now->services[b].name : before->services[a].name;
	if (a == CONF_DIFF_NONE) {
		service->kind = CONF_ADDED;
	} else if (b == CONF_DIFF_NONE) {
		service->kind = CONF_REMOVED;
	} else {
		conf_diff_section(&service->changes, before, now, 1 + a, 1 + b);
		service->kind = service->changes.count == 0           ? CONF_SAME
				: conf_diff_shapes(&service->changes) ? CONF_REPLACED
								      : CONF_LIMITS;
	}
}

struct conf_diff *
conf_diff_new(const struct conf *before, const struct conf *now)
{
	struct conf_diff *diff = mem_alloc(1, sizeof(*diff));

	diff->services =
	    mem_alloc(before->service_count + now->service_count + 1, sizeof(*diff->services));
	conf_diff_section(&diff->hostler, before, now, CONF_HOSTLER, CONF_HOSTLER);
	for (unsigned i = 0; i < now->service_count; i++)
		conf_diff_service(
		    diff, before, now, conf_diff_find(before, now->services[i].name), i);
	for (unsigned i = 0; i < before->service_count; i++)
		if (conf_diff_find(now, before->services[i].name) == CONF_DIFF_NONE)
			conf_diff_service(diff, before, now, i, CONF_DIFF_NONE);
	return diff;
}

void
conf_diff_free(struct conf_diff *diff)
{
	if (diff == NULL)
		return;
	conf_diff_free_changes(&diff->hostler);
	for (unsigned i = 0; i < diff->count; i++)
		conf_diff_free_changes(&diff->services[i].changes);
	free(diff->services);
	free(diff);
}

void
conf_diff_note(struct conf_changes *changes, const char *key, char *from, char *to)
{
	const struct option *option = option_find(OPTION_HOSTLER, key);

	if (option == NULL)
		option = option_find(OPTION_SERVICE, key);
	for (unsigned i = 0; i < changes->count; i++) {
		if (changes->list[i].option != option)
			continue;
		free(from);
		free(to);
		return;
	}
	conf_diff_add(changes, option, from, to);
}

bool
conf_diff_is_empty(const struct conf_diff *diff)
{
	for (unsigned i = 0; i < diff->count; i++)
		if (diff->services[i].kind != CONF_SAME)
			return false;
	return diff->hostler.count == 0;
}
