/*
 * A configuration that is saved and restored is the same: by its difference, by its dump, and by
 * what it says when it is saved again. What makes no sense is refused with a sentence.
 */
#include "common/conf_save.h"

#include "common/clock.h"
#include "common/conf_diff.h"
#include "common/option.h"
#include "tests/unit/conf_help.h"
#include "tests/unit/run_help.h"

#include <unistd.h>

/* Every option with another value than its default. */
static const char every_key[] =
    "[hostler]\nworkers = 3\ncontrol = /tmp/check/control.sock\npid_file = /tmp/check/pid\n"
    "log = /tmp/check/log\nlog_level = debug\nlog_format = json\nevent_backend = poll\n"
    "max_connections = 77\nshutdown_timeout = 7s\ndrain_timeout = 8s\nworker_timeout = 9s\n"
    "rebalance = yes\nrebalance_rate = 77\nspin = 0.05ms\n"
    "[service a]\nlisten = 127.0.0.1:0, [::1]:0 unix:/tmp/check/a.sock\nprotocol = frame\n"
    "handler = program\ncommand = sh -c 'exec cat' \"two words\" \\;\n"
    "directory = /tmp\nenvironment = A=1 B='x y'\nframing = frame\ninstances = 2..5\nids = yes\n"
    "instance_idle = 7s\nconcurrency = 3\nstart_rate = 7\nready = line\nstart_timeout = 4s\n"
    "skip_lines = 2\nmax_requests = 9\nmax_age = 1h\nmax_memory = 1G\nstop_timeout = 3s\n"
    "on_cancel = kill\nqueue = 33\nqueue_timeout = 3s\nrequest_timeout = 4s\nidle_timeout = 1m\n"
    "message_timeout = 2s\nwrite_timeout = 6s\npipeline = 7\nmax_message = 8K\nhigh_water = 9K\n"
    "max_connections = 44\nmax_connections_per_address = 4\nrate = 5\naccess_log = "
    "/tmp/check/access\nbacklog = 99\nlimit_nofile = 100\n"
    "limit_nproc = 101\nlimit_as = 1G\nlimit_cpu = 10s\nlimit_fsize = 1M\nlimit_core = 0B\n"
    "limit_stack = 8M\n"
    "[service b]\nlisten = 127.0.0.1:0\nprotocol = line\nhandler = collect\n"
    "file = /tmp/check-records\nack = synced\nrotate_size = 1M\n"
    "[service c]\nlisten = 127.0.0.1:0\nprotocol = line\nhandler = program\ncommand = sh\n"
    "reply_end = ' '\ninstances = auto\nconcurrency = 1\n"
    "[service d]\nlisten = 127.0.0.1:0\nprotocol = stream\nhandler = discard\n"
    "[service e]\nlisten = 127.0.0.1:0\nprotocol = http\nhandler = echo\n"
    "content_type = text/html\nserver_field = no\nmax_target = 1K\nmax_head = 4K\npath = "
    "/api\nhost "
    "= a.example *.b.example\n"
    "message = json\ncors_origins = https://a, http://b:80\n"
    "[service f]\nlisten = 127.0.0.1:0\nprotocol = http\nhandler = program\ncommand = sh\n"
    "reply_end = .\nstream = yes\n"
    "[service g]\nlisten = 127.0.0.1:0\nprotocol = http\nhandler = static\nroot = /tmp\n"
    "index = home.htm\n"
    "[service h]\nlisten = 127.0.0.1:0\nprotocol = websocket\nhandler = echo\n"
    "origins = https://a\nsubprotocols = chat.v2, chat\ndeflate = yes\nping_interval = 7s\n";

/* Those that this build can have. */
static const char *
known_keys(void)
{
	static char text[sizeof(every_key)];

	memcpy(text, every_key, sizeof(text));
	if (protocol_lacks(PROTOCOL_WEBSOCKET) != NULL)
		*strstr(text, "[service h]") = '\0';
	if (protocol_lacks(PROTOCOL_HTTP) != NULL)
		*strstr(text, "[service e]") = '\0';
	return text;
}

static char *
dump(const struct conf *conf)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	conf_dump(conf, out);
	fclose(out);
	return text;
}

