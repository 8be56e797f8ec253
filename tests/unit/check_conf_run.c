/*
 * `hostlerd run`: options, the command behind --, what is assumed, what is refused. And the dump:
 * what it writes is a configuration that gives the same again.
 */
#include "tests/unit/conf_help.h"

#include "common/option.h"
#include "tests/unit/run_help.h"

#include <unistd.h>

#define DEMO "/bin/sh" /* stands for the demo program: any that is there */
#define RUN(...)                                                                                   \
	(sizeof((char *[]){NULL, __VA_ARGS__}) / sizeof(char *) - 1),                              \
	    (&(char *[]){NULL, __VA_ARGS__, NULL}[1])

static struct conf *
check_run_good(size_t argc, char **argv)
{
	struct conf_errors errors;
	struct conf *conf = conf_run((int)argc, argv, DEMO, CONTROL, &errors);

	if (conf == NULL)
		ck_abort_msg("%s", help_told(&errors));
	conf_errors_free(&errors);
	ck_assert_ptr_null(conf->file);
	ck_assert_uint_eq(conf->service_count, 1);
	ck_assert_str_eq(conf->services[0].name, "run");
	ck_assert_str_eq(conf->control, CONTROL);
	return conf;
}

static void
check_run_bad(size_t argc, char **argv, const char *expected)
{
	struct conf_errors errors;
	struct conf *conf = conf_run((int)argc, argv, DEMO, CONTROL, &errors);
	char *told;

	ck_assert_ptr_null(conf);
	told = help_told(&errors);
	ck_assert_str_eq(told, expected);
	free(told);
}

/* ---- run ---- */

START_TEST(test_demo)
{
	char *none[] = {NULL};
	struct conf *conf = check_run_good(0, none);
	const struct conf_service *service = &conf->services[0];
	char text[ADDR_TEXT_MAX], *current = getcwd(NULL, 0);

	ck_assert_int_eq(service->protocol, PROTOCOL_LINE);
	ck_assert_int_eq(service->handler, HANDLER_PROGRAM);
	ck_assert_uint_eq(service->listens, 1);
	ck_assert_str_eq(addr_format(&service->listen[0], text), "127.0.0.1:10001");
	ck_assert_str_eq(service->argv[0], DEMO);
	ck_assert_ptr_null(service->argv[1]);
	ck_assert_str_eq(service->executable, DEMO);
	ck_assert_str_eq(service->directory, current);
	ck_assert_uint_eq(service->instances, option_cpus());
	free(current);
	conf_free(conf);
}
END_TEST

