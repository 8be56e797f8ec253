/*
 * `hostlerctl upgrade`: waits until another binary serves, or the old one does again, and prints
 * which. Owns nothing beyond a call.
 */
#include "ctl/upgrade.h"

#include "common/clock.h"
#include "common/mem.h"
#include "ctl/client.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UPGRADE_TIMEOUT (3600 * CLOCK_SECOND) /* the daemon has limits of its own */

static const struct reply_field upgrade_reply[] = {
    {"version", REPLY_TEXT, NULL},
    {"before", REPLY_TEXT, NULL},
    {"binary", REPLY_TEXT, NULL},
    {"generation", REPLY_COUNT, NULL},
    {"took", REPLY_SECONDS, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static void
upgrade_on_slow(const struct client_question *question)
{
	char *state = command_ask_state(question->path, "upgrade");

	if (state != NULL && strcmp(state, "waiting") == 0)
		command_complain("waiting until what is under way is done: a reload, processes "
				 "that start, an old generation that drains");
	else
		command_complain("waiting until the other hostlerd serves");
	free(state);
}

static void
upgrade_print(const struct command_line *line, const json_t *reply)
{
	char *text =
	    mem_printf("hostlerd %s runs, before it was %s (%s)", reply_text(reply, "version", ""),
		reply_text(reply, "before", ""), reply_text(reply, "binary", ""));
	char *clean = text_columns(text), number[REPLY_NUMBER_MAX];

	text_wrap(stdout, clean, 0, line->width);
	printf("upgraded in %.3f s: generation %s\n", reply_seconds(reply, "took"),
	    reply_count_text(reply, "generation", number));
	free(clean);
	free(text);
}

/* The daemon may be in another folder than we are. */
static char *
upgrade_find_path(const char *binary)
{
	char *folder, *path;

	if (binary == NULL || binary[0] == '/')
		return binary != NULL ? mem_strdup(binary) : NULL;
	folder = getcwd(NULL, 0);
	path = mem_printf("%s/%s", folder != NULL ? folder : "", binary);
	free(folder);
	return path;
}

enum command_exit
upgrade_run(const struct command_line *line)
{
	char *path = upgrade_find_path(line->binary);
	const struct command_question question = {
	    .request = json_pack("{s:s, s:s*}", "command", "upgrade", "binary", path),
	    .fields = upgrade_reply,
	    .timeout = UPGRADE_TIMEOUT,
	    .on_slow = upgrade_on_slow};

	free(path);
	return command_run(line, &question, upgrade_print);
}
