/*
 * What people read about the options, from the table: the list of hostler.conf(5) and the sample
 * file. A test compares both with the files in the tree.
 */
#include "common/conf.h"
#include "common/mem.h"
#include "common/option.h"

#include <stdlib.h>
#include <string.h>

/* "line|frame|stream". The caller frees it. */
static char *
conf_manual_choices(const struct option *option)
{
	char *text = mem_strdup(option->choices[0]);

	for (unsigned i = 1; option->choices[i] != NULL; i++) {
		char *longer = mem_printf("%s|%s", text, option->choices[i]);

		free(text);
		text = longer;
	}
	return text;
}

/* ---- hostler.conf(5) ---- */

/* Text as mdoc takes it: each sentence on a line of its own, no line a request by accident. */
static void
conf_manual_text(const char *text, FILE *out)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (c[0] == '.' && c[1] == ' ') {
			fputs(".\n", out);
			c++;
		} else if (*c == '\\') {
			fputs("\\e", out);
		} else {
			putc(*c, out);
		}
	}
	putc('\n', out);
}

/* "A number from 1 to 16." and the like. */
static void
conf_manual_range(const struct option *option, FILE *out)
{
	char from[UNIT_TEXT_MAX], to[UNIT_TEXT_MAX];
	static const char *const kinds[] = {
	    [UNIT_COUNT] = "number", [UNIT_DURATION] = "duration", [UNIT_SIZE] = "size"};

	if (option->type == OPTION_TEXT)
		return;
	if (option->type == OPTION_CHOICE) {
		if (option->choices[1] == NULL)
			fprintf(out, "The only value is %s", option->choices[0]);
		for (unsigned i = 0; option->choices[1] != NULL && option->choices[i] != NULL; i++)
			fprintf(out, "%s%s",
			    i == 0                           ? "One of "
			    : option->choices[i + 1] == NULL ? " and "
							     : ", ",
			    option->choices[i]);
		fputs(".\n", out);
		return;
	}
	unit_format(option->unit, option->min, from);
	unit_format(option->unit, option->max, to);
	if (option->type == OPTION_RANGE) {
		fprintf(out, "Auto, a number from %s to %s, or a range of them.\n", from, to);
		return;
	}
	fprintf(out, "%s %s from %s to %s.\n", option->type == OPTION_AUTO ? "Auto or a" : "A",
	    kinds[option->unit], from,
	    option->max == OPTION_WORKERS_MAX ? "16 or four times the CPUs, whichever is more"
					      : to);
}

static void
conf_manual_row(const struct option *option, FILE *out)
{
	fprintf(out, ".It Cm %s\n", option->key);
	conf_manual_text(option->help, out);
	conf_manual_range(option, out);
	if (option->fallback != NULL)
		fprintf(out, "The default is %s.\n", option->fallback);
	else if (option->flags & OPTION_REQUIRED)
		fputs("Required in a file.\n", out);
	else
		fprintf(out, "Without it: %s.\n", option->otherwise);
}

static void
conf_manual_list(enum option_scope scope, const char *title, FILE *out)
{
	fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", title);
	for (unsigned i = 0; i < option_count(); i++)
		if (option_at(i)->scope == scope)
			conf_manual_row(option_at(i), out);
	fputs(".El\n", out);
}

void
conf_print_manual(FILE *out)
{
	conf_manual_list(OPTION_HOSTLER, "The section [hostler]", out);
	conf_manual_list(OPTION_SERVICE, "A section [service NAME]", out);
}

/* ---- hostlerd run --help ---- */

void
conf_print_options(FILE *out)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		bool is_hostler = option->scope == OPTION_HOSTLER;
		char *value =
		    option->type == OPTION_CHOICE
			? conf_manual_choices(option)
			: mem_strdup(option->fallback != NULL ? option->fallback : "VALUE");
		char *name =
		    mem_printf("--%s%s %s", is_hostler ? "hostler." : "", option->key, value);

		fprintf(out, "  %-32s%s %s", name,
		    strlen(name) > 32 ? "\n                                  " : "", option->help);
		if (option->type == OPTION_CHOICE && option->fallback != NULL)
			fprintf(out, " The default is %s.", option->fallback);
		putc('\n', out);
		free(name);
		free(value);
	}
}

/* ---- the sample file ---- */

#define CONF_SAMPLE_WIDTH 98

/* A text as comment lines. */
static void
conf_sample_text(const char *text, FILE *out)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t length = strcspn(text, " ");

		if (column == 0 || column + 1 + length > CONF_SAMPLE_WIDTH)
			column = (size_t)fprintf(out, "%s#", column == 0 ? "" : "\n");
		column += (size_t)fprintf(out, " %.*s", (int)length, text);
		text += length;
		text += strspn(text, " ");
	}
	putc('\n', out);
}

static void
conf_sample_list(enum option_scope scope, FILE *out)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		bool given = option->flags & OPTION_REQUIRED || strcmp(option->key, "command") == 0;
		char *text;

		if (option->scope != scope)
			continue;
		putc('\n', out);
		text = option->fallback != NULL || given
			   ? mem_strdup(option->help)
			   : mem_printf("%s Without it: %s.", option->help, option->otherwise);
		conf_sample_text(text, out);
		free(text);
		if (option->type == OPTION_CHOICE && option->choices[1] != NULL) {
			text = conf_manual_choices(option);
			fprintf(out, "# One of: %s\n", text);
			free(text);
		}
		fprintf(out, "%s%s = %s\n", given ? "" : "#", option->key,
		    option->fallback != NULL ? option->fallback : option->example);
	}
}

void
conf_print_sample(FILE *out)
{
	fputs("# hostler.conf: every option there is, commented out with its default, or with an\n"
	      "# example where there is none. hostlerd -t checks a file, hostlerd -T shows what\n"
	      "# holds. See hostler.conf(5).\n"
	      "\n[hostler]\n",
	    out);
	conf_sample_list(OPTION_HOSTLER, out);
	fputs("\n[service hello]\n", out);
	conf_sample_list(OPTION_SERVICE, out);
}
