/*
 * The text of a configuration: what is read from it, how it may be spelt, how long it may be. What
 * is refused and with which words is in check_conf_bad.c; paths, owners and users are in
 * check_conf_files.c.
 */
#include "tests/unit/conf_help.h"

#include "common/option.h"
#include "tests/unit/run_help.h"

#include <unistd.h>

#define SECOND         UINT64_C(1000000000)
#define CONF_LINE_ROOM 80000 /* bytes of a text with one line that is too long */

START_TEST(test_defaults)
{
	struct conf *conf = help_good(PROGRAM);
	const struct conf_service *service = &conf->services[0];

	ck_assert_uint_eq(conf->workers, option_cpus());
	ck_assert_uint_eq(conf->uid, CONF_NO_ID);
	ck_assert_str_eq(conf->control, CONTROL);
	ck_assert_ptr_null(conf->pid_file);
	ck_assert_int_eq(conf->log_level, LOG_LEVEL_INFO);
	ck_assert_uint_eq(conf->max_connections, 20000);
	ck_assert_uint_eq(conf->shutdown_timeout, 30 * SECOND);
	ck_assert_uint_eq(conf->worker_timeout, 10 * SECOND);
	ck_assert_uint_eq(conf->spin, 0);
	ck_assert_uint_eq(conf->service_count, 1);
	ck_assert_str_eq(service->name, "a");
	ck_assert_str_eq(service->origin, "t.conf:1");
	ck_assert_uint_eq(service->backlog, 4096);
	ck_assert_int_eq(service->protocol, PROTOCOL_LINE);
	ck_assert_int_eq(service->handler, HANDLER_PROGRAM);
	ck_assert_uint_eq(service->discipline, 0);
	ck_assert_int_eq(service->framing, CODEC_LINE);
	ck_assert_uint_eq(service->instances, option_cpus());
	ck_assert_uint_eq(service->instances_min, option_cpus());
	ck_assert_uint_eq(service->instance_idle, 60 * SECOND);
	ck_assert_int_eq(service->ready, READY_START);
	ck_assert_uint_eq(service->start_timeout, 30 * SECOND);
	ck_assert_uint_eq(service->skip_lines, 0);
	ck_assert_uint_eq(service->max_requests, 0);
	ck_assert_uint_eq(service->max_age, 0);
	ck_assert_uint_eq(service->max_memory, 0);
	ck_assert_uint_eq(service->concurrency, CONF_CONCURRENCY_AUTO);
	ck_assert_uint_eq(service->start_rate, 10);
	ck_assert_uint_eq(service->stop_timeout, 5 * SECOND);
	ck_assert_int_eq(service->on_cancel, ON_CANCEL_FINISH);
	ck_assert_uint_eq(service->queue, 1024);
	ck_assert_uint_eq(service->queue_timeout, 10 * SECOND);
	ck_assert_uint_eq(service->request_timeout, 30 * SECOND);
	ck_assert_uint_eq(service->idle_timeout, 300 * SECOND);
	ck_assert_uint_eq(service->message_timeout, 30 * SECOND);
	ck_assert_uint_eq(service->write_timeout, 30 * SECOND);
	ck_assert_uint_eq(service->pipeline, 32);
	ck_assert_uint_eq(service->max_message, 65536);
	ck_assert_uint_eq(service->high_water, 262144);
	ck_assert_uint_eq(service->max_connections, 20000);
	ck_assert_uint_eq(service->uid, CONF_NO_ID);
	ck_assert_ptr_null(service->env);
	for (unsigned i = 0; i < CONF_LIMIT_COUNT; i++)
		ck_assert(!service->limits[i].set);
	conf_free(conf);
}
END_TEST