/* Through text, as it goes between two images. */
static json_t *
saved_as_text(const struct conf *conf)
{
	json_t *saved = conf_save(conf), *read;
	char *text = json_dumps(saved, 0);

	ck_assert_ptr_nonnull(text);
	read = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	ck_assert(json_equal(saved, read));
	free(text);
	json_decref(saved);
	return read;
}

static struct conf *
restored(const json_t *saved)
{
	char why[512] = "nothing";
	struct conf *conf = conf_restore(saved, why, sizeof(why));

	ck_assert_msg(conf != NULL, "%s", why);
	return conf;
}

static void
same_strings(char *const *a, char *const *b)
{
	ck_assert((a == NULL) == (b == NULL));
	for (; a != NULL && *a != NULL; a++, b++)
		ck_assert_str_eq(*a, *b);
	ck_assert(b == NULL || *b == NULL);
}

static void
same_service(const struct conf_service *a, const struct conf_service *b)
{
	ck_assert_str_eq(a->name, b->name);
	ck_assert_str_eq(a->origin, b->origin);
	ck_assert_uint_eq(a->listens, b->listens);
	for (unsigned i = 0; i < a->listens; i++)
		ck_assert(addr_equal(&a->listen[i], &b->listen[i]));
	same_strings(a->argv, b->argv);
	same_strings(a->env, b->env);
	ck_assert_pstr_eq(a->executable, b->executable);
	ck_assert_pstr_eq(a->reply_end, b->reply_end);
	ck_assert_uint_eq(a->files, b->files);
	ck_assert_uint_eq(a->uid, b->uid);
	ck_assert_uint_eq(a->gid, b->gid);
	ck_assert_uint_eq(a->instances_min, b->instances_min);
	ck_assert_uint_eq(a->instances, b->instances);
	ck_assert_mem_eq(a->limits, b->limits, sizeof(a->limits));
}

/* Frees it. */
static void
goes_round(struct conf *conf)
{
	json_t *saved = saved_as_text(conf), *again;
	struct conf *other = restored(saved);
	struct conf_diff *diff = conf_diff_new(conf, other);
	char *dumps[] = {dump(conf), dump(other)};

	ck_assert(conf_diff_is_empty(diff));
	ck_assert_str_eq(dumps[0], dumps[1]);
	again = conf_save(other);
	ck_assert(json_equal(saved, again));
	ck_assert_pstr_eq(conf->file, other->file);
	ck_assert_uint_eq(conf->service_count, other->service_count);
	for (unsigned i = 0; i < conf->service_count; i++)
		same_service(&conf->services[i], &other->services[i]);
	conf_diff_free(diff);
	free(dumps[0]);
	free(dumps[1]);
	json_decref(saved);
	json_decref(again);
	conf_free(conf);
	conf_free(other);
}

START_TEST(every_key_goes_round)
{
	struct conf *conf = help_good(known_keys());

	/* The text above must not fall behind the table: users and groups need others than ours. */
	for (unsigned i = 0; i < option_count(); i++)
		if (strcmp(option_at(i)->key, "user") != 0 &&
		    strcmp(option_at(i)->key, "group") != 0)
			ck_assert_msg(strstr(every_key, option_at(i)->key) != NULL ||
					  option_at(i)->type == OPTION_CHOICE,
			    "%s is not tried", option_at(i)->key);
	goes_round(conf);
}
END_TEST

START_TEST(the_least_goes_round)
{
	goes_round(help_good(ECHO));
	goes_round(help_good(PROGRAM));
	goes_round(help_good(COLLECT));
}
END_TEST

START_TEST(the_sample_goes_round)
{
	struct conf_errors errors;
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	struct conf *conf;

	conf_print_sample(file);
	fputs("\n" ECHO, file);
	fclose(file);
	conf = help_parse(text, &errors);
	ck_assert_ptr_nonnull(conf);
	conf_errors_free(&errors);
	free(text);
	goes_round(conf);
}
END_TEST

START_TEST(a_command_line_goes_round)
{
	char *argv[] = {"--listen", "127.0.0.1:0", "--instances=2..3", "--hostler.workers", "2",
	    "--", "sh", "-c", "echo 'a b' ; \xff\x01", NULL};
	struct conf_errors errors;
	struct conf *conf = conf_run(9, argv, "/bin/sh", CONTROL, &errors);

	ck_assert_ptr_nonnull(conf);
	ck_assert_ptr_null(conf->file);
	conf_errors_free(&errors);
	goes_round(conf);
}
END_TEST

