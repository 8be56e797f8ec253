/*
 * The option table and the units: that the table is whole, and that what people read, the manual
 * page and the samples, says what it says.
 *
 * `check_option rewrite` brings the generated parts of docs/man/hostler.conf.5 and
 * etc/hostler.conf.sample up to date.
 */
#include "common/option.h"
#include "tests/unit/conf_help.h"
#include "tests/unit/run_help.h"

#include <unistd.h>

#define MANUAL  "docs/man/hostler.conf.5"
#define SAMPLE  "etc/hostler.conf.sample"
#define MINIMAL "etc/hostler-minimal.conf"

/* ---- units ---- */

static void
check_unit(enum unit unit, const char *text, uint64_t expected, const char *canonical)
{
	char again[UNIT_TEXT_MAX];
	uint64_t value = 0;

	ck_assert_msg(unit_parse(unit, text, &value) == UNIT_OK, "%s", text);
	ck_assert_uint_eq(value, expected);
	ck_assert_str_eq(unit_format(unit, value, again), canonical);
	ck_assert_int_eq(unit_parse(unit, again, &value), UNIT_OK);
	ck_assert_uint_eq(value, expected);
}

START_TEST(test_units)
{
	check_unit(UNIT_COUNT, "0", 0, "0");
	check_unit(UNIT_COUNT, "007", 7, "7");
	check_unit(UNIT_COUNT, "18446744073709551615", UINT64_MAX, "18446744073709551615");
	check_unit(UNIT_DURATION, "0", 0, "0");
	check_unit(UNIT_DURATION, "0.0", 0, "0");
	check_unit(UNIT_DURATION, "250ms", 250000000, "250ms");
	check_unit(UNIT_DURATION, "1.5s", 1500000000, "1500ms");
	check_unit(UNIT_DURATION, "1000ms", 1000000000, "1s");
	check_unit(UNIT_DURATION, "90s", UINT64_C(90000000000), "90s");
	check_unit(UNIT_DURATION, "120s", UINT64_C(120000000000), "2m");
	check_unit(UNIT_DURATION, "2h", UINT64_C(7200000000000), "2h");
	check_unit(UNIT_DURATION, "1.25d", UINT64_C(108000000000000), "30h");
	check_unit(UNIT_DURATION, "0.000001ms", 1, "0.000001ms");
	check_unit(UNIT_DURATION, "1.0005ms", 1000500, "1.0005ms");
	check_unit(UNIT_SIZE, "0", 0, "0");
	check_unit(UNIT_SIZE, "1B", 1, "1B");
	check_unit(UNIT_SIZE, "1000b", 1000, "1000B");
	check_unit(UNIT_SIZE, "1024B", 1024, "1K");
	check_unit(UNIT_SIZE, "1.5K", 1536, "1536B");
	check_unit(UNIT_SIZE, "64k", 65536, "64K");
	check_unit(UNIT_SIZE, "0.5M", 524288, "512K");
	check_unit(UNIT_SIZE, "3G", UINT64_C(3221225472), "3G");
}
END_TEST

