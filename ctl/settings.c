/*
 * `hostlerctl config`: what runs, every value with its origin. `hostlerctl version`: which programs
 * those are. Owns a table while it prints.
 */
#include "ctl/settings.h"

#include "ctl/table.h"
#include "ctl/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct reply_field settings_one[] = {
    {"section", REPLY_TEXT, NULL},
    {"key", REPLY_TEXT, NULL},
    {"value", REPLY_TEXT_OR_NULL, NULL},
    {"origin", REPLY_TEXT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field settings_reply[] = {
    {"file", REPLY_TEXT_OR_NULL, NULL},
    {"config", REPLY_OBJECTS, settings_one},
    {NULL, REPLY_TEXT, NULL},
};

static const struct reply_field settings_version[] = {
    {"version", REPLY_TEXT, NULL},
    {"pid", REPLY_COUNT, NULL},
    {NULL, REPLY_TEXT, NULL},
};

static struct table *
settings_new(void)
{
	struct table *table = table_new();

	table_column(table, "SECTION", TABLE_SHRINK);
	table_column(table, "KEY", TABLE_LEFT);
	table_column(table, "VALUE", TABLE_SHRINK);
	table_column(table, "ORIGIN", TABLE_SHRINK);
	return table;
}

/* Of "FILE:12" the line, which would be what is cut; the file stands above the table. */
static void
settings_add_origin(struct table *table, const char *origin, const char *file)
{
	size_t length = file != NULL ? strlen(file) : 0;

	if (length > 0 && strncmp(origin, file, length) == 0 && origin[length] == ':')
		table_cell(table, "line %s", origin + length + 1);
	else
		table_cell(table, "%s", origin);
}

static void
settings_add(struct table *table, const json_t *setting, const char *file)
{
	table_cell(table, "%s", reply_text(setting, "section", ""));
	table_cell(table, "%s", reply_text(setting, "key", ""));
	table_cell(table, "%s", reply_text(setting, "value", "-"));
	settings_add_origin(table, reply_text(setting, "origin", ""), file);
}

static void
settings_print_file(const char *file)
{
	char *clean = text_clean(file);

	printf("file %s\n\n", clean);
	free(clean);
}

static void
settings_print(const struct command_line *line, const json_t *reply)
{
	const char *file = reply_text(reply, "file", NULL);
	struct table *table = settings_new();
	size_t index;
	json_t *setting;

	json_array_foreach(json_object_get(reply, "config"), index, setting)
	    settings_add(table, setting, file);
	if (file != NULL)
		settings_print_file(file);
	/* A file or a pipe has no width, and whoever reads it wants the values. */
	table_print(table, stdout, isatty(STDOUT_FILENO) ? line->width : UINT_MAX);
	table_free(table);
}

enum command_exit
settings_run(const struct command_line *line)
{
	return command_show(line, "config", settings_reply, settings_print);
}

static void
settings_print_version(const struct command_line *line, const json_t *reply)
{
	char number[REPLY_NUMBER_MAX];
	char *version = text_clean(reply_text(reply, "version", ""));

	(void)line;
	printf("hostlerctl %s\nhostlerd %s (pid %s)\n", PACKAGE_VERSION, version,
	    reply_count_text(reply, "pid", number));
	free(version);
}

enum command_exit
settings_run_version(const struct command_line *line)
{
	return command_show(line, "version", settings_version, settings_print_version);
}
