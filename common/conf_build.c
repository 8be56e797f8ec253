/*
 * Puts a configuration together value by value, from the option table: sections, defaults, where
 * everything came from, and all errors in the order of their lines.
 *
 * Owns the half-built configuration until conf_build_end(). Reads no file itself.
 */
#include "common/conf_build.h"

#include "common/escape.h"
#include "common/log.h"
#include "common/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONF_BUILD_GUESS_MAX                                                                       \
	72 /* bytes of a number of the user's with a unit; >= UNIT_TEXT_MAX                        \
	    */

_Static_assert(sizeof(enum protocol_kind) == sizeof(unsigned), "a choice is kept as unsigned");

struct conf_origin *
conf_origin(const struct conf *conf, unsigned section, const struct option *option)
{
	return &conf->origins[(size_t)section * option_count() + option_index(option)];
}

void *
conf_value(const struct conf *conf, unsigned section, const struct option *option)
{
	if (section == CONF_HOSTLER)
		return (char *)conf + option->offset;
	return (char *)&conf->services[section - 1] + option->offset;
}

bool
conf_is_given(const struct conf *conf, unsigned section, const char *key)
{
	return conf_origin(conf, section, option_find(conf_scope(section), key))->line != 0;
}

bool
conf_is_good(const struct conf *conf, unsigned section, const char *key)
{
	const struct conf_origin *origin =
	    conf_origin(conf, section, option_find(conf_scope(section), key));

	return origin->set && !origin->bad;
}

/* ---- errors ---- */

bool
conf_build_is_full(const struct conf_build *build)
{
	return build->errors->count > CONF_ERRORS_MAX;
}

/* Keeps a line, after those of the same place; takes over `text`. */
static void
conf_build_keep(struct conf_build *build, unsigned line, char *text)
{
	struct conf_errors *errors = build->errors;
	unsigned at = errors->count;

	errors->lines = mem_resize(errors->lines, errors->count + 1, sizeof(*errors->lines));
	while (at > 0 && build->error_lines[at - 1] > line) {
		errors->lines[at] = errors->lines[at - 1];
		build->error_lines[at] = build->error_lines[at - 1];
		at--;
	}
	errors->lines[at] = text;
	build->error_lines[at] = line;
	errors->count++;
}

/* "--max-connections: " or "--hostler.max-connections: "; an option of `run` has hyphens. */
static void
conf_build_where_option(FILE *out, unsigned section, const char *key)
{
	if (key == NULL)
		return;
	fputs(section == CONF_HOSTLER ? "--hostler." : "--", out);
	for (; *key != '\0'; key++)
		putc(*key == '_' ? '-' : *key, out);
	fputs(": ", out);
}

/* "FILE:LINE: [service upper] key: " */
static void
conf_build_where(
    struct conf_build *build, FILE *out, unsigned line, unsigned section, const char *key)
{
	fputs(build->file, out);
	if (line != CONF_NO_LINE)
		fprintf(out, ":%u", line);
	fputs(": ", out);
	if (section == CONF_HOSTLER)
		fputs("[hostler]", out);
	else if (section != CONF_NO_SECTION)
		fprintf(out, "[service %s]", build->conf->services[section - 1].name);
	if (section != CONF_NO_SECTION)
		fputs(key != NULL ? " " : ": ", out);
	if (key != NULL)
		fprintf(out, "%s: ", key);
}

static void
conf_build_tell(struct conf_build *build, unsigned line, unsigned section, const char *key,
    const char *format, va_list args)
{
	char *text = NULL, *safe;
	size_t size = 0;
	FILE *out;

	if (conf_build_is_full(build))
		return;
	if (build->errors->count == CONF_ERRORS_MAX) {
		conf_build_keep(build, CONF_NO_LINE,
		    mem_printf(
			"there are more errors; only the first %d are told", CONF_ERRORS_MAX));
		return;
	}
	out = open_memstream(&text, &size);
	if (out == NULL)
		fatal("cannot format a text");
	if (build->file == NULL)
		conf_build_where_option(out, section, key);
	else
		conf_build_where(build, out, line, section, key);
	vfprintf(out, format, args);
	fclose(out);
	safe = mem_alloc(size + 1, ESCAPE_MOST);
	escape_text(safe, text, size);
	free(text);
	conf_build_keep(build, line, safe);
}

void
conf_build_error(struct conf_build *build, unsigned line, unsigned section, const char *key,
    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	conf_build_tell(build, line, section, key, format, args);
	va_end(args);
}

void
conf_build_refuse(struct conf_build *build, unsigned section, const struct option *option,
    const char *format, ...)
{
	struct conf_origin *origin = conf_origin(build->conf, section, option);
	va_list args;

	origin->bad = true;
	va_start(args, format);
	conf_build_tell(build, origin->line, section, option->key, format, args);
	va_end(args);
}

/* ---- values ---- */