START_TEST(another_version_has_other_keys)
{
	struct conf *conf = help_good(PROGRAM), *other;
	json_t *saved = saved_as_text(conf);
	json_t *service = json_array_get(json_object_get(saved, "services"), 0);
	json_t *options = json_object_get(service, "options");

	json_object_set_new(options, "levitation", json_pack("[s, i, b]", "high", 7, 0));
	json_object_set_new(saved, "weather", json_string("fine"));
	json_object_del(options, "idle_timeout");
	other = restored(saved);
	ck_assert_uint_eq(other->services[0].idle_timeout, 300 * CLOCK_SECOND);
	conf_free(other);
	conf_free(conf);
	json_decref(saved);
}
END_TEST

/* Sets what stands at a path in the first service (or in the whole), then nothing may come of it.
 */
static void
refuses(bool in_service, const char *object, const char *key, const char *value, const char *told)
{
	struct conf *conf = help_good(known_keys());
	json_t *saved = saved_as_text(conf), *at = saved;
	char why[512] = "";

	if (in_service)
		at = json_array_get(json_object_get(saved, "services"), 0);
	if (object != NULL)
		at = json_object_get(at, object);
	ck_assert_ptr_nonnull(at);
	if (value == NULL)
		ck_assert_int_eq(json_object_del(at, key), 0);
	else
		json_object_set_new(at, key, json_loads(value, JSON_DECODE_ANY, NULL));
	ck_assert_msg(conf_restore(saved, why, sizeof(why)) == NULL, "%s = %s", key, value);
	ck_assert_msg(strstr(why, told) != NULL, "%s: %s", key, why);
	json_decref(saved);
	conf_free(conf);
}

START_TEST(nonsense_is_refused)
{
	static const char taken[] = "a value that this version does not take";
	char why[512];

	refuses(false, "options", "workers", "[0, 1, false]", "lacks");
	refuses(false, "options", "workers", "[100000, 1, false]", taken);
	refuses(false, "options", "log_level", "[\"loud\", 1, false]", taken);
	refuses(false, "options", "log", "[7, 1, false]", taken);
	refuses(false, "options", "spin", "[-1, 1, false]", taken);
	refuses(false, "options", "spin", "[1, -1, false]", taken);
	refuses(false, NULL, "uid", "\"root\"", "uid is no number");
	refuses(false, NULL, "services", "[]", "lacks");
	refuses(true, NULL, "name", NULL, "no name");
	refuses(true, NULL, "listen", "[\"abc\"]", "no address");
	refuses(true, NULL, "listen", "[]", "no list of addresses");
	refuses(true, NULL, "argv", NULL, "lacks");
	refuses(true, NULL, "argv", "[]", "lacks");
	refuses(true, NULL, "argv", "[1]", "no list of words");
	refuses(true, NULL, "executable", "null", "lacks");
	refuses(true, NULL, "executable", "\"a\\u0100\"", "is no text");
	refuses(true, "options", "instances", "[[3, 2], 1, false]", taken);
	refuses(true, "options", "instances", "[[0, 0], 1, false]", "lacks");
	refuses(true, "options", "queue", "[1e9, 1, false]", taken);
	refuses(true, "options", "protocol", "[\"stream\", 1, false]", "lacks");
	if (protocol_lacks(PROTOCOL_WEBSOCKET) != NULL)
		refuses(true, "options", "protocol", "[\"websocket\", 1, false]", taken);
	ck_assert_ptr_null(conf_restore(NULL, why, sizeof(why)));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf_save");
	TCase *tcase = tcase_create("conf_save");

	tcase_add_test(tcase, every_key_goes_round);
	tcase_add_test(tcase, the_least_goes_round);
	tcase_add_test(tcase, the_sample_goes_round);
	tcase_add_test(tcase, a_command_line_goes_round);
	tcase_add_test(tcase, another_version_has_other_keys);
	tcase_add_test(tcase, nonsense_is_refused);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
