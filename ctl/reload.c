/*
 * `hostlerctl reload`: waits until the new configuration serves and prints what changed, service by
 * service; with --dry-run what would change. Owns nothing beyond a call.
 */
#include "ctl/reload.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/option.h"
#include "ctl/client.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RELOAD_TIMEOUT (3600 * CLOCK_SECOND) /* the daemon has limits of its own */
#define RELOAD_INDENT  4

static const struct reply_field reload_change[] = {
    {"key", REPLY_TEXT, NULL},
    {"from", REPLY_TEXT_OR_NULL, NULL},
    {"to", REPLY_TEXT_OR_NULL, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field reload_service[] = {
    {"name", REPLY_TEXT, NULL},
    {"change", REPLY_TEXT, NULL},
    {"keys", REPLY_OBJECTS, reload_change},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field reload_reply[] = {
    {"dry_run", REPLY_BOOL, NULL},
    {"generation", REPLY_COUNT, NULL},
    {"took", REPLY_SECONDS, NULL},
    {"hostler", REPLY_OBJECTS, reload_change},
    {"services", REPLY_OBJECTS, reload_service},
    {NULL, REPLY_TEXT, NULL},
};

/* ---- what it waits for ---- */

static void
reload_on_slow(const struct client_question *question)
{
	char *state = command_ask_state(question->path, "reload");

	if (state != NULL && strcmp(state, "building") == 0)
		command_complain("waiting until the new workers and programs are ready");
	else if (state != NULL && strcmp(state, "waiting") == 0)
		command_complain("waiting until the reload before this one has drained");
	else
		command_complain("waiting for the daemon");
	free(state);
}

/* ---- what is printed ---- */

static void
reload_print_text(unsigned indent, char *text, unsigned width)
{
	char *clean = text_columns(text);

	text_wrap(stdout, clean, indent, width);
	free(clean);
	free(text);
}

static void
reload_print_keys(const json_t *keys, unsigned width)
{
	json_t *change;
	size_t index;

	json_array_foreach(keys, index, change)
	{
		const char *from = reply_text(change, "from", NULL);
		const char *to = reply_text(change, "to", NULL);

		reload_print_text(RELOAD_INDENT,
		    mem_printf("%s: %s -> %s", reply_text(change, "key", ""),
			from != NULL ? from : "(not set)", to != NULL ? to : "(not set)"),
		    width);
	}
}

/* In words that say what it means for those who are connected. */
static const char *
reload_change_text(const char *change)
{
	static const char *const texts[][2] = {
	    {"unchanged", "unchanged"},
	    {"limits", "changed limits"},
	    {"replaced", "made anew"},
	    {"added", "added"},
	    {"removed", "removed"},
	};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i][0], change) == 0)
			return texts[i][1];
	return change;
}

/* " because of command, framing": the keys that shape a pool; "" where none is told. */
static char *
reload_causes(const json_t *keys)
{
	char *causes = mem_strdup("");
	json_t *change;
	size_t index;

	json_array_foreach(keys, index, change)
	{
		const char *key = reply_text(change, "key", "");
		const struct option *option = option_find(OPTION_SERVICE, key);
		char *longer;

		if (option == NULL || !(option->flags & OPTION_SHAPES))
			continue;
		longer =
		    mem_printf("%s%s%s", causes, causes[0] != '\0' ? ", " : " because of ", key);
		free(causes);
		causes = longer;
	}
	return causes;
}

static void
reload_print_service(const json_t *service, unsigned width)
{
	const char *change = reply_text(service, "change", "");
	char *causes = strcmp(change, "replaced") == 0
			   ? reload_causes(json_object_get(service, "keys"))
			   : mem_strdup("");

	reload_print_text(0,
	    mem_printf("service %s: %s%s", reply_text(service, "name", ""),
		reload_change_text(change), causes),
	    width);
	free(causes);
	/* All keys of what is new or gone would say nothing. */
	if (strcmp(change, "added") != 0 && strcmp(change, "removed") != 0)
		reload_print_keys(json_object_get(service, "keys"), width);
}

static void
reload_print(const struct command_line *line, const json_t *reply)
{
	const json_t *hostler = json_object_get(reply, "hostler");
	double seconds = reply_seconds(reply, "took");
	char number[REPLY_NUMBER_MAX], time[TEXT_DURATION_MAX];
	json_t *service;
	size_t index;

	if (json_array_size(hostler) > 0)
		printf("hostler: changed\n");
	reload_print_keys(hostler, line->width);
	json_array_foreach(json_object_get(reply, "services"), index, service)
	    reload_print_service(service, line->width);
	if (seconds < 60)
		snprintf(time, sizeof(time), "%.3f s", seconds);
	else
		text_duration(seconds, time);
	if (json_is_true(json_object_get(reply, "dry_run")))
		printf("nothing was changed (dry run, %s)\n", time);
	else
		printf("reloaded in %s: generation %s\n", time,
		    reply_count_text(reply, "generation", number));
}

enum command_exit
reload_run(const struct command_line *line)
{
	const struct command_question question = {
	    .request = json_pack("{s:s, s:b}", "command", "reload", "dry_run", line->is_dry),
	    .fields = reload_reply,
	    .timeout = RELOAD_TIMEOUT,
	    .on_slow = reload_on_slow};

	return command_run(line, &question, reload_print);
}