/* What was probably meant by a number without its unit; false where no unit makes it a good one. */
static bool
conf_build_guess(
    const struct option *option, const char *text, uint64_t value, char guess[CONF_BUILD_GUESS_MAX])
{
	static const char *const durations[] = {"s", "ms", NULL}, *const sizes[] = {"K", "M", NULL};
	const char *const *unit = option->unit == UNIT_SIZE ? sizes : durations;

	if (option->unit == UNIT_SIZE && strchr(text, '.') == NULL) {
		unit_format(UNIT_SIZE, value, guess);
		if (value >= option->min && value <= option_max(option))
			return true;
	}
	for (; *unit != NULL; unit++) {
		snprintf(guess, CONF_BUILD_GUESS_MAX, "%.64s%s", text, *unit);
		if (unit_parse(option->unit, guess, &value) == UNIT_OK && value >= option->min &&
		    value <= option_max(option))
			return true;
	}
	return false;
}

/* The sentence for a value that cannot be read; `meant`: what was probably meant, or NULL. */
static void
conf_build_refuse_value(struct conf_build *build, unsigned section, const struct option *option,
    const char *text, const char *meant)
{
	char expects[OPTION_EXPECTS_MAX];

	option_expects(option, expects);
	if (meant != NULL)
		conf_build_refuse(
		    build, section, option, "'%.64s': %s; did you mean %s?", text, expects, meant);
	else
		conf_build_refuse(build, section, option, "'%.64s': %s", text, expects);
}

static void
conf_build_refuse_number(struct conf_build *build, unsigned section, const struct option *option,
    const char *text, enum unit_result result, uint64_t value)
{
	char guess[CONF_BUILD_GUESS_MAX];
	bool guessed = result == UNIT_MISSING && conf_build_guess(option, text, value, guess);

	conf_build_refuse_value(build, section, option, text, guessed ? guess : NULL);
}

static void
conf_build_number(struct conf_build *build, unsigned section, const struct option *option,
    const char *text, struct conf_origin *origin)
{
	void *to = conf_value(build->conf, section, option);
	enum unit_result result = UNIT_OK;
	uint64_t value = 0;

	origin->automatic = option->type == OPTION_AUTO && strcmp(text, "auto") == 0;
	if (origin->automatic && (option->flags & OPTION_SELF)) {
		*(unsigned *)to = 0;
		return;
	}
	if (origin->automatic)
		value = option_cpus() < option_max(option) ? option_cpus() : option_max(option);
	else
		result = unit_parse(option->unit, text, &value);
	if (result != UNIT_OK || value < option->min || value > option_max(option)) {
		conf_build_refuse_number(build, section, option, text, result, value);
		return;
	}
	switch (option->type) {
	case OPTION_WIDE:
		*(uint64_t *)to = value;
		break;
	case OPTION_RLIMIT:
		*(struct conf_rlimit *)to = (struct conf_rlimit){true, value};
		break;
	default:
		*(unsigned *)to = (unsigned)value;
	}
}

/* N, MIN..MAX or auto. */
static void
conf_build_range(struct conf_build *build, unsigned section, const struct option *option,
    const char *text, struct conf_origin *origin)
{
	unsigned *to = conf_value(build->conf, section, option);
	const char *dots = strstr(text, "..");
	uint64_t least, most;
	char *first;

	origin->automatic = strcmp(text, "auto") == 0;
	if (origin->automatic) {
		to[0] = to[1] = option_cpus() < option->max ? option_cpus() : (unsigned)option->max;
		return;
	}
	first = dots != NULL ? mem_strndup(text, (size_t)(dots - text)) : mem_strdup(text);
	if (unit_parse(UNIT_COUNT, first, &least) == UNIT_OK &&
	    unit_parse(UNIT_COUNT, dots != NULL ? dots + 2 : text, &most) == UNIT_OK &&
	    least >= option->min && least <= most && most <= option->max) {
		to[0] = (unsigned)least;
		to[1] = (unsigned)most;
	} else {
		conf_build_refuse_value(build, section, option, text, NULL);
	}
	free(first);
}

static void
conf_build_choice(
    struct conf_build *build, unsigned section, const struct option *option, const char *text)
{
	for (unsigned i = 0; option->choices[i] != NULL; i++) {
		if (strcmp(option->choices[i], text) == 0) {
			memcpy(conf_value(build->conf, section, option), &i, sizeof(i));
			if (option_lacks(option, i) != NULL)
				conf_build_refuse(build, section, option,
				    "'%s': this hostlerd was built without %s", text,
				    option_lacks(option, i));
			return;
		}
	}
	conf_build_refuse_value(build, section, option, text, option_suggest_choice(option, text));
}

/* Whether `mark` stands first or behind a blank: somebody meant a comment. */
static bool
conf_build_has_comment(const char *text, char mark)
{
	for (const char *at = strchr(text, mark); at != NULL; at = strchr(at + 1, mark))
		if (at == text || isspace((unsigned char)at[-1]))
			return true;
	return false;
}

/* True when the text can be a value of the file's syntax at all. */
static bool
conf_build_fits(
    struct conf_build *build, unsigned section, const struct option *option, const char *text)
{
	char expects[OPTION_EXPECTS_MAX];
	bool in_words =
	    strcmp(option->key, "command") == 0 || strcmp(option->key, "environment") == 0;

