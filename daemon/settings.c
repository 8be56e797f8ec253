/*
 * Turns the configuration that runs into JSON, every value with its origin. Owns nothing; a value
 * may hold any byte that a file may hold, so all of them are escaped where they are no UTF-8.
 */
#include "daemon/settings.h"

#include "common/escape.h"
#include "common/mem.h"
#include "daemon/master.h"

#include <stdlib.h>
#include <string.h>

static json_t *
settings_text(const char *text)
{
	size_t length;
	json_t *value;
	char *safe;

	if (text == NULL)
		return json_null();
	length = strlen(text);
	safe = mem_alloc(ESCAPE_MOST * length + 1, 1);
	value = json_stringn(safe, escape_text(safe, text, length));
	free(safe);
	return value;
}

static void
settings_on_setting(void *arg, const struct conf_setting *setting)
{
	json_array_append_new(
	    arg, json_pack("{s:o, s:s, s:o, s:o}", "section", settings_text(setting->section),
		     "key", setting->key, "value", settings_text(setting->value), "origin",
		     settings_text(setting->origin)));
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
	    json_pack("{s:o, s:o}", "file", settings_text(master->conf->file), "config", list));
}