START_TEST(test_units_wrong)
{
	static const struct {
		enum unit unit;
		const char *text;
		enum unit_result result;
	} rows[] = {
	    {UNIT_COUNT, "", UNIT_WRONG},
	    {UNIT_COUNT, "x", UNIT_WRONG},
	    {UNIT_COUNT, "-1", UNIT_WRONG},
	    {UNIT_COUNT, "+1", UNIT_WRONG},
	    {UNIT_COUNT, " 1", UNIT_WRONG},
	    {UNIT_COUNT, "1 ", UNIT_WRONG},
	    {UNIT_COUNT, "0x10", UNIT_WRONG},
	    {UNIT_COUNT, "1e3", UNIT_WRONG},
	    {UNIT_COUNT, "1.5", UNIT_WRONG},
	    {UNIT_COUNT, "3s", UNIT_WRONG},
	    {UNIT_COUNT, "18446744073709551616", UNIT_TOO_LARGE},
	    {UNIT_DURATION, "", UNIT_WRONG},
	    {UNIT_DURATION, "s", UNIT_WRONG},
	    {UNIT_DURATION, ".5s", UNIT_WRONG},
	    {UNIT_DURATION, "5.s", UNIT_WRONG},
	    {UNIT_DURATION, "5S", UNIT_WRONG},
	    {UNIT_DURATION, "5 s", UNIT_WRONG},
	    {UNIT_DURATION, "5us", UNIT_WRONG},
	    {UNIT_DURATION, "5M", UNIT_WRONG},
	    {UNIT_DURATION, "1m30s", UNIT_WRONG},
	    {UNIT_DURATION, "0.0000001ms", UNIT_WRONG},
	    {UNIT_DURATION, "1.0000000000s", UNIT_WRONG},
	    {UNIT_DURATION, "30", UNIT_MISSING},
	    {UNIT_DURATION, "0.5", UNIT_MISSING},
	    {UNIT_DURATION, "999999d", UNIT_TOO_LARGE},
	    {UNIT_DURATION, "213503.99999d", UNIT_TOO_LARGE},
	    {UNIT_DURATION, "99999999999999999999s", UNIT_TOO_LARGE},
	    {UNIT_SIZE, "64", UNIT_MISSING},
	    {UNIT_SIZE, "64KB", UNIT_WRONG},
	    {UNIT_SIZE, "1.5B", UNIT_WRONG},
	    {UNIT_SIZE, "1.3K", UNIT_WRONG},
	    {UNIT_SIZE, "64T", UNIT_WRONG},
	    {UNIT_SIZE, "99999999999G", UNIT_TOO_LARGE},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value;

		ck_assert_msg(unit_parse(rows[i].unit, rows[i].text, &value) == rows[i].result,
		    "<%s>", rows[i].text);
	}
}
END_TEST

/* ---- the table ---- */

static bool
check_option_is_finite(const struct option *option)
{
	return option->min <= option->max && option_max(option) < UINT64_MAX / 2 &&
	       option_max(option) > 0;
}

START_TEST(test_table)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const char *key = option->key;

		ck_assert_uint_eq(option_index(option), i);
		ck_assert_msg(option_find(option->scope, key) == option, "%s is there twice", key);
		ck_assert_msg(option->help != NULL && strlen(option->help) > 10, "%s", key);
		ck_assert_msg(option->help[strlen(option->help) - 1] == '.', "%s", key);
		ck_assert_msg(option->fallback != NULL || option->example != NULL, "%s", key);
		ck_assert_msg(option->fallback != NULL || option->otherwise != NULL ||
				  option->flags & OPTION_REQUIRED,
		    "%s", key);
		ck_assert_msg(
		    (option->type == OPTION_CHOICE) == (option->choices != NULL), "%s", key);
		if (option->type != OPTION_TEXT && option->type != OPTION_CHOICE)
			ck_assert_msg(check_option_is_finite(option), "%s", key);
		ck_assert_msg(
		    !(option->flags & OPTION_SHAPES) || !(option->flags & OPTION_LIMIT), "%s", key);
	}
	ck_assert(option_find(OPTION_SERVICE, "command")->flags & OPTION_SHAPES);
	ck_assert(option_find(OPTION_SERVICE, "queue")->flags & OPTION_LIMIT);
	ck_assert_uint_eq(option_max(option_find(OPTION_HOSTLER, "workers")),
	    option_cpus() > 4 ? 4 * option_cpus() : 16);
}
END_TEST