START_TEST(test_values)
{
	struct conf *conf = help_good(
	    "# a comment\n  ; another\n\n[hostler]\nworkers = 3\nlog_level=debug\n"
	    "control = /tmp/c.sock\npid_file=/tmp/p\nmax_connections: 7\n"
	    "shutdown_timeout=1.5s\nworker_timeout=2m\nspin=0.1ms\n[service a.b-c_9]\n"
	    "listen = 127.0.0.1:81, [::1]:82\tunix:/tmp/x\nbacklog=5\nprotocol=frame\n"
	    "ids=yes\nhandler=program\ncommand=sh -c 'exit  0'\ndirectory=/usr\n"
	    "environment=A=1 B_2=\"x y\" C=\nlimit_nofile=99\nlimit_nproc=98\n"
	    "limit_as=1G\nlimit_cpu=2m\nlimit_fsize=0\nlimit_core=0\nlimit_stack=1m\n"
	    "discipline=strict\nframing=frame\ninstances=4..9\nconcurrency=2\nstart_rate=3\n"
	    "instance_idle=2s\nready=line\nstart_timeout=3s\nskip_lines=4\nmax_requests=5\n"
	    "max_age=6h\nmax_memory=7M\n"
	    "stop_timeout=4ms\non_cancel=kill\nqueue=5\nqueue_timeout=6h\n"
	    "request_timeout=7d\nidle_timeout=8s\nmessage_timeout=9s\nwrite_timeout=10s\n"
	    "pipeline=11\nmax_message=12B\nhigh_water=1.5K\nmax_connections=14\n");
	const struct conf_service *service = &conf->services[0];
	char text[ADDR_TEXT_MAX];

	ck_assert_uint_eq(conf->workers, 3);
	ck_assert_int_eq(conf->log_level, LOG_LEVEL_DEBUG);
	ck_assert_str_eq(conf->control, "/tmp/c.sock");
	ck_assert_str_eq(conf->pid_file, "/tmp/p");
	ck_assert_uint_eq(conf->max_connections, 7);
	ck_assert_uint_eq(conf->shutdown_timeout, 3 * SECOND / 2);
	ck_assert_uint_eq(conf->worker_timeout, 120 * SECOND);
	ck_assert_uint_eq(conf->spin, 100000);
	ck_assert_str_eq(service->name, "a.b-c_9");
	ck_assert_uint_eq(service->listens, 3);
	ck_assert_str_eq(addr_format(&service->listen[0], text), "127.0.0.1:81");
	ck_assert_str_eq(addr_format(&service->listen[1], text), "[::1]:82");
	ck_assert_str_eq(addr_format(&service->listen[2], text), "unix:/tmp/x");
	ck_assert_uint_eq(service->backlog, 5);
	ck_assert_int_eq(service->protocol, PROTOCOL_FRAME);
	ck_assert_str_eq(service->argv[0], "sh");
	ck_assert_str_eq(service->argv[2], "exit  0");
	ck_assert_ptr_null(service->argv[3]);
	ck_assert_int_eq(service->executable[0], '/');
	ck_assert_int_eq(access(service->executable, X_OK), 0);
	ck_assert_str_eq(service->directory, "/usr");
	ck_assert_str_eq(service->env[0], "A=1");
	ck_assert_str_eq(service->env[1], "B_2=x y");
	ck_assert_str_eq(service->env[2], "C=");
	ck_assert_ptr_null(service->env[3]);
	ck_assert_uint_eq(service->limits[CONF_LIMIT_NOFILE].value, 99);
	ck_assert_uint_eq(service->limits[CONF_LIMIT_NPROC].value, 98);
	ck_assert_uint_eq(service->limits[CONF_LIMIT_AS].value, 1 << 30);
	ck_assert_uint_eq(service->limits[CONF_LIMIT_CPU].value, 120 * SECOND);
	ck_assert_uint_eq(service->limits[CONF_LIMIT_STACK].value, 1 << 20);
	ck_assert(service->limits[CONF_LIMIT_FSIZE].set && service->limits[CONF_LIMIT_CORE].set);
	ck_assert_int_eq(service->framing, CODEC_FRAME);
	ck_assert_uint_eq(service->ids, 1);
	ck_assert_ptr_null(service->reply_end);
	ck_assert_uint_eq(service->instances_min, 4);
	ck_assert_uint_eq(service->instances, 9);
	ck_assert_uint_eq(service->instance_idle, 2 * SECOND);
	ck_assert_int_eq(service->ready, READY_LINE);
	ck_assert_uint_eq(service->start_timeout, 3 * SECOND);
	ck_assert_uint_eq(service->skip_lines, 4);
	ck_assert_uint_eq(service->max_requests, 5);
	ck_assert_uint_eq(service->max_age, 6 * 3600 * SECOND);
	ck_assert_uint_eq(service->max_memory, 7 << 20);
	ck_assert_uint_eq(service->concurrency, 2);
	ck_assert_uint_eq(service->start_rate, 3);
	ck_assert_uint_eq(service->stop_timeout, 4000000);
	ck_assert_int_eq(service->on_cancel, ON_CANCEL_KILL);
	ck_assert_uint_eq(service->queue, 5);
	ck_assert_uint_eq(service->queue_timeout, 6 * 3600 * SECOND);
	ck_assert_uint_eq(service->request_timeout, 7 * 86400 * SECOND);
	ck_assert_uint_eq(service->idle_timeout, 8 * SECOND);
	ck_assert_uint_eq(service->message_timeout, 9 * SECOND);
	ck_assert_uint_eq(service->write_timeout, 10 * SECOND);
	ck_assert_uint_eq(service->pipeline, 11);
	ck_assert_uint_eq(service->max_message, 12);
	ck_assert_uint_eq(service->high_water, 1536);
	ck_assert_uint_eq(service->max_connections, 14);
	conf_free(conf);
}
END_TEST

