/*
 * The control protocol: any line in, exactly one line of JSON out, "ok" in it, and garbage is never
 * answered with ok. The table is a fake one.
 */
#include "daemon/control_line.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_must(bool truth)
{
	if (!truth)
		abort();
}

static json_t *
fuzz_hello(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)ask;
	fuzz_must(json_is_object(request));
	fuzz_must(arg != NULL);
	return json_pack("{s:s,s:[i,i]}", "hello", "world", "list", 1, 2);
}

/* What it is given is of the right type, or it is not called. */
static json_t *
fuzz_change(void *arg, const json_t *request, struct control_ask *ask)
{
	const json_t *flag = json_object_get(request, "quick");
	const json_t *number = json_object_get(request, "workers");
	const json_t *text = json_object_get(request, "service");

	(void)arg;
	(void)ask;
	fuzz_must(flag == NULL || json_is_boolean(flag));
	fuzz_must(number == NULL || (json_is_integer(number) && json_integer_value(number) >= 0));
	fuzz_must(text == NULL || json_is_string(text));
	return text != NULL ? control_error("no %s", json_string_value(text)) : json_object();
}

/* It keeps the ask: then there is no line. */
static json_t *
fuzz_later(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)request;
	(void)ask;
	*(bool *)arg = true;
	return NULL;
}

static const struct control_argument fuzz_arguments[] = {{"quick", CONTROL_BOOL},
    {"workers", CONTROL_COUNT}, {"service", CONTROL_TEXT}, {NULL, CONTROL_BOOL}};
static const struct control_command fuzz_looks[] = {{"hello", fuzz_hello, NULL, false},
    {"status", fuzz_hello, NULL, false}, {NULL, NULL, NULL, false}};
static const struct control_command fuzz_orders[] = {{"stop", fuzz_change, fuzz_arguments, false},
    {"reload", fuzz_later, NULL, true}, {NULL, NULL, NULL, false}};
static const struct control_command *const fuzz_tables[] = {fuzz_looks, fuzz_orders, NULL};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_garbage = false, is_kept = false;
	const struct control_tables tables = {fuzz_tables, &is_kept};
	struct control_ask *ask = (void *)&is_kept; /* nobody looks into it */
	char *reply = control_line_answer(&tables, ask, (const char *)data, size, &is_garbage);
	json_t *object, *ok;
	size_t length;

	fuzz_must(is_kept == (reply == NULL));
	if (reply == NULL)
		return 0;
	length = strlen(reply);
	/* One line: the only LF is the last byte. */
	fuzz_must(length > 0 && strchr(reply, '\n') == reply + length - 1);
	object = json_loadb(reply, length, JSON_REJECT_DUPLICATES, NULL);
	fuzz_must(json_is_object(object));
	ok = json_object_get(object, "ok");
	fuzz_must(json_is_boolean(ok));
	fuzz_must(!(is_garbage && json_is_true(ok)));
	fuzz_must(json_is_true(ok) || json_is_string(json_object_get(object, "error")));
	json_decref(object);
	free(reply);
	return 0;
}
