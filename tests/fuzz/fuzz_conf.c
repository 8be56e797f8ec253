/*
 * The configuration from hostile bytes: a file, or after a first byte '-' the options of
 * `hostlerd run`, an argument a line. What is accepted must be written out, read again and give
 * the same; what is refused must say why. Looks at the file system, changes nothing in it.
 */
#include "common/conf.h"
#include "common/words.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_ARGUMENTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct conf *
fuzz_conf_parse(const void *data, size_t size, struct conf_errors *errors)
{
	FILE *file =
	    size == 0 ? fopen("/dev/null", "r") : fmemopen((void *)(uintptr_t)data, size, "r");
	struct conf *conf;

	if (file == NULL)
		abort();
	conf = conf_parse_stream(file, "fuzz.conf", "/run/fuzz.sock", errors);
	fclose(file);
	return conf;
}

/* The rest of the arguments is not used. */
static struct conf *
fuzz_conf_run(char *text, struct conf_errors *errors)
{
	char *argv[FUZZ_ARGUMENTS_MAX + 1];
	int argc = 0;

	for (char *line = text; line != NULL && argc < FUZZ_ARGUMENTS_MAX;) {
		char *end = strchr(line, '\n');

		if (end != NULL)
			*end++ = '\0';
		argv[argc++] = line;
		line = end;
	}
	argv[argc] = NULL;
	return conf_run(argc, argv, "/bin/true", "/run/fuzz.sock", errors);
}

/* The dump without its comments, which tell where values came from; the caller frees it. */
static char *
fuzz_conf_dump(const struct conf *conf)
{
	char *text = NULL, *to;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		abort();
	conf_dump(conf, out);
	fclose(out);
	to = text;
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
	return text;
}

static void
fuzz_conf_round(const struct conf *conf)
{
	char *first = fuzz_conf_dump(conf), *second;
	struct conf_errors errors;
	struct conf *again = fuzz_conf_parse(first, strlen(first), &errors);

	if (again == NULL) {
		conf_errors_print(&errors, stderr);
		abort();
	}
	second = fuzz_conf_dump(again);
	if (strcmp(first, second) != 0)
		abort();
	for (unsigned i = 0; i < conf->service_count; i++) {
		char **a = conf->services[i].argv, **b = again->services[i].argv;

		for (; a != NULL && *a != NULL; a++, b++)
			if (*b == NULL || strcmp(*a, *b) != 0)
				abort();
	}
	free(first);
	free(second);
	conf_errors_free(&errors);
	conf_free(again);
}

/* Words that come apart and are put together come apart into the same. */
static void
fuzz_conf_words(const char *text)
{
	char why[256] = "";
	char **words = words_split(text, why, sizeof(why)), **again;
	char *joined;

	if (words == NULL) {
		if (why[0] == '\0')
			abort();
		return;
	}
	joined = words_join(words);
	again = words_split(joined, why, sizeof(why));
	for (char **a = words, **b = again; *a != NULL || *b != NULL; a++, b++)
		if (*a == NULL || *b == NULL || strcmp(*a, *b) != 0)
			abort();
	free(joined);
	words_free(words);
	words_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors;
	struct conf *conf;
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	fuzz_conf_words(text);
	if (size > 0 && data[0] == '-')
		conf = fuzz_conf_run(text, &errors);
	else
		conf = fuzz_conf_parse(data, size, &errors);
	if ((conf == NULL) != (errors.count > 0))
		abort();
	for (unsigned i = 0; i < errors.count; i++)
		if (errors.lines[i][0] == '\0' || strchr(errors.lines[i], '\n') != NULL)
			abort();
	if (conf != NULL)
		fuzz_conf_round(conf);
	conf_errors_free(&errors);
	conf_free(conf);
	free(text);
	return 0;
}
