/*
 * What a reload would change: the file as it is now beside the configuration that runs. Owns
 * nothing and touches nothing that runs.
 */
#include "common/conf_save.h"
#include "common/mem.h"
#include "common/option.h"
#include "daemon/master.h"
#include "daemon/reload.h"

#include <stdlib.h>

/* What a running daemon cannot change. */
static void
reload_check_restart(
    const struct conf *conf, const struct conf_diff *diff, struct conf_errors *errors)
{
	for (unsigned i = 0; i < diff->hostler.count; i++) {
		const struct conf_change *change = &diff->hostler.list[i];
		char *where;

		if (!(change->option->flags & OPTION_RESTART))
			continue;
		where = conf_where(conf, 0, change->option->key);
		conf_errors_add(errors,
		    mem_printf("%s: cannot change while hostlerd runs (from %s to %s): restart it, "
			       "or put the old value back",
			where, change->from != NULL ? change->from : "not set",
			change->to != NULL ? change->to : "not set"));
		free(where);
	}
}

/* A pool that is too small, or that this binary cannot use, is replaced, whatever has changed. */
static void
reload_check_pools(
    const struct generation *current, const struct conf *conf, struct conf_diff *diff)
{
	for (unsigned i = 0; i < diff->count; i++) {
		struct conf_diff_service *change = &diff->services[i];

		if ((change->kind == CONF_LIMITS || change->kind == CONF_SAME) &&
		    !service_can_adopt(
			current->services[change->before], &conf->services[change->now]))
			change->kind = CONF_REPLACED;
	}
}

struct conf *
reload_read(const struct master *master, struct conf_diff **diff, struct conf_errors *errors)
{
	struct conf *conf;

	*diff = NULL;
	if (master->conf->file == NULL) {
		conf_errors_add(errors,
		    mem_strdup("there is no file to read again: hostlerd was started with run"));
		return NULL;
	}
	conf = conf_load_again(master->conf->file, master->control_default, errors);
	if (conf == NULL)
		return NULL;
	*diff = conf_diff_new(master->conf, conf);
	reload_check_pools(master->current, conf, *diff);
	reload_check_restart(conf, *diff, errors);
	if (errors->count == 0)
		return conf;
	conf_diff_free(*diff);
	conf_free(conf);
	*diff = NULL;
	return NULL;
}

struct conf *
reload_copy(const struct master *master, struct conf_diff **diff, char *why, size_t why_size)
{
	json_t *saved = conf_save(master->conf);
	struct conf *conf = conf_restore(saved, why, why_size);

	json_decref(saved);
	if (conf == NULL)
		return NULL;
	*diff = conf_diff_new(master->conf, conf);
	reload_check_pools(master->current, conf, *diff);
	return conf;
}

void
reload_note_scaled(const struct master *master, const struct conf *conf, struct conf_diff *diff)
{
	const struct generation *current = master->current;

	if (current->wanted != master->conf->workers)
		conf_diff_note(&diff->hostler, "workers",
		    mem_printf("%u (scaled)", current->wanted), mem_printf("%u", conf->workers));
	for (unsigned i = 0; i < diff->count; i++) {
		struct conf_diff_service *change = &diff->services[i];
		unsigned scaled = change->before == CONF_DIFF_NONE
				      ? 0
				      : current->services[change->before]->size.scaled;

		if (scaled == 0 || change->now == CONF_DIFF_NONE)
			continue;
		conf_diff_note(&change->changes, "instances", mem_printf("%u (scaled)", scaled),
		    conf_value_text(
			conf, 1 + change->now, option_find(OPTION_SERVICE, "instances")));
		if (change->kind == CONF_SAME)
			change->kind = CONF_LIMITS;
	}
}