START_TEST(test_options)
{
	struct conf *conf = check_run_good(
	    RUN("--listen", "127.0.0.1:81", "--listen=[::1]:82", "--listen", " 83,84 ",
		"--max-connections=5", "--max_message", "2K", "--hostler.max-connections", "6",
		"--hostler.log_level=debug", "--protocol", "frame", "--framing=frame",
		"--environment=A=1 B='x y'", "--", "sh", "-c", "exit  0", "--queue"));
	const struct conf_service *service = &conf->services[0];

	ck_assert_uint_eq(service->listens, 4);
	ck_assert_uint_eq(addr_port(&service->listen[3]), 84);
	ck_assert_uint_eq(service->max_connections, 5);
	ck_assert_uint_eq(service->max_message, 2048);
	ck_assert_uint_eq(conf->max_connections, 6);
	ck_assert_int_eq(conf->log_level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(service->protocol, PROTOCOL_FRAME);
	ck_assert_int_eq(service->framing, CODEC_FRAME);
	ck_assert_str_eq(service->env[1], "B=x y");
	ck_assert_str_eq(service->argv[2], "exit  0");
	ck_assert_str_eq(service->argv[3], "--queue");
	ck_assert_ptr_null(service->argv[4]);
	conf_free(conf);
}
END_TEST

START_TEST(test_command_alone)
{
	struct conf *conf = check_run_good(RUN("--", "sh"));

	ck_assert_int_eq(conf->services[0].handler, HANDLER_PROGRAM);
	ck_assert_int_eq(conf->services[0].protocol, PROTOCOL_LINE);
	ck_assert_uint_eq(addr_port(&conf->services[0].listen[0]), 10001);
	conf_free(conf);
	conf = check_run_good(RUN("--command", "sh -c 'a b'", "--listen=0"));
	ck_assert_str_eq(conf->services[0].argv[2], "a b");
	ck_assert_uint_eq(addr_port(&conf->services[0].listen[0]), 0);
	conf_free(conf);
	conf = check_run_good(RUN("--handler", "echo", "--protocol=stream"));
	ck_assert_int_eq(conf->services[0].handler, HANDLER_ECHO);
	ck_assert_ptr_null(conf->services[0].argv);
	conf_free(conf);
}
END_TEST

START_TEST(test_http)
{
	struct conf *conf;

	if (help_lacks(PROTOCOL_HTTP))
		return;
	conf = check_run_good(RUN("--http", "127.0.0.1:81", "--", "sh"));
	const struct conf_service *service = &conf->services[0];

	ck_assert_int_eq(service->protocol, PROTOCOL_HTTP);
	ck_assert_int_eq(service->handler, HANDLER_PROGRAM);
	ck_assert_str_eq(service->argv[0], "sh");
	ck_assert_uint_eq(service->listens, 1);
	ck_assert_uint_eq(addr_port(&service->listen[0]), 81);
	conf_free(conf);
	/* The demonstration; addresses add up; who says the same twice says nothing wrong. */
	conf = check_run_good(
	    RUN("--http= 82 ", "--listen=83", "--http", "[::1]:84", "--protocol", "http"));
	service = &conf->services[0];
	ck_assert_int_eq(service->protocol, PROTOCOL_HTTP);
	ck_assert_str_eq(service->argv[0], DEMO);
	ck_assert_uint_eq(service->listens, 3);
	ck_assert_uint_eq(addr_port(&service->listen[2]), 84);
	conf_free(conf);
	conf = check_run_good(RUN("--handler=echo", "--http=82", "--max-head=2K"));
	ck_assert_int_eq(conf->services[0].handler, HANDLER_ECHO);
	conf_free(conf);
}
END_TEST

START_TEST(test_websocket)
{
	struct conf *conf;

	if (help_lacks(PROTOCOL_WEBSOCKET))
		return;
	conf = check_run_good(RUN("--websocket", "81", "--", "sh"));

	ck_assert_int_eq(conf->services[0].protocol, PROTOCOL_WEBSOCKET);
	ck_assert_int_eq(conf->services[0].handler, HANDLER_PROGRAM);
	ck_assert_uint_eq(addr_port(&conf->services[0].listen[0]), 81);
	conf_free(conf);
	check_run_bad(RUN("--http=81", "--websocket=81"),
	    "--websocket: --http is there too, and run is one service of one protocol; two "
	    "services want a file\n"
	    "--listen: 127.0.0.1:81 is there twice\n");
	check_run_bad(RUN("--websocket=81", "--http=82"),
	    "--http: --websocket is there too, and run is one service of one protocol; two "
	    "services want a file\n");
	check_run_bad(
	    RUN("--web-soket=81"), "--web-soket: unknown option; did you mean --websocket?\n");
}
END_TEST

START_TEST(test_http_bad)
{
	if (help_lacks(PROTOCOL_HTTP))
		return;
	check_run_bad(
	    RUN("--http"), "--http: there is no value: expects one, such as 127.0.0.1:10001\n");
	check_run_bad(RUN("--http", "--", "sh"),
	    "--http: there is no value: expects one, such as 127.0.0.1:10001\n");
	check_run_bad(
	    RUN("--http="), "--listen: there is no value: expects one, such as 127.0.0.1:10001\n");
	check_run_bad(RUN("--http=81", "--protocol=line"),
	    "--protocol: --http says http, so it cannot be line\n");
	check_run_bad(RUN("--http=81", "--listen=81"), "--listen: 127.0.0.1:81 is there twice\n");
	check_run_bad(RUN("--htp=81"), "--htp: unknown option; did you mean --http?\n");
	check_run_bad(
	    RUN("--hostler.http=81"), "--hostler.http: unknown option; did you mean --http?\n");
}
END_TEST

/* No quoting is applied to what follows --. */
START_TEST(test_words_as_they_are)
{
	static char *const words[] = {
	    "sh", "a ; b", "#", "", "it's \"\\", "line\nfeed", "\\n", "--", "\xc3\xa4", NULL};
	char *argv[] = {"--", words[0], words[1], words[2], words[3], words[4], words[5], words[6],
	    words[7], words[8], NULL};
	struct conf *conf = check_run_good(10, argv);

	for (unsigned i = 0; words[i] != NULL; i++)
		ck_assert_str_eq(conf->services[0].argv[i], words[i]);
	ck_assert_ptr_null(conf->services[0].argv[9]);
	conf_free(conf);
}
END_TEST

START_TEST(test_run_bad)
{
	check_run_bad(RUN("--queu", "3"), "--queu: unknown option; did you mean --queue?\n");
	check_run_bad(RUN("--max-conections=3"),
	    "--max-conections: unknown option; did you mean --max-connections?\n");
	check_run_bad(RUN("--whatever"), "--whatever: unknown option\n");
	check_run_bad(
	    RUN("--workers=3"), "--workers: unknown option; did you mean --hostler.workers?\n");
	check_run_bad(RUN("--hostler.queue", "3"),
	    "--hostler.queue: unknown option; did you mean --queue?\n");
	check_run_bad(RUN("--hostler.log-levle", "info"),
	    "--hostler.log-levle: unknown option; did you mean --hostler.log-level?\n");
	check_run_bad(
	    RUN("--queue"), "--queue: there is no value: expects a number from 1 to 1000000\n");
	check_run_bad(RUN("--queue", "--", "sh"),
	    "--queue: there is no value: expects a number from 1 to 1000000\n");
	check_run_bad(RUN("--queue=", "--", "sh"),
	    "--queue: there is no value: expects a number from 1 to 1000000\n");
	check_run_bad(RUN("--queue", "3", "--queue=4"), "--queue: is given twice\n");
	check_run_bad(RUN("--queue-timeout", "30"),
	    "--queue-timeout: '30': expects a duration with a unit, such as 10s (1ms to 365d); did "
	    "you mean 30s?\n");
	check_run_bad(RUN("--hostler.max-connections=0"),
	    "--hostler.max-connections: '0': expects a number from 1 to 1000000\n");
	check_run_bad(RUN("sh", "--queue"),
	    "sh: expects an option such as --listen; a command comes behind --\n");
	check_run_bad(
	    RUN("-x"), "-x: expects an option such as --listen; a command comes behind --\n");
	check_run_bad(RUN("--"), "--: no command follows\n");
	check_run_bad(RUN("--handler=program"),
	    "handler program needs a command: hostlerd run ... -- COMMAND\n");
	check_run_bad(RUN("--handler=echo", "--", "sh"),
	    "--command: is for handler program alone; the handler is echo\n");
	check_run_bad(RUN("--command=sh", "--", "sh"), "--command: is given twice\n");
	check_run_bad(RUN("--listen=81", "--listen=81"), "--listen: 127.0.0.1:81 is there twice\n");
	check_run_bad(RUN("--protocol=stream", "--", "sh"),
	    "--handler: program cannot stand behind protocol stream\n");
	check_run_bad(RUN("--directory=a\nb", "--", "sh"), "--directory: a value is one line\n");
	check_run_bad(RUN("--command=sh a\nb"),
	    "--command: a value is one line; \\n outside of quotes is a line feed\n");
	check_run_bad(RUN("--queu=1", "--backlog=0", "--", "no-such-program"),
	    "--queu: unknown option; did you mean --queue?\n"
	    "--backlog: '0': expects a number from 1 to 65535\n"
	    "--command: no-such-program is no program in "
	    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; one elsewhere wants its "
	    "path, such as ./no-such-program\n");
}
END_TEST

START_TEST(test_run_long)
{
	char *word = malloc(70000);
	char *argv[] = {"--", "sh", word, NULL};
	struct conf *conf;

	memset(word, 'w', 70000);
	word[65536 - 3] = '\0';
	conf = check_run_good(3, argv);
	ck_assert_str_eq(conf->services[0].argv[1], word);
	conf_free(conf);
	word[65536 - 3] = 'w';
	word[65536 - 2] = '\0';
	check_run_bad(3, argv, "--command: the value is longer than 65536 bytes\n");
	free(word);
}
END_TEST

/* ---- the dump ---- */

/* The dump without its comments parses, and its own dump is the same. */
static void
check_run_round(struct conf *conf)
{
	char *first = help_dump(conf), *second;
	struct conf *again;

	again = help_good(first);
	second = help_dump(again);
	help_strip(first);
	help_strip(second);
	ck_assert_str_eq(second, first);
	ck_assert_uint_eq(again->workers, conf->workers);
	ck_assert_uint_eq(again->uid, conf->uid);
	ck_assert_uint_eq(again->service_count, conf->service_count);
	for (unsigned i = 0; i < conf->service_count; i++) {
		const struct conf_service *a = &conf->services[i], *b = &again->services[i];

		ck_assert_str_eq(a->name, b->name);
		ck_assert_uint_eq(a->listens, b->listens);
		for (unsigned j = 0; j < a->listens; j++)
			ck_assert(addr_equal(&a->listen[j], &b->listen[j]));
		ck_assert_pstr_eq(a->executable, b->executable);
		for (unsigned j = 0; a->argv != NULL && a->argv[j] != NULL; j++)
			ck_assert_str_eq(a->argv[j], b->argv[j]);
		for (unsigned j = 0; a->env != NULL && a->env[j] != NULL; j++)
			ck_assert_str_eq(a->env[j], b->env[j]);
		ck_assert_int_eq(memcmp(a->limits, b->limits, sizeof(a->limits)), 0);
		ck_assert_uint_eq(a->instances, b->instances);
		ck_assert_uint_eq(a->instances_min, b->instances_min);
		ck_assert_uint_eq(a->idle_timeout, b->idle_timeout);
	}
	free(first);
	free(second);
	conf_free(again);
	conf_free(conf);
}

START_TEST(test_round)
{
	char *none[] = {NULL};

	check_run_round(check_run_good(0, none));
	check_run_round(check_run_good(
	    RUN("--listen=81", "--listen=unix:/tmp/x", "--idle-timeout=1.0005ms", "--limit-as=3M",
		"--limit-cpu=90s", "--limit-core=0", "--max-message=1000B", "--environment=A='a b'",
		"--hostler.workers=2", "--", "sh", "-c", "a ; b\n'\"\\", "#", "")));
	check_run_round(help_good(
	    "[hostler]\npid_file=x.pid\n" ECHO "[service b]\nlisten=unix:/tmp/y\nprotocol=frame\n"
	    "handler=program\ncommand=sh\ninstances=5..7\n"));
}
END_TEST

/* Every number at both ends of its range: the dump shows that very number, and reads back. */
static void
check_run_number(const struct option *option, uint64_t number)
{
	char text[512], value[UNIT_TEXT_MAX], expected[128], *dump;
	bool is_daemon = option->scope == OPTION_HOSTLER;
	const char *service = option->flags & OPTION_HTTP                             ? HTTP
			      : option->flags & OPTION_WEBSOCKET                      ? SOCKET
			      : option_is_for(option, PROTOCOL_LINE, HANDLER_PROGRAM) ? PROGRAM
										      : COLLECT;
	struct conf *conf;

	unit_format(option->unit, number, value);
	snprintf(text, sizeof(text), "%s%s%s=%s\n%s", is_daemon ? "" : service,
	    is_daemon ? "[hostler]\n" : "", option->key, value, is_daemon ? PROGRAM : "");
	snprintf(expected, sizeof(expected), "\n%s = %s\n", option->key, value);
	conf = help_good(text);
	dump = help_dump(conf);
	ck_assert_msg(strstr(dump, expected) != NULL, "no%sin the dump of %s", expected, text);
	free(dump);
	check_run_round(conf);
}

START_TEST(test_round_ranges)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);

		if (option->type == OPTION_TEXT || option->type == OPTION_CHOICE)
			continue;
		if ((option->flags & OPTION_HTTP) && help_lacks(PROTOCOL_HTTP))
			continue;
		if (!(option->flags & OPTION_HTTP) && (option->flags & OPTION_WEBSOCKET) &&
		    help_lacks(PROTOCOL_WEBSOCKET))
			continue;
		check_run_number(option, option->min);
		check_run_number(option, option_max(option));
	}
}
END_TEST