START_TEST(test_suggest)
{
	const struct option *option;

	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "queu"), "queue");
	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "Queue"), "queue");
	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "lsiten"), "listen");
	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "commandd"), "command");
	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "request-timeout"), "request_timeout");
	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "requets_timout"), "request_timeout");
	ck_assert_str_eq(option_suggest(OPTION_HOSTLER, "worker"), "workers");
	ck_assert_ptr_null(option_suggest(OPTION_HOSTLER, "queue"));
	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "Client-Max_body_size"), "max_message");
	ck_assert_str_eq(option_suggest(OPTION_SERVICE, "processes"), "instances");
	ck_assert_ptr_null(option_suggest(OPTION_HOSTLER, "processes"));
	ck_assert_ptr_null(option_suggest(OPTION_SERVICE, "off"));
	ck_assert_ptr_null(option_suggest(OPTION_SERVICE, "x"));
	ck_assert_ptr_null(option_suggest(OPTION_SERVICE, ""));
	ck_assert_ptr_null(option_suggest(OPTION_SERVICE,
	    "request_timeoutrequest_timeoutrequest_timeoutrequest_timeoutrequest_timeout"));
	ck_assert(option_is_near("shutdwon", "shutdown"));
	ck_assert(!option_is_near("abc", "xyz"));
	option = option_find(OPTION_SERVICE, "deflate");
	ck_assert_str_eq(option_suggest_choice(option, "ON"), "yes");
	ck_assert_str_eq(option_suggest_choice(option, "false"), "no");
	ck_assert_str_eq(option_suggest_choice(option, "yse"), "yes");
	ck_assert_ptr_null(option_suggest_choice(option, "timeout"));
}
END_TEST

/* ---- what people read ---- */

/* Also for rewriting, where there is no test to fail. */
static _Noreturn void
check_option_fail(const char *what, const char *which)
{
	fprintf(stderr, "%s: %s\n", which, what);
	exit(EXIT_FAILURE);
}

/* The whole of a file below the top of the tree; the caller frees it. */
static char *
check_option_file(const char *path)
{
	const char *top = getenv("srcdir");
	char whole[4096], *text = NULL;
	size_t size = 0;
	FILE *in, *out;
	int c;

	snprintf(whole, sizeof(whole), "%s/%s", top != NULL ? top : ".", path);
	in = fopen(whole, "r");
	if (in == NULL)
		check_option_fail("is not there", whole);
	out = open_memstream(&text, &size);
	while ((c = getc(in)) != EOF)
		putc(c, out);
	fclose(out);
	fclose(in);
	return text;
}

/* What conf_print_... writes; the caller frees it. */
static char *
check_option_printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	print(out);
	fclose(out);
	return text;
}

static void
check_option_minimal(FILE *out)
{
	char *text = check_option_file(MINIMAL);

	for (const char *c = text; *c != '\0'; c++)
		fputs(*c == '\\' ? "\\e" : (char[]){*c, '\0'}, out);
	free(text);
}

/* The page with what is generated put between its markers; the caller frees it. */
static char *
check_option_page(const char *page)
{
	static const struct {
		const char *begin, *end;
		void (*print)(FILE *);
	} parts[] = {
	    {".\\\" begin: options, from the table\n", ".\\\" end: options, from the table\n",
		conf_print_manual},
	    {".\\\" begin: minimal\n", ".\\\" end: minimal\n", check_option_minimal},
	};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < 2; i++) {
		const char *begin = strstr(page, parts[i].begin);
		const char *end = strstr(page, parts[i].end);

		if (begin == NULL || end == NULL)
			check_option_fail("a marker is missing", MANUAL);
		begin += strlen(parts[i].begin);
		fwrite(page, 1, (size_t)(begin - page), out);
		parts[i].print(out);
		page = end;
	}
	fputs(page, out);
	fclose(out);
	return text;
}

START_TEST(test_manual)
{
	char *page = check_option_file(MANUAL), *fresh = check_option_page(page);

	ck_assert_msg(strcmp(page, fresh) == 0,
	    MANUAL " and the table differ; check_option rewrite mends the page");
	for (unsigned i = 0; i < option_count(); i++) {
		char item[128];

		snprintf(item, sizeof(item), "\n.It Cm %s\n", option_at(i)->key);
		ck_assert_msg(strstr(page, item) != NULL, "no %s", option_at(i)->key);
	}
	free(page);
	free(fresh);
}
END_TEST

