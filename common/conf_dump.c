/*
 * Writes a configuration back in the file's own syntax, each value behind a line that says where it
 * came from. What is written can be loaded again and gives the same configuration.
 */
#include "common/conf_build.h"
#include "common/escape.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* A file's name may have any byte; in a comment it must stay on its line. */
static void
conf_dump_name(const char *name, FILE *out)
{
	size_t length = strlen(name);
	char *safe = mem_alloc(length + 1, ESCAPE_MOST);

	length = escape_text(safe, name, length);
	fwrite(safe, 1, length, out);
	free(safe);
}

static void
conf_dump_origin(const struct conf *conf, unsigned section, const struct option *option, FILE *out)
{
	const struct conf_origin *origin = conf_origin(conf, section, option);

	if (origin->line == 0) {
		fputs("default", out);
	} else if (conf->file == NULL) {
		fprintf(out, "option --%s", section == CONF_HOSTLER ? "hostler." : "");
		for (const char *c = option->key; *c != '\0'; c++)
			putc(*c == '_' ? '-' : *c, out);
	} else {
		conf_dump_name(conf->file, out);
		fprintf(out, ":%u", origin->line);
	}
}

char *
conf_where(const struct conf *conf, unsigned section, const char *key)
{
	const struct option *option = option_find(conf_scope(section), key);
	char *text = NULL;
	size_t size = 0;
	unsigned line;
	FILE *out;

	if (conf->file == NULL)
		return mem_printf("--%s%s", section == CONF_HOSTLER ? "hostler." : "", key);
	line = conf_origin(conf, section, option)->line;
	out = open_memstream(&text, &size);
	if (out == NULL)
		fatal("cannot format a text");
	conf_dump_name(conf->file, out);
	if (line != 0)
		fprintf(out, ":%u", line);
	if (section == CONF_HOSTLER)
		fprintf(out, ": [hostler] %s", key);
	else
		fprintf(out, ": [service %s] %s", conf->services[section - 1].name, key);
	fclose(out);
	return text;
}

char *
conf_value_text(const struct conf *conf, unsigned section, const struct option *option)
{
	const struct conf_origin *origin = conf_origin(conf, section, option);
	const void *value = conf_value(conf, section, option);
	const unsigned *range = value; /* of a single number the first */
	char text[UNIT_TEXT_MAX];

	if (!origin->set)
		return NULL;
	switch (option->type) {
	case OPTION_TEXT:
		return mem_strdup(*(char *const *)value);
	case OPTION_CHOICE:
		return mem_strdup(option->choices[*(const unsigned *)value]);
	case OPTION_WIDE:
		return mem_strdup(unit_format(option->unit, *(const uint64_t *)value, text));
	case OPTION_RLIMIT:
		return mem_strdup(
		    unit_format(option->unit, ((const struct conf_rlimit *)value)->value, text));
	case OPTION_RANGE:
		if (!origin->automatic && range[0] != range[1])
			return mem_printf("%u..%u", range[0], range[1]);
		break;
	case OPTION_AUTO:
	case OPTION_UNSIGNED:
		break;
	}
	if (origin->automatic)
		return mem_strdup("auto");
	return mem_printf("%u", range[0]);
}

/* Whether the option means anything in its section. */
static bool
conf_dump_applies(const struct conf *conf, unsigned section, const struct option *option)
{
	if (option->scope != conf_scope(section))
		return false;
	return section == CONF_HOSTLER ||
	       option_is_for(option, conf->services[section - 1].protocol,
		   conf->services[section - 1].handler);
}

/* ---- one by one ---- */

static char *
conf_dump_origin_text(const struct conf *conf, unsigned section, const struct option *option)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		fatal("cannot format a text");
	conf_dump_origin(conf, section, option, out);
	if (fclose(out) != 0)
		fatal("cannot format a text");
	return text;
}

static void
conf_dump_each(const struct conf *conf, unsigned section, const char *name,
    void (*on_setting)(void *arg, const struct conf_setting *setting), void *arg)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		struct conf_setting setting = {name, option->key, NULL, option->otherwise};
		char *value = NULL, *origin = NULL;

		if (!conf_dump_applies(conf, section, option))
			continue;
		if (conf_origin(conf, section, option)->set) {
			value = conf_value_text(conf, section, option);
			origin = conf_dump_origin_text(conf, section, option);
			setting.value = value;
			setting.origin = origin;
		}
		on_setting(arg, &setting);
		free(value);
		free(origin);
	}
}

void
conf_each(const struct conf *conf,
    void (*on_setting)(void *arg, const struct conf_setting *setting), void *arg)
{
	conf_dump_each(conf, CONF_HOSTLER, "hostler", on_setting, arg);
	for (unsigned i = 0; i < conf->service_count; i++) {
		char *name = mem_printf("service %s", conf->services[i].name);

		conf_dump_each(conf, i + 1, name, on_setting, arg);
		free(name);
	}
}

/* ---- all of it, as a file ---- */

static void
conf_dump_on_setting(void *arg, const struct conf_setting *setting)
{
	FILE *out = arg;

	if (setting->value == NULL)
		fprintf(out, "# not set: %s\n# %s =\n", setting->origin, setting->key);
	else
		fprintf(out, "# %s\n%s = %s\n", setting->origin, setting->key, setting->value);
}

void
conf_dump(const struct conf *conf, FILE *out)
{
	fputs("[hostler]\n", out);
	conf_dump_each(conf, CONF_HOSTLER, "", conf_dump_on_setting, out);
	for (unsigned i = 0; i < conf->service_count; i++) {
		fprintf(out, "\n[service %s]\n", conf->services[i].name);
		conf_dump_each(conf, i + 1, "", conf_dump_on_setting, out);
	}
}
