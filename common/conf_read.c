/*
 * Reads a file with inih, through a reader of our own that sees every line first.
 *
 * inih as packaged cuts lines at 199 bytes, section names at 49 and values at a blank with a
 * semicolon, takes an indented line for more of the value before, hides empty sections, and tells
 * no line numbers. So the reader counts lines, refuses what would be misread, keeps the section
 * itself, and keeps a value that inih could not deliver whole: inih then gets a short stand-in.
 * Nothing is ever cut silently. Owns its line buffer only.
 */
#include "common/conf_build.h"
#include "common/mem.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define CONF_READ_SERVICE "service"

struct conf_reader {
	struct conf_build *build; /* borrows */
	FILE *file;               /* borrows */
	char *line;               /* owns; CONF_LINE_MAX + 1 bytes */
	size_t length;
	size_t total;     /* bytes read so far */
	unsigned number;  /* of the line */
	unsigned section; /* CONF_NO_SECTION: none yet, or one that is not known */
	bool failed;      /* the end was not reached */
	bool unknown;     /* inside a section that is not known: its keys are passed over */
	const char *kept; /* borrows from `line`: the value, where inih gets a stand-in */
};

static void
conf_read_error(struct conf_reader *reader, const char *sentence)
{
	conf_build_error(reader->build, reader->number, CONF_NO_SECTION, NULL, "%s", sentence);
}

/* ---- one raw line ---- */

/* Reads a line without its end, terminates it. Returns EOF or LF; what is too long is counted. */
static int
conf_read_bytes(struct conf_reader *reader)
{
	int c;

	reader->length = 0;
	while ((c = getc_unlocked(reader->file)) != EOF && c != '\n') {
		if (reader->length < CONF_LINE_MAX)
			reader->line[reader->length] = (char)c;
		reader->length++;
		if (++reader->total > CONF_FILE_MAX)
			return EOF;
	}
	reader->total++;
	reader->line[reader->length < CONF_LINE_MAX ? reader->length : CONF_LINE_MAX] = '\0';
	return c;
}

/* Reading makes no sense any more. */
static bool
conf_read_fail(struct conf_reader *reader, const char *why)
{
	conf_build_error(
	    reader->build, CONF_NO_LINE, CONF_NO_SECTION, NULL, "cannot be read: %s", why);
	reader->failed = true;
	return false;
}

/* Returns false at the end of the file, or when reading has failed. */
static bool
conf_read_fetch(struct conf_reader *reader)
{
	int end;

	if (conf_build_is_full(reader->build) || feof(reader->file))
		return false;
	errno = 0;
	end = conf_read_bytes(reader);
	if (ferror(reader->file))
		return conf_read_fail(reader, strerror(errno));
	if (reader->total > CONF_FILE_MAX)
		return conf_read_fail(reader, "it is longer than 16 MiB");
	if (end == EOF && reader->length == 0)
		return false;
	reader->number++;
	return true;
}

/* Takes off the end of a line, also CR, and a byte order mark. */
static char *
conf_read_trim(struct conf_reader *reader)
{
	char *text = reader->line;

	if (reader->number == 1 && strncmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3;
		reader->length -= 3;
	}
	while (reader->length > 0 && isspace((unsigned char)text[reader->length - 1]))
		text[--reader->length] = '\0';
	return text;
}

/* ---- a section's header ---- */

/* The header is wrong: the keys below it are passed over. */
static void
conf_read_refuse(struct conf_reader *reader)
{
	reader->unknown = true;
	reader->build->has_refused = true;
}

static bool
conf_read_name_is_fine(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length <= CONF_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") ==
		   length;
}

static void
conf_read_hostler(struct conf_reader *reader)
{
	unsigned *line = &reader->build->section_lines[CONF_HOSTLER];

	if (*line != 0)
		conf_build_error(reader->build, reader->number, CONF_HOSTLER, NULL,
		    "is there twice, first in line %u", *line);
	else
		*line = reader->number;
	reader->section = CONF_HOSTLER;
}

