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
fuzz_hello(void *arg)
{
	return json_pack("{s:s,s:[i,i]}", "hello", (const char *)arg, "list", 1, 2);
}

static json_t *
fuzz_nothing(void *arg)
{
	(void)arg;
	return NULL;
}

static const struct control_command fuzz_commands[] = {
    {"hello", fuzz_hello}, {"status", fuzz_hello}, {"nothing", fuzz_nothing}, {NULL, NULL}};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char world[] = "world";
	bool is_garbage = false;
	char *reply =
	    control_line_answer(fuzz_commands, world, (const char *)data, size, &is_garbage);
	size_t length = strlen(reply);
	json_t *object, *ok;

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
