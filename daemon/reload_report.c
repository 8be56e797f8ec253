/*
 * What a reload says to who asked for it: the difference as JSON, or everything that was wrong.
 * Pure.
 */
#include "daemon/reload.h"

#include "common/option.h"
#include "daemon/control_line.h"

#include <stdio.h>

static json_t *
reload_report_text(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

static json_t *
reload_report_changes(const struct conf_changes *changes)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < changes->count; i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:o, s:o}", "key", changes->list[i].option->key, "from",
			      reload_report_text(changes->list[i].from), "to",
			      reload_report_text(changes->list[i].to)));
	return list;
}

json_t *
reload_report(const struct conf_diff *diff, bool dry_run, unsigned generation, double took)
{
	json_t *services = json_array();

	for (unsigned i = 0; i < diff->count; i++)
		json_array_append_new(
		    services, json_pack("{s:s, s:s, s:o}", "name", diff->services[i].name, "change",
				  conf_change_kind_name(diff->services[i].kind), "keys",
				  reload_report_changes(&diff->services[i].changes)));
	return control_done(json_pack("{s:b, s:i, s:f, s:o, s:o}", "dry_run", dry_run, "generation",
	    (int)generation, "took", took, "hostler", reload_report_changes(&diff->hostler),
	    "services", services));
}

json_t *
reload_report_errors(const struct conf_errors *errors)
{
	json_t *reply = control_error("%s", errors->count > 0 ? errors->lines[0] : "unknown");
	json_t *list = json_array();

	for (unsigned i = 0; i < errors->count; i++)
		json_array_append_new(list, reload_report_text(errors->lines[i]));
	json_object_set_new(reply, "errors", list);
	return reply;
}

const char *
reload_summary(const struct conf_diff *diff, char text[128])
{
	static const enum conf_change_kind order[] = {
	    CONF_ADDED, CONF_REMOVED, CONF_REPLACED, CONF_LIMITS, CONF_SAME};
	static const char *const words[] = {[CONF_ADDED] = "added",
	    [CONF_REMOVED] = "removed",
	    [CONF_REPLACED] = "made anew",
	    [CONF_LIMITS] = "with other limits",
	    [CONF_SAME] = "unchanged"};
	size_t length = 0;

	for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++) {
		unsigned count = 0;

		for (unsigned j = 0; j < diff->count; j++)
			count += diff->services[j].kind == order[i];
		if (count > 0 && length < 100)
			length += (size_t)snprintf(text + length, 128 - length, "%s%u %s",
			    length > 0 ? ", " : "", count, words[order[i]]);
	}
	return text;
}