	if (*text == '\0')
		conf_build_refuse(build, section, option, "there is no value: %s",
		    option_expects(option, expects));
	else if (strlen(text) > CONF_VALUE_MAX)
		conf_build_refuse(
		    build, section, option, "the value is longer than %d bytes", CONF_VALUE_MAX);
	else if (strchr(text, '\n') != NULL)
		conf_build_refuse(build, section, option, "a value is one line%s",
		    in_words ? "; \\n outside of quotes is a line feed" : "");
	else if (conf_build_has_comment(text, ';'))
		conf_build_refuse(build, section, option,
		    "a semicolon behind a blank: comments stand on lines of their own%s",
		    in_words ? "; one that is meant is written \\;" : "");
	else if (!in_words && conf_build_has_comment(text, '#'))
		conf_build_refuse(build, section, option,
		    "a # behind a blank: comments stand on lines of their own");
	else
		return true;
	return false;
}

void
conf_build_set(struct conf_build *build, unsigned section, const struct option *option,
    const char *text, unsigned line)
{
	struct conf_origin *origin = conf_origin(build->conf, section, option);

	if (origin->line != 0) {
		if (build->file != NULL)
			conf_build_error(build, line, section, option->key,
			    "is given twice, first in line %u", origin->line);
		else
			conf_build_error(build, line, section, option->key, "is given twice");
		return;
	}
	*origin = (struct conf_origin){.line = line, .set = true};
	if (!conf_build_fits(build, section, option, text))
		return;
	if (option->type == OPTION_TEXT) {
		char **to = conf_value(build->conf, section, option);

		free(*to);
		*to = mem_strdup(text);
	} else if (option->type == OPTION_CHOICE) {
		conf_build_choice(build, section, option, text);
	} else if (option->type == OPTION_RANGE) {
		conf_build_range(build, section, option, text, origin);
	} else {
		conf_build_number(build, section, option, text, origin);
	}
}

/* ---- sections ---- */

static void
conf_build_defaults(struct conf_build *build, unsigned section)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);

		if (option->scope == conf_scope(section) && option->fallback != NULL)
			conf_build_set(build, section, option, option->fallback, 0);
	}
}

/* Room for the origins of `sections` sections; the new ones are zeroed. */
static void
conf_build_grow(struct conf *conf, unsigned sections)
{
	size_t each = option_count() * sizeof(*conf->origins);

	conf->origins = mem_resize(conf->origins, sections, each);
	memset((char *)conf->origins + (sections - 1) * each, 0, each);
}

unsigned
conf_build_service(struct conf_build *build, const char *name, unsigned line)
{
	struct conf *conf = build->conf;
	unsigned section = ++conf->service_count;
	struct conf_service *service;

	conf->services = mem_resize(conf->services, section, sizeof(*conf->services));
	conf_build_grow(conf, section + 1);
	service = &conf->services[section - 1];
	*service =
	    (struct conf_service){.name = mem_strdup(name), .uid = CONF_NO_ID, .gid = CONF_NO_ID};
	service->origin = build->file == NULL ? mem_strdup("command line")
					      : mem_printf("%s:%u", build->file, line);
	build->section_lines[section] = line;
	conf_build_defaults(build, section);
	return section;
}

/* ---- start and end ---- */

/* Fills in what a path relative to the file, or to the current directory, belongs to. */
static bool
conf_build_place(struct conf_build *build)
{
	char *current = getcwd(NULL, 0);
	const char *slash;

	if (current == NULL) {
		conf_build_error(build, CONF_NO_LINE, CONF_NO_SECTION, NULL,
		    "the current directory cannot be found: %s", strerror(errno));
		return false;
	}
	if (build->file == NULL) {
		build->base = current;
		return true;
	}
	build->conf->file = conf_program_path(current, build->file);
	slash = strrchr(build->conf->file, '/');
	build->base = mem_strndup(build->conf->file, (size_t)(slash - build->conf->file) + 1);
	free(current);
	return true;
}

void
conf_build_empty(struct conf_build *build, const char *file, struct conf_errors *errors)
{
	*build = (struct conf_build){.file = file, .errors = errors};
	*errors = (struct conf_errors){0};
	build->conf = mem_alloc(1, sizeof(*build->conf));
	build->conf->uid = CONF_NO_ID;
	build->conf->gid = CONF_NO_ID;
	conf_build_grow(build->conf, 1);
	conf_build_defaults(build, CONF_HOSTLER);
}

bool
conf_build_start(struct conf_build *build, const char *file, const char *control_default,
    struct conf_errors *errors)
{
	conf_build_empty(build, file, errors);
	if (control_default != NULL)
		conf_build_set(build, CONF_HOSTLER, option_find(OPTION_HOSTLER, "control"),
		    control_default, 0);
	return conf_build_place(build);
}

struct conf *
conf_build_end(struct conf_build *build)
{
	struct conf *conf = build->conf;

	free(build->base);
	if (build->errors->count == 0)
		return conf;
	conf_free(conf);
	return NULL;
}
