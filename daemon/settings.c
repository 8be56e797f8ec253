/*
 * Turns the configuration that runs into JSON, every value with its origin. Owns nothing; a value
 * may hold any byte that a file may hold, so all of them are escaped where they are no UTF-8.
 */
#include "daemon/settings.h"

#include "daemon/master.h"
#include "daemon/status.h"

static void
settings_on_setting(void *arg, const struct conf_setting *setting)
{
	json_array_append_new(
	    arg, json_pack("{s:o, s:s, s:o, s:o}", "section", status_string(setting->section),
		     "key", setting->key, "value", status_string(setting->value), "origin",
		     status_string(setting->origin)));
}

json_t *
settings_answer(void *arg, const json_t *request, struct control_ask *ask)
{
	const struct master *master = arg;
	json_t *list = json_array();

	(void)request;
	(void)ask;
	conf_each(master->conf, settings_on_setting, list);
	return control_done(
	    json_pack("{s:o, s:o}", "file", status_string(master->conf->file), "config", list));
}
