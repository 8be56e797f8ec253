/*
 * A line of the control socket and its answer, with tables of our own: what is taken, and what is
 * refused with which words.
 */
#include "daemon/control.h"
#include "tests/unit/run_help.h"

#include <stdbool.h>
#include <string.h>

static json_t *
answer_hello(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)request;
	(void)ask;
	return json_pack("{s:s}", "hello", (const char *)arg);
}

/* A text that is no UTF-8: jansson makes nothing of it. */
static json_t *
answer_nothing(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)arg;
	(void)request;
	(void)ask;
	return control_done(json_pack("{s:s}", "text", "\xff"));
}

static json_t *
answer_change(void *arg, const json_t *request, struct control_ask *ask)
{
	const json_t *name = json_object_get(request, "name");

	(void)arg;
	(void)ask;
	if (name != NULL)
		return control_error("there is no \"%s\"\n", json_string_value(name));
	return json_pack("{s:O?, s:O?}", "flag", json_object_get(request, "flag"), "number",
	    json_object_get(request, "number"));
}

static const struct control_argument change_arguments[] = {{"flag", CONTROL_BOOL},
    {"number", CONTROL_COUNT}, {"name", CONTROL_TEXT}, {NULL, CONTROL_BOOL}};
static const struct control_command looks[] = {
    {"hello", answer_hello, NULL, false}, {NULL, NULL, NULL, false}};
static const struct control_command orders[] = {{"nothing", answer_nothing, NULL, false},
    {"change", answer_change, change_arguments, false}, {NULL, NULL, NULL, false}};
static const struct control_command *const commands[] = {looks, orders, NULL};
static const struct control_tables tables = {commands, "world"};

#define GARBAGE       "{\"ok\":false,\"error\":\"a request is one JSON object in one line\"}\n"
#define CHANGE(rest)  "{\"command\":\"change\"," rest "}"
#define REFUSED(text) "{\"ok\":false,\"error\":\"" text "\"}\n"

static void
check_line(const char *line, const char *reply, bool garbage)
{
	bool is_garbage;
	char *answer = control_line_answer(&tables, NULL, line, strlen(line), &is_garbage);

	ck_assert_str_eq(answer, reply);
	ck_assert_int_eq(is_garbage, garbage);
	free(answer);
}

START_TEST(commands_are_answered)
{
	check_line("{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}\n", false);
	check_line(" { \"command\" : \"hello\" } \r", "{\"ok\":true,\"hello\":\"world\"}\n", false);
	check_line("{\"command\":\"nothing\"}",
	    "{\"ok\":false,\"error\":\"the reply cannot be made\"}\n", false);
}
END_TEST

START_TEST(wrong_commands_are_refused)
{
	check_line("{\"command\":\"fly\"}",
	    "{\"ok\":false,\"error\":\"unknown command \\\"fly\\\"\"}\n", false);
	check_line("{\"command\":\"hello\",\"x\":1}",
	    "{\"ok\":false,\"error\":\"unknown key \\\"x\\\"\"}\n", false);
	check_line(
	    "{}", "{\"ok\":false,\"error\":\"\\\"command\\\" is missing or no string\"}\n", false);
	check_line("{\"command\":7}",
	    "{\"ok\":false,\"error\":\"\\\"command\\\" is missing or no string\"}\n", false);
	check_line("{\"command\":"
		   "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
	    "{\"ok\":false,\"error\":\"unknown command\"}\n", false);
}
END_TEST

START_TEST(arguments_are_checked)
{
	check_line(
	    "{\"command\":\"change\"}", "{\"ok\":true,\"flag\":null,\"number\":null}\n", false);
	check_line(CHANGE("\"flag\":true,\"number\":4294967295"),
	    "{\"ok\":true,\"flag\":true,\"number\":4294967295}\n", false);
	check_line(CHANGE("\"flag\":1"), REFUSED("\\\"flag\\\" must be true or false"), false);
	check_line(CHANGE("\"flag\":null"), REFUSED("\\\"flag\\\" must be true or false"), false);
	check_line(
	    CHANGE("\"number\":-1"), REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(
	    CHANGE("\"number\":1.0"), REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(
	    CHANGE("\"number\":\"1\""), REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(CHANGE("\"number\":4294967296"),
	    REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(CHANGE("\"name\":[]"), REFUSED("\\\"name\\\" must be a string"), false);
	check_line(CHANGE("\"flags\":true"), REFUSED("unknown key \\\"flags\\\""), false);
	/* A command without arguments takes none, also not one of another's. */
	check_line(
	    "{\"command\":\"hello\",\"flag\":true}", REFUSED("unknown key \\\"flag\\\""), false);
	/* A sentence of a command is one line, whatever is in it. */
	check_line(
	    CHANGE("\"name\":\"a\\nb\""), REFUSED("there is no \\\"a\\\\x0ab\\\"\\\\x0a"), false);
}
END_TEST

START_TEST(garbage_is_told_from_requests)
{
	check_line("", GARBAGE, true);
	check_line("status", GARBAGE, true);
	check_line("[]", GARBAGE, true);
	check_line("{\"command\":\"hello\"", GARBAGE, true);
	check_line("{\"command\":\"hello\"} {}", GARBAGE, true);
	check_line("{\"command\":\"hello\",\"command\":\"hello\"}", GARBAGE, true);
	check_line("{\"command\":\"\xff\"}", GARBAGE, true);
	check_line("{\"command\":\"a\\u0000b\"}", GARBAGE, true);
}
END_TEST

START_TEST(no_nesting_is_too_deep)
{
	size_t depth = 65000;
	char *line = malloc(depth);
	bool is_garbage;
	char *answer;

	memset(line, '[', depth);
	answer = control_line_answer(&tables, NULL, line, depth, &is_garbage);
	ck_assert_str_eq(answer, GARBAGE);
	free(answer);
	free(line);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("control_line");
	TCase *tests = tcase_create("control_line");

	tcase_add_test(tests, commands_are_answered);
	tcase_add_test(tests, wrong_commands_are_refused);
	tcase_add_test(tests, arguments_are_checked);
	tcase_add_test(tests, garbage_is_told_from_requests);
	tcase_add_test(tests, no_nesting_is_too_deep);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
