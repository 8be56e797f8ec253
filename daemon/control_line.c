/*
 * Reads one request and writes its reply. Everything about the text is checked here: strict JSON,
 * an object, no key twice, none unknown, each value of its type. Keeps nothing between two calls.
 */
#include "daemon/control_line.h"

#include "common/escape.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_NAME_MAX 64 /* bytes of an unknown word that are repeated in an error */

/* ---- replies ---- */

json_t *
control_error(const char *format, ...)
{
	char *text = NULL, *safe = NULL;
	json_t *reply;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length >= 0) {
		safe = mem_alloc(ESCAPE_MOST * (size_t)length + 1, 1);
		safe[escape_text(safe, text, (size_t)length)] = '\0';
		free(text);
	}
	reply = json_pack("{s:b,s:s}", "ok", 0, "error", safe != NULL ? safe : "out of memory");
	free(safe);
	if (reply == NULL)
		fatalx("out of memory");
	return reply;
}

json_t *
control_done(json_t *reply)
{
	return reply != NULL ? reply : control_error("the reply cannot be made");
}

/* "ok" stands in front of what has none. */
static json_t *
control_line_complete(json_t *reply)
{
	json_t *whole;

	if (reply == NULL || json_object_get(reply, "ok") != NULL)
		return reply;
	whole = json_pack("{s:b}", "ok", 1);
	if (whole != NULL && json_object_update(whole, reply) != 0) {
		json_decref(whole);
		whole = NULL;
	}
	json_decref(reply);
	return whole;
}

char *
control_line_text(json_t *reply)
{
	char *text, *line;

	reply = control_line_complete(reply);
	text = reply != NULL ? json_dumps(reply, JSON_COMPACT) : NULL;
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
	return control_line_text(control_error("%s", error));
}

/* ---- requests ---- */

static json_t *
control_line_unknown(const char *what, const char *word)
{
	if (strlen(word) > CONTROL_NAME_MAX)
		return control_error("unknown %s", what);
	return control_error("unknown %s \"%s\"", what, word);
}

/* The sentence about a value that is not of its type; NULL when it is. */
static json_t *
control_line_check_value(const struct control_argument *argument, const json_t *value)
{
	switch (argument->type) {
	case CONTROL_BOOL:
		if (json_is_boolean(value))
			return NULL;
		return control_error("\"%s\" must be true or false", argument->name);
	case CONTROL_COUNT:
		if (json_is_integer(value) && json_integer_value(value) >= 0 &&
		    json_integer_value(value) <= UINT32_MAX)
			return NULL;
		return control_error("\"%s\" must be a whole number", argument->name);
	default:
		if (json_is_string(value))
			return NULL;
		return control_error("\"%s\" must be a string", argument->name);
	}
}

/* NULL when all keys are known and their values are of the right type. */
static json_t *
control_line_check(const struct control_argument *arguments, json_t *request)
{
	const struct control_argument *argument;
	json_t *value, *error;
	const char *key;

	json_object_foreach (request, key, value) {
		if (strcmp(key, "command") == 0)
			continue;
		argument = arguments;
		while (
		    argument != NULL && argument->name != NULL && strcmp(argument->name, key) != 0)
			argument++;
		if (argument == NULL || argument->name == NULL)
			return control_line_unknown("key", key);
		error = control_line_check_value(argument, value);
		if (error != NULL)
			return error;
	}
	return NULL;
}

static const struct control_command *
control_line_find(const struct control_tables *tables, const char *name)
{
	for (unsigned i = 0; tables->tables[i] != NULL; i++)
		for (unsigned j = 0; tables->tables[i][j].name != NULL; j++)
			if (strcmp(tables->tables[i][j].name, name) == 0)
				return &tables->tables[i][j];
	return NULL;
}

static json_t *
control_line_run(const struct control_tables *tables, struct control_ask *ask, json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const struct control_command *command;
	json_t *error;

	if (name == NULL)
		return control_error("\"command\" is missing or no string");
	command = control_line_find(tables, name);
	if (command == NULL)
		return control_line_unknown("command", name);
	error = control_line_check(command->arguments, request);
	if (error != NULL)
		return error;
	if (command->may_wait && ask == NULL)
		return control_error("too many requests are under way");
	return command->answer(tables->arg, request, command->may_wait ? ask : NULL);
}

char *
control_line_answer(const struct control_tables *tables, struct control_ask *ask, const char *line,
    size_t length, bool *garbage)
{
	json_error_t error;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	json_t *reply;

	*garbage = !json_is_object(request);
	if (*garbage)
		reply = control_error("a request is one JSON object in one line");
	else
		reply = control_line_run(tables, ask, request);
	json_decref(request);
	return reply != NULL ? control_line_text(reply) : NULL;
}