static void
conf_read_service(struct conf_reader *reader, const char *name)
{
	struct conf_build *build = reader->build;
	unsigned section;

	if (!conf_read_name_is_fine(name)) {
		conf_build_error(build, reader->number, CONF_NO_SECTION, NULL,
		    "[service%s%.64s]: a service needs a name of 1 to %d letters, digits or - _ .",
		    *name == '\0' ? "" : " ", name, CONF_NAME_MAX);
		conf_read_refuse(reader);
		return;
	}
	if (build->conf->service_count == CONF_SERVICES_MAX) {
		conf_build_error(build, reader->number, CONF_NO_SECTION, NULL,
		    "[service %s]: there are more than %d services", name, CONF_SERVICES_MAX);
		conf_read_refuse(reader);
		return;
	}
	section = conf_build_service(build, name, reader->number);
	reader->section = section;
	for (unsigned other = 1; other < section; other++) {
		if (strcmp(build->conf->services[other - 1].name, name) == 0) {
			conf_build_error(build, reader->number, section, NULL,
			    "is there twice, first in line %u", build->section_lines[other]);
			return;
		}
	}
}

/* A header that is neither [hostler] nor [service NAME]; `first` is its first word. */
static void
conf_read_unknown(struct conf_reader *reader, const char *first, const char *rest)
{
	struct conf_build *build = reader->build;

	conf_read_refuse(reader);
	if (*rest != '\0' && option_is_near(first, CONF_READ_SERVICE))
		conf_build_error(build, reader->number, CONF_NO_SECTION, NULL,
		    "[%.64s %.64s]: unknown section; did you mean [service %.64s]?", first, rest,
		    rest);
	else if (*rest == '\0' && option_is_near(first, "hostler"))
		conf_build_error(build, reader->number, CONF_NO_SECTION, NULL,
		    "[%.64s]: unknown section; did you mean [hostler]?", first);
	else
		conf_build_error(build, reader->number, CONF_NO_SECTION, NULL,
		    "[%.64s%s%.64s]: unknown section; there are [hostler] and [service NAME]",
		    first, *rest == '\0' ? "" : " ", rest);
}

/* `text` stands behind the opening bracket. */
static void
conf_read_header(struct conf_reader *reader, char *text)
{
	char *end = strchr(text, ']'), *first, *rest;

	reader->section = CONF_NO_SECTION;
	reader->unknown = false;
	if (end == NULL || (end[1] != '\0' && end[1 + strspn(end + 1, " \t")] != ';' &&
			       end[1 + strspn(end + 1, " \t")] != '#')) {
		conf_read_error(
		    reader, end == NULL ? "a [ without its ]" : "something follows the ]");
		conf_read_refuse(reader);
		return;
	}
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	first = text + strspn(text, " \t");
	rest = first + strcspn(first, " \t");
	if (*rest != '\0') {
		*rest++ = '\0';
		rest += strspn(rest, " \t");
	}
	if (strcmp(first, "hostler") == 0 && *rest == '\0')
		conf_read_hostler(reader);
	else if (strcmp(first, CONF_READ_SERVICE) == 0)
		conf_read_service(reader, rest);
	else
		conf_read_unknown(reader, first, rest);
}

/* ---- key = value ---- */

/* Whether inih, which has room for `room` bytes, would take something off the value. */
static bool
conf_read_is_cut(const char *text, const char *value, int room)
{
	if (strlen(text) + 3 > (size_t)room || *value == ';')
		return true;
	for (const char *at = strchr(value, ';'); at != NULL; at = strchr(at + 1, ';'))
		if (isspace((unsigned char)at[-1]))
			return true;
	return false;
}

