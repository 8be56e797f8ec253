/*
 * The common half of every verb. Owns nothing beyond a call. The only place that writes to standard
 * error, so that no text of a daemon or a program gets to the terminal uncleaned.
 */
#include "ctl/command.h"

#include "common/mem.h"
#include "ctl/client.h"
#include "ctl/find.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 15 digits: what was written as 0.1 is printed as 0.1. */
#define COMMAND_JSON (JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

void
command_complain(const char *text)
{
	const char *name = "hostlerctl: ";
	char *copy = mem_strdup(text);
	char *rest = copy;
	char *line, *clean;

	while ((line = strsep(&rest, "\n")) != NULL) {
		clean = text_clean(line);
		fprintf(stderr, "%s%s\n", name, clean);
		free(clean);
		name = "";
	}
	free(copy);
}

void
command_print_json(const json_t *reply)
{
	json_dumpf(reply, stdout, COMMAND_JSON);
	putchar('\n');
}

static enum command_exit
command_find(const struct command_line *line, char **path)
{
	enum find_result result;
	char *why;

	result = find_socket(line->socket, path, &why);
	if (result == FIND_OK)
		return COMMAND_OK;
	command_complain(why);
	free(why);
	return result == FIND_SEVERAL ? COMMAND_USAGE : COMMAND_UNREACHABLE;
}

static enum command_exit
command_misunderstood(const char *path, const char *what)
{
	char *text = mem_printf("%s: the reply is not understood: %s", path, what);

	command_complain(text);
	free(text);
	return COMMAND_REFUSED;
}

/* {"ok":true} and all fields, or {"ok":false} and a sentence; anything else is nonsense. */
static enum command_exit
command_judge(const char *path, json_t *reply, const struct reply_field *fields)
{
	const json_t *ok = json_object_get(reply, "ok");
	const char *error = json_string_value(json_object_get(reply, "error"));
	enum command_exit result = COMMAND_OK;
	char *wrong;

	if (!json_is_boolean(ok))
		return command_misunderstood(path, "ok is not true or false");
	if (json_is_false(ok) && error == NULL)
		return command_misunderstood(path, "error is not a text");
	if (json_is_false(ok)) {
		command_complain(error);
		return COMMAND_REFUSED;
	}
	wrong = reply_check(reply, fields);
	if (wrong != NULL)
		result = command_misunderstood(path, wrong);
	free(wrong);
	return result;
}

static enum command_exit
command_exchange(const struct command_line *line, const char *path, const char *verb,
    const struct reply_field *fields, json_t **reply)
{
	json_t *request = json_pack("{s:s}", "command", verb);
	enum client_result result;
	enum command_exit judged;
	char *why;

	result = client_ask(path, request, line->timeout, reply, &why);
	json_decref(request);
	if (result != CLIENT_OK) {
		command_complain(why);
		free(why);
		return result == CLIENT_NONSENSE ? COMMAND_REFUSED : COMMAND_UNREACHABLE;
	}
	judged = command_judge(path, *reply, fields);
	if (judged != COMMAND_OK)
		json_decref(*reply);
	return judged;
}

enum command_exit
command_ask(const struct command_line *line, const char *verb, const struct reply_field *fields,
    json_t **reply)
{
	enum command_exit result;
	char *path;

	result = command_find(line, &path);
	if (result != COMMAND_OK)
		return result;
	result = command_exchange(line, path, verb, fields, reply);
	free(path);
	return result;
}
