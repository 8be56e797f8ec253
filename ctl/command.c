/*
 * The common half of every verb. Owns nothing beyond a call. The only place that writes to standard
 * error, so that no text of a daemon or a program gets to the terminal uncleaned.
 */
#include "ctl/command.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "ctl/client.h"
#include "ctl/find.h"
#include "ctl/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_PATIENCE CLOCK_SECOND /* until it is said what is waited for */
#define COMMAND_LOOK     CLOCK_SECOND /* for asking that */
/* 15 digits: what was written as 0.1 is printed as 0.1. */
#define COMMAND_JSON (JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

static void
command_say(const char *prefix, const char *text)
{
	const char *name = "hostlerctl: ";
	char *copy = mem_strdup(text);
	char *rest = copy;
	char *line, *clean;

	while ((line = strsep(&rest, "\n")) != NULL) {
		clean = text_clean(line);
		fprintf(stderr, "%s%s%s\n", prefix, name, clean);
		free(clean);
		name = "";
	}
	free(copy);
}

void
command_complain(const char *text)
{
	command_say("", text);
}

/* For what the daemon cannot have logged: the journal, for a reload by systemd, shall have it. */
static void
command_fail(const char *text)
{
	command_say(log_error_prefix(), text);
}

void
command_print_json(const json_t *reply)
{
	json_dumpf(reply, stdout, COMMAND_JSON);
	putchar('\n');
}

bool
command_read_count(const char *word, uint32_t *count)
{
	unsigned long long number;
	char *end;

	if (word[0] < '0' || word[0] > '9')
		return false;
	errno = 0;
	number = strtoull(word, &end, 10);
	if (*end != '\0' || errno != 0 || number > UINT32_MAX)
		return false;
	*count = (uint32_t)number;
	return true;
}

static enum command_exit
command_find(const struct command_line *line, char **path)
{
	enum find_result result;
	char *why;

	result = find_socket(line->socket, path, &why);
	if (result == FIND_OK)
		return COMMAND_OK;
	command_fail(why);
	free(why);
	return result == FIND_SEVERAL ? COMMAND_USAGE : COMMAND_UNREACHABLE;
}

static enum command_exit
command_misunderstood(const char *path, const char *what)
{
	char *text = mem_printf("%s: the reply is not understood: %s", path, what);

	command_fail(text);
	free(text);
	return COMMAND_REFUSED;
}

/* Why it was refused: a sentence, or several, such as the errors of a file, one a line. */
static void
command_complain_refused(const json_t *reply, const char *error)
{
	const json_t *errors = json_object_get(reply, "errors");
	const char *line;
	json_t *item;
	size_t index;

	if (json_array_size(errors) == 0)
		command_complain(error);
	json_array_foreach(errors, index, item)
	{
		line = json_string_value(item);
		command_complain(line != NULL ? line : error);
	}
}

/* {"ok":true} and all fields, or {"ok":false} and a sentence; anything else is nonsense. */
static enum command_exit
command_judge(const struct command_line *line, const char *path, json_t *reply,
    const struct reply_field *fields)
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
		if (line->wants_json)
			command_print_json(reply);
		command_complain_refused(reply, error);
		return COMMAND_REFUSED;
	}
	wrong = reply_check(reply, fields);
	if (wrong != NULL)
		result = command_misunderstood(path, wrong);
	free(wrong);
	return result;
}

static enum command_exit
command_exchange(const struct command_line *line, const char *path,
    const struct command_question *question, json_t **reply)
{
	const struct client_question asked = {.path = path,
	    .request = question->request,
	    .timeout = question->timeout != 0 ? question->timeout : line->timeout,
	    .on_slow = question->on_slow,
	    .patience = COMMAND_PATIENCE};
	enum client_result result;
	enum command_exit judged;
	char *why;

	result = client_ask(&asked, reply, &why);
	if (result != CLIENT_OK) {
		command_fail(why);
		free(why);
		return result == CLIENT_NONSENSE ? COMMAND_REFUSED : COMMAND_UNREACHABLE;
	}
	judged = command_judge(line, path, *reply, question->fields);
	if (judged != COMMAND_OK)
		json_decref(*reply);
	return judged;
}

enum command_exit
command_question(
    const struct command_line *line, const struct command_question *question, json_t **reply)
{
	enum command_exit result;
	char *path;

	result = command_find(line, &path);
	if (result == COMMAND_OK) {
		result = command_exchange(line, path, question, reply);
		free(path);
	}
	json_decref(question->request);
	return result;
}

enum command_exit
command_ask(const struct command_line *line, const char *verb, const struct reply_field *fields,
    json_t **reply)
{
	const struct command_question question = {
	    .request = json_pack("{s:s}", "command", verb), .fields = fields};

	return command_question(line, &question, reply);
}

enum command_exit
command_run(const struct command_line *line, const struct command_question *question,
    void (*print)(const struct command_line *line, const json_t *reply))
{
	enum command_exit result;
	json_t *reply;

	result = command_question(line, question, &reply);
	if (result != COMMAND_OK)
		return result;
	if (line->wants_json)
		command_print_json(reply);
	else
		print(line, reply);
	json_decref(reply);
	return COMMAND_OK;
}

enum command_exit
command_show(const struct command_line *line, const char *verb, const struct reply_field *fields,
    void (*print)(const struct command_line *line, const json_t *reply))
{
	const struct command_question question = {
	    .request = json_pack("{s:s}", "command", verb), .fields = fields};

	return command_run(line, &question, print);
}

char *
command_ask_state(const char *path, const char *order)
{
	json_t *request = json_pack("{s:s}", "command", "status");
	const struct client_question question = {
	    .path = path, .request = request, .timeout = COMMAND_LOOK};
	json_t *reply = NULL;
	char *why = NULL, *state = NULL;
	const char *text;

	if (client_ask(&question, &reply, &why) == CLIENT_OK) {
		text = json_string_value(json_object_get(json_object_get(reply, order), "state"));
		state = text != NULL ? mem_strdup(text) : NULL;
	}
	json_decref(request);
	json_decref(reply);
	free(why);
	return state;
}
