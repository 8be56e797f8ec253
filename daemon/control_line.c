/*
 * Reads one request and writes its reply. Everything about the text is checked here: strict JSON,
 * an object, no key twice, none unknown. Keeps nothing between two calls.
 */
#include "daemon/control_line.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_NAME_MAX 64 /* bytes of an unknown word that are repeated in an error */

/* Takes the object over. Returns its text with a LF. */
static char *
control_line_text(json_t *reply)
{
	char *text = reply != NULL ? json_dumps(reply, JSON_COMPACT) : NULL;
	char *line;

	json_decref(reply);
	if (text == NULL)
		return mem_strdup("{\"ok\":false,\"error\":\"out of memory\"}\n");
	line = mem_printf("%s\n", text);
	free(text);
	return line;
}

char *
control_line_error(const char *error)
{
	return control_line_text(json_pack("{s:b,s:s}", "ok", 0, "error", error));
}

/* "unknown command "x"": jansson refused what is not UTF-8, so the word is fit for a reply. */
static char *
control_line_unknown(const char *what, const char *word)
{
	char error[CONTROL_NAME_MAX * 2];
	json_t *text;
	char *line;

	if (strlen(word) > CONTROL_NAME_MAX)
		snprintf(error, sizeof(error), "unknown %s", what);
	else
		snprintf(error, sizeof(error), "unknown %s \"%s\"", what, word);
	text = json_string(error);
	line = control_line_error(text != NULL ? json_string_value(text) : "unknown word");
	json_decref(text);
	return line;
}

static char *
control_line_run(const struct control_command *command, void *arg)
{
	json_t *body = command->build(arg);
	json_t *reply = json_pack("{s:b}", "ok", 1);

	if (body == NULL || reply == NULL || json_object_update(reply, body) != 0) {
		json_decref(reply);
		reply = NULL;
	}
	json_decref(body);
	return control_line_text(reply);
}

static char *
control_line_dispatch(const struct control_command *commands, void *arg, json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const char *key;
	json_t *value;

	json_object_foreach (request, key, value)
		if (strcmp(key, "command") != 0)
			return control_line_unknown("key", key);
	if (name == NULL)
		return control_line_error("\"command\" is missing or no string");
	for (; commands->name != NULL; commands++)
		if (strcmp(commands->name, name) == 0)
			return control_line_run(commands, arg);
	return control_line_unknown("command", name);
}

char *
control_line_answer(const struct control_command *commands, void *arg, const char *line,
    size_t length, bool *garbage)
{
	json_error_t error;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	char *reply;

	*garbage = !json_is_object(request);
	if (*garbage)
		reply = control_line_error("a request is one JSON object in one line");
	else
		reply = control_line_dispatch(commands, arg, request);
	json_decref(request);
	return reply;
}