/* Whoever has only `run --help` learns what may be written. */
START_TEST(test_choices_are_shown)
{
	char *help = check_option_printed(conf_print_options);

	ck_assert_ptr_nonnull(strstr(help, "\n  --protocol stream|line|frame|http|websocket\n"));
	ck_assert_ptr_nonnull(strstr(help, " The default is "));
	free(help);
}
END_TEST

START_TEST(test_sample)
{
	char *sample = check_option_file(SAMPLE), *fresh = check_option_printed(conf_print_sample);

	ck_assert_msg(strcmp(sample, fresh) == 0,
	    SAMPLE " and the table differ; check_option rewrite mends the file");
	conf_free(help_good(sample));
	free(sample);
	free(fresh);
}
END_TEST

/* Whether the line is a "key = value" for another handler than the sample's. */
static bool
check_option_is_foreign(const char *line)
{
	char key[64];
	const struct option *option =
	    sscanf(line, "%63[a-z_]", key) == 1 ? option_find(OPTION_SERVICE, key) : NULL;

	return option != NULL && !option_is_for(option, PROTOCOL_LINE, HANDLER_PROGRAM);
}

/* Takes the # off every "#key = value", so that all options of the sample's handler count. */
static void
check_option_uncomment(char *text, bool is_root)
{
	for (char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (line[0] != '#' || line[1] == ' ' || check_option_is_foreign(line + 1))
			continue;
		/* Only root may become somebody else. */
		if (is_root || (strncmp(line, "#user", 5) != 0 && strncmp(line, "#group", 6) != 0))
			memmove(line, line + 1, strlen(line));
	}
}

START_TEST(test_sample_whole)
{
	char *sample = check_option_file(SAMPLE), *dump;
	struct conf *conf;

	check_option_uncomment(sample, geteuid() == 0);
	conf = help_good(sample);
	dump = help_dump(conf);
	if (geteuid() == 0) {
		ck_assert_ptr_null(strstr(dump, "# not set"));
		ck_assert_ptr_null(strstr(dump, "# default"));
	}
	/* What the sample shows as defaults are the defaults. */
	ck_assert_uint_eq(conf->services[0].queue, 1024);
	ck_assert_uint_eq(conf->services[0].max_message, 65536);
	free(dump);
	free(sample);
	conf_free(conf);
}
END_TEST

START_TEST(test_minimal)
{
	char *text = check_option_file(MINIMAL);
	struct conf *conf = help_good(text);
	unsigned lines = 0;

	for (const char *c = text; *c != '\0'; c++)
		lines += *c == '\n';
	ck_assert_uint_eq(lines, 8);
	ck_assert_uint_eq(conf->service_count, 1);
	ck_assert_str_eq(conf->services[0].argv[2], "s/.*/\\U&/");
	free(text);
	conf_free(conf);
}
END_TEST

static void
check_option_write(const char *path, const char *text)
{
	const char *top = getenv("srcdir");
	char whole[4096];
	FILE *out;

	snprintf(whole, sizeof(whole), "%s/%s", top != NULL ? top : ".", path);
	out = fopen(whole, "w");
	if (out == NULL || fputs(text, out) == EOF || fclose(out) != 0)
		check_option_fail("cannot be written", whole);
}

static int
check_option_rewrite(void)
{
	char *page = check_option_file(MANUAL), *fresh = check_option_page(page);
	char *sample = check_option_printed(conf_print_sample);

	check_option_write(MANUAL, fresh);
	check_option_write(SAMPLE, sample);
	free(page);
	free(fresh);
	free(sample);
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;

	if (argc == 2 && strcmp(argv[1], "rewrite") == 0)
		return check_option_rewrite();
	suite = suite_create("option");
	tcase = tcase_create("option");
	tcase_add_test(tcase, test_units);
	tcase_add_test(tcase, test_units_wrong);
	tcase_add_test(tcase, test_table);
	tcase_add_test(tcase, test_suggest);
	tcase_add_test(tcase, test_manual);
	tcase_add_test(tcase, test_choices_are_shown);
	tcase_add_test(tcase, test_sample);
	tcase_add_test(tcase, test_sample_whole);
	tcase_add_test(tcase, test_minimal);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
