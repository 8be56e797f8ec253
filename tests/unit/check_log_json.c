/*
 * The log as JSON: every line is one valid object, with the fields that are agreed, whatever comes.
 */
#include "common/escape.h"
#include "common/log.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <jansson.h>
#include <regex.h>

static const struct {
	const char *text, *escaped;
} escapes[] = {
    {"plain ~ text", "plain ~ text"},
    {"say \"a\\b\"", "say \\\"a\\\\b\\\""},
    {"a\nb\tc\x1b[31m\x7f", "a\\u000ab\\u0009c\\u001b[31m\\u007f"},
    {"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb4", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb4"},
    {"\xc2\x9b\xc2\xa0", "\\u009b\xc2\xa0"}, /* a terminal's CSI; the first that is not control */
    {"\xff\x80\xc3", "\\\\xff\\\\x80\\\\xc3"},
    {"\xed\xa0\x80\xc0\x8a", "\\\\xed\\\\xa0\\\\x80\\\\xc0\\\\x8a"},
};

START_TEST(json_escapes)
{
	const char *text = escapes[_i].text;
	size_t length = strlen(text);
	char *exact = malloc(length), *to = malloc(ESCAPE_JSON_MOST * length + 1);

	memcpy(exact, text, length);
	to[escape_json(to, exact, length)] = '\0';
	ck_assert_str_eq(to, escapes[_i].escaped);
	free(exact);
	free(to);
}
END_TEST

/* The n-th line of the log as an object; the caller frees it. */
static json_t *
object(int file, int number)
{
	char *log = help_log(file), *line = log, *end;
	json_error_t error;
	json_t *root;

	while (number-- > 0)
		line = strchr(line, '\n') + 1;
	end = strchr(line, '\n');
	ck_assert_ptr_nonnull(end);
	root = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(json_is_object(root), "%s: %.*s", error.text, (int)(end - line), line);
	free(log);
	return root;
}

static const char *
field(const json_t *root, const char *key)
{
	const char *value = json_string_value(json_object_get(root, key));

	ck_assert_msg(value != NULL, "there is no %s", key);
	return value;
}

START_TEST(json_lines_as_agreed)
{
	int file = help_catch_log();
	json_t *root;
	regex_t time;

	log_open("worker 3", LOG_LEVEL_INFO);
	log_set_format(LOG_FORMAT_JSON);
	errno = ENOENT;
	log_warn("cannot \"open\"");
	log_program("upper", 124, "Traceback:\tx", 12);
	root = object(file, 0);
	ck_assert_int_eq(
	    regcomp(&time, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$",
		REG_EXTENDED | REG_NOSUB),
	    0);
	ck_assert_int_eq(regexec(&time, field(root, "time"), 0, NULL, 0), 0);
	regfree(&time);
	ck_assert_str_eq(field(root, "level"), "warn");
	ck_assert_str_eq(field(root, "process"), "worker 3");
	ck_assert_str_eq(field(root, "message"), "cannot \"open\": No such file or directory");
	ck_assert_int_eq(json_integer_value(json_object_get(root, "pid")), getpid());
	ck_assert_uint_eq(json_object_size(root), 5);
	json_decref(root);
	root = object(file, 1);
	ck_assert_str_eq(field(root, "level"), "info");
	ck_assert_str_eq(field(root, "service"), "upper");
	ck_assert_str_eq(field(root, "message"), "Traceback:\tx");
	ck_assert_int_eq(json_integer_value(json_object_get(root, "pid")), 124);
	ck_assert_ptr_null(json_object_get(root, "process"));
	json_decref(root);
}
END_TEST

/* UTC, whatever the time is here. */
START_TEST(json_times_are_utc)
{
	int file = help_catch_log();
	time_t now = time(NULL);
	char wanted[32];
	json_t *root;

	setenv("TZ", "AAA-13:37", 1);
	tzset();
	log_open("m", LOG_LEVEL_INFO);
	log_info("text first");
	log_set_format(LOG_FORMAT_JSON);
	log_info("then JSON");
	root = object(file, 1);
	strftime(wanted, sizeof(wanted), "%FT%H", gmtime(&now));
	if (time(NULL) / 3600 == now / 3600)
		ck_assert_int_eq(strncmp(field(root, "time"), wanted, strlen(wanted)), 0);
	json_decref(root);
}
END_TEST

/* Every byte, every pair of bytes that begins a character, and the longest line of the worst. */
START_TEST(json_is_valid_whatever_comes)
{
	static char text[65536 * 2];
	int file = help_catch_log(), lines = 0;

	log_open("m", LOG_LEVEL_INFO);
	log_set_format(LOG_FORMAT_JSON);
	for (unsigned i = 0; i < 65536; i++) {
		text[2 * i] = (char)(i >> 8);
		text[2 * i + 1] = (char)i;
	}
	for (size_t at = 0; at < sizeof(text); at += 512, lines++)
		log_program("s", 1, text + at, 512);
	memset(text, 1, sizeof(text));
	log_program("s", 1, text, 16384);
	log_program("s", 1, text, 16385);
	for (int i = 0; i < lines + 2; i++)
		json_decref(object(file, i));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log_json");
	TCase *json = tcase_create("json");

	tcase_add_loop_test(json, json_escapes, 0, (int)(sizeof(escapes) / sizeof(escapes[0])));
	tcase_add_test(json, json_lines_as_agreed);
	tcase_add_test(json, json_times_are_utc);
	tcase_add_test(json, json_is_valid_whatever_comes);
	suite_add_tcase(suite, json);
	return help_run(suite);
}
