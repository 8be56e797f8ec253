/* For the tests of the configuration: parse a text, compare what is told. */
#ifndef TESTS_CONF_HELP_H
#define TESTS_CONF_HELP_H

#include "common/conf.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL "/run/test/control.sock"
/* Four lines: a service that is complete. */
#define ECHO "[service a]\nlisten=127.0.0.1:0\nprotocol=line\nhandler=echo\n"
/* Five lines. */
#define HTTP    "[service a]\nlisten=127.0.0.1:0\nprotocol=http\nhandler=echo\n"
#define SOCKET  "[service a]\nlisten=127.0.0.1:0\nprotocol=websocket\nhandler=echo\n"
#define PROGRAM "[service a]\nlisten=127.0.0.1:0\nprotocol=line\nhandler=program\ncommand=sh\n"

/* Five lines, for a file that need not be there. */
#define COLLECT                                                                                    \
	"[service a]\nlisten=127.0.0.1:0\nprotocol=line\nhandler=collect\nfile=/tmp/records\n"

static inline struct conf *
help_parse_bytes(const char *text, size_t length, struct conf_errors *errors)
{
	FILE *file = length == 0 ? fopen("/dev/null", "r") : fmemopen((char *)text, length, "r");
	struct conf *conf;

	ck_assert_ptr_nonnull(file);
	conf = conf_parse_stream(file, "t.conf", CONTROL, errors);
	fclose(file);
	return conf;
}

static inline struct conf *
help_parse(const char *text, struct conf_errors *errors)
{
	return help_parse_bytes(text, strlen(text), errors);
}

/* All errors as one text, a line each; frees them. */
static inline char *
help_told(struct conf_errors *errors)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	conf_errors_print(errors, out);
	fclose(out);
	conf_errors_free(errors);
	return text;
}

/* Must parse; the caller frees it. */
static inline struct conf *
help_good(const char *text)
{
	struct conf_errors errors;
	struct conf *conf = help_parse(text, &errors);

	if (conf == NULL)
		ck_abort_msg("<%s>: %s", text, help_told(&errors));
	ck_assert_uint_eq(errors.count, 0);
	conf_errors_free(&errors);
	return conf;
}

/* Whether this build lacks a protocol; then says so: what the test tries cannot be. */
static inline bool
help_lacks(enum protocol_kind kind)
{
	const char *lacks = protocol_lacks(kind);

	if (lacks != NULL)
		fprintf(stderr, "skipped: this build is without %s\n", lacks);
	return lacks != NULL;
}

/* Must be refused with exactly these lines, or for what this build lacks. */
static inline void
help_bad(const char *text, const char *expected)
{
	static const char without[] = "this hostlerd was built without ";
	struct conf_errors errors;
	struct conf *conf = help_parse(text, &errors);
	char *told;

	ck_assert_msg(conf == NULL, "<%s> was taken", text);
	told = help_told(&errors);
	if (protocol_lacks(PROTOCOL_WEBSOCKET) == NULL || strstr(told, without) == NULL ||
	    strstr(expected, without) != NULL)
		ck_assert_str_eq(told, expected);
	free(told);
}

static inline char *
help_dump(const struct conf *conf)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	conf_dump(conf, out);
	fclose(out);
	return text;
}

/* Takes the comment lines out, in place. */
static inline void
help_strip(char *text)
{
	char *to = text;

	for (char *line = text, *next; *line != '\0'; line = next) {
		size_t length = strcspn(line, "\n");

		length += line[length] == '\n';
		next = line + length;
		if (*line != '#') {
			memmove(to, line, length);
			to += length;
		}
	}
	*to = '\0';
}

#endif