/* Writes what inih is to see of the line: the line, or the key with a stand-in. */
static void
conf_read_pair(struct conf_reader *reader, char *text, char *to, int room)
{
	size_t name = strcspn(text, "=:"), length = name;
	const char *value = text + name + 1;

	while (length > 0 && isspace((unsigned char)text[length - 1]))
		length--;
	if (text[name] == '\0' || length == 0 || strcspn(text, " \t;#") < length) {
		conf_build_error(reader->build, reader->number, CONF_NO_SECTION, NULL,
		    "'%.64s': expects a line KEY = VALUE", text);
		return;
	}
	if (reader->section == CONF_NO_SECTION) {
		if (!reader->unknown)
			conf_read_error(reader, "a key before the first section; [hostler] or "
						"[service NAME] comes first");
		return;
	}
	value += strspn(value, " \t\r\v\f");
	if (!conf_read_is_cut(text, value, room)) {
		snprintf(to, (size_t)room, "%s\n", text);
	} else if (length < 100) {
		reader->kept = value;
		snprintf(to, (size_t)room, "%.*s=-\n", (int)length, text);
	} else {
		conf_build_error(reader->build, reader->number, reader->section, NULL,
		    "'%.64s...': unknown key", text);
	}
}

/* ---- what inih calls ---- */

/* Like fgets: one line for inih, empty where the line is not for it. */
static char *
conf_read_on_line(char *to, int room, void *data)
{
	struct conf_reader *reader = data;
	char *text;

	if (!conf_read_fetch(reader))
		return NULL;
	reader->kept = NULL;
	snprintf(to, (size_t)room, "\n");
	if (reader->length > CONF_LINE_MAX) {
		conf_build_error(reader->build, reader->number, CONF_NO_SECTION, NULL,
		    "the line is longer than %d bytes", CONF_LINE_MAX);
		return to;
	}
	if (memchr(reader->line, '\0', reader->length) != NULL) {
		conf_read_error(reader, "a NUL byte: this is no text file");
		return to;
	}
	text = conf_read_trim(reader);
	if (text[strspn(text, " \t\r\v\f")] == '\0' ||
	    strchr(";#", text[strspn(text, " \t\r\v\f")]) != NULL)
		return to;
	if (isspace((unsigned char)*text))
		conf_read_error(reader, "an indented line: a value is one line and cannot be "
					"continued; take the blanks "
					"away if this is a line of its own");
	else if (*text == '[')
		conf_read_header(reader, text + 1);
	else
		conf_read_pair(reader, text, to, room);
	return to;
}

static void
conf_read_unknown_key(struct conf_reader *reader, const char *key)
{
	struct conf_build *build = reader->build;
	enum option_scope scope = conf_scope(reader->section);
	const char *near = option_suggest(scope, key);

	if (option_find(scope == OPTION_HOSTLER ? OPTION_SERVICE : OPTION_HOSTLER, key) != NULL)
		conf_build_error(build, reader->number, reader->section, key,
		    "belongs into a section %s",
		    scope == OPTION_HOSTLER ? "[service NAME]" : "[hostler]");
	else if (near != NULL)
		conf_build_error(build, reader->number, reader->section, key,
		    "unknown key; did you mean %s?", near);
	else
		conf_build_error(build, reader->number, reader->section, key, "unknown key");
}

/* Always returns 1: errors are collected, and reading goes on. */
static int
conf_read_on_pair(void *data, const char *section, const char *key, const char *value)
{
	struct conf_reader *reader = data;
	const struct option *option;

	(void)section; /* the reader knows it, uncut */
	if (key == NULL)
		return 1;
	option = option_find(conf_scope(reader->section), key);
	if (option == NULL)
		conf_read_unknown_key(reader, key);
	else
		conf_build_set(reader->build, reader->section, option,
		    reader->kept != NULL ? reader->kept : value, reader->number);
	return 1;
}

bool
conf_read(struct conf_build *build, FILE *file)
{
	struct conf_reader reader = {.build = build, .file = file, .section = CONF_NO_SECTION};
	int result;

	reader.line = mem_alloc(CONF_LINE_MAX + 1, 1);
	result = ini_parse_stream(conf_read_on_line, &reader, conf_read_on_pair, &reader);
	if (result != 0 && build->errors->count == 0)
		conf_build_error(build, result > 0 ? (unsigned)result : CONF_NO_LINE,
		    CONF_NO_SECTION, NULL, "cannot be understood");
	free(reader.line);
	return !reader.failed;
}