/* Every key that is for the handler is there, with where it came from. */
START_TEST(test_origins)
{
	struct conf *conf = help_good("[hostler]\nworkers=1\n" PROGRAM "queue=7\n");
	char *text = help_dump(conf), expected[512], *current = getcwd(NULL, 0);

	for (unsigned i = 0; i < option_count(); i++) {
		if (!option_is_for(option_at(i), PROTOCOL_LINE, HANDLER_PROGRAM))
			continue;
		snprintf(expected, sizeof(expected), "\n%s = ", option_at(i)->key);
		if (strstr(text, expected) == NULL) {
			snprintf(expected, sizeof(expected), "\n# %s =\n", option_at(i)->key);
			ck_assert_msg(strstr(text, expected) != NULL, "no %s", option_at(i)->key);
		}
	}
	snprintf(expected, sizeof(expected), "# %s/t.conf:8\nqueue = 7\n", current);
	ck_assert_ptr_nonnull(strstr(text, expected));
	snprintf(expected, sizeof(expected), "# %s/t.conf:2\nworkers = 1\n", current);
	ck_assert_ptr_nonnull(strstr(text, expected));
	ck_assert_ptr_nonnull(strstr(text, "# default\ninstances = auto\n"));
	ck_assert_ptr_nonnull(strstr(text, "# default\nidle_timeout = 5m\n"));
	ck_assert_ptr_nonnull(strstr(text, "# not set: nothing is added\n# environment =\n"));
	free(text);
	conf_free(conf);
	conf = check_run_good(RUN("--max-connections=3", "--hostler.log-level=warn"));
	text = help_dump(conf);
	ck_assert_ptr_nonnull(strstr(text, "# option --max-connections\nmax_connections = 3\n"));
	ck_assert_ptr_nonnull(strstr(text, "# option --hostler.log-level\nlog_level = warn\n"));
	free(text);
	free(current);
	conf_free(conf);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf_run");
	TCase *tcase = tcase_create("run"), *dump = tcase_create("dump");

	tcase_add_test(tcase, test_demo);
	tcase_add_test(tcase, test_options);
	tcase_add_test(tcase, test_command_alone);
	tcase_add_test(tcase, test_http);
	tcase_add_test(tcase, test_http_bad);
	tcase_add_test(tcase, test_websocket);
	tcase_add_test(tcase, test_words_as_they_are);
	tcase_add_test(tcase, test_run_bad);
	tcase_add_test(tcase, test_run_long);
	suite_add_tcase(suite, tcase);
	tcase_add_test(dump, test_round);
	tcase_add_test(dump, test_round_ranges);
	tcase_add_test(dump, test_origins);
	suite_add_tcase(suite, dump);
	return help_run(suite);
}