/* A line is what it says, unless it stands in a pair of quotes. */
START_TEST(test_reply_end)
{
	static const struct {
		const char *written, *meant;
	} cases[] = {
	    {"END", "END"},
	    {"a b", "a b"},
	    {"''", ""},
	    {"\"(gdb) \"", "(gdb) "},
	    {"'it's'", "it's"},
	    {"'", "'"},
	    {"'a\"", "'a\""},
	    {"\\n", "\\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct conf *conf;

		snprintf(text, sizeof(text),
		    "[service a]\nlisten=0\nprotocol=line\nhandler=program\ncommand=sh\n"
		    "ids=no\nreply_end = %s\n",
		    cases[i].written);
		conf = help_good(text);
		ck_assert_str_eq(conf->services[0].reply_end, cases[i].meant);
		conf_free(conf);
	}
}
END_TEST

/* Byte order mark, CRLF, a last line without an end, comments behind a header, odd blanks. */
START_TEST(test_spellings)
{
	static const char *const texts[] = {
	    "\xef\xbb\xbf" ECHO,
	    "[service a]\r\nlisten=127.0.0.1:0\r\nprotocol=line\r\n\r\nhandler=echo\r\n",
	    "[service a]\nlisten=127.0.0.1:0\nprotocol=line\nhandler=echo",
	    "\n\n[ service  a ] ; of mine\nlisten =\t127.0.0.1:0 \nprotocol : line\nhandler= "
	    "echo\t",
	    "[hostler]\n[service a] # "
	    "mine\n;\n#\nlisten=,127.0.0.1:0,,\nprotocol=line\nhandler=echo",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf *conf = help_good(texts[i]);

		ck_assert_str_eq(conf->services[0].name, "a");
		ck_assert_int_eq(conf->services[0].handler, HANDLER_ECHO);
		ck_assert_uint_eq(conf->services[0].listens, 1);
		ck_assert_uint_eq(conf->services[0].instances, 0);
		conf_free(conf);
	}
}
END_TEST

/* ---- longer than what inih keeps ---- */

/* Section names over 49 bytes, values over 199, up to the 64 KiB that are allowed. */
START_TEST(test_long)
{
	static const size_t lengths[] = {
	    150, 190, 195, 196, 197, 198, 199, 200, 201, 400, 65000, 65533};
	char name[49], *text = malloc(CONF_LINE_ROOM), *word = malloc(CONF_LINE_ROOM);

	memset(name, 'n', 48);
	name[48] = '\0';
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct conf *conf;

		memset(word, 'w', lengths[i]);
		word[lengths[i]] = '\0';
		snprintf(text, CONF_LINE_ROOM,
		    "[service %s]\nlisten=80\nprotocol=line\nhandler=program\ncommand = sh %s\n"
		    "queue=77\n",
		    name, word);
		conf = help_good(text);
		ck_assert_str_eq(conf->services[0].name, name);
		ck_assert_str_eq(conf->services[0].argv[1], word);
		ck_assert_ptr_null(conf->services[0].argv[2]);
		ck_assert_uint_eq(conf->services[0].queue, 77);
		conf_free(conf);
	}
	free(text);
	free(word);
}
END_TEST

START_TEST(test_too_long)
{
	static const char *const rests[] = {"", "\n", "\nbacklog=3\nx\n"};
	char *text = malloc(CONF_LINE_ROOM), *told;
	struct conf_errors errors;

	for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
		snprintf(text, CONF_LINE_ROOM, ECHO "pid_file=%070000d%s", 0, rests[i]);
		ck_assert_ptr_null(help_parse(text, &errors));
		told = help_told(&errors);
		ck_assert_ptr_eq(
		    strstr(told, "t.conf:5: the line is longer than 65792 bytes\n"), told);
		ck_assert_int_eq(strstr(told, "\nt.conf:7: 'x': expects") != NULL, i == 2);
		free(told);
	}
	snprintf(text, CONF_LINE_ROOM, "[hostler]\npid_file=/%065536d\n" ECHO, 0);
	help_bad(text, "t.conf:2: [hostler] pid_file: the value is longer than 65536 bytes\n");
	snprintf(text, CONF_LINE_ROOM, ECHO "command = sh %0300d ; x\n", 0);
	ck_assert_ptr_null(help_parse(text, &errors));
	told = help_told(&errors);
	ck_assert_ptr_nonnull(
	    strstr(told, "t.conf:5: [service a] command: a semicolon behind a blank"));
	free(told);
	snprintf(text, CONF_LINE_ROOM, ECHO "%0300d = 1\n", 0);
	ck_assert_ptr_null(help_parse(text, &errors));
	told = help_told(&errors);
	ck_assert_ptr_nonnull(strstr(told, "t.conf:5: [service a]: '000"));
	ck_assert_ptr_nonnull(strstr(told, "': unknown key"));
	free(told);
	snprintf(text, CONF_LINE_ROOM, "[service %049d]\n", 0);
	ck_assert_ptr_null(help_parse(text, &errors));
	told = help_told(&errors);
	ck_assert_ptr_nonnull(strstr(told, "a service needs a name of 1 to 48 letters"));
	free(told);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf");
	TCase *tcase = tcase_create("text");

	tcase_add_test(tcase, test_defaults);
	tcase_add_test(tcase, test_values);
	tcase_add_test(tcase, test_reply_end);
	tcase_add_test(tcase, test_spellings);
	tcase_add_test(tcase, test_long);
	tcase_add_test(tcase, test_too_long);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
