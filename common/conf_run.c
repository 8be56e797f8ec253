/*
 * `hostlerd run`: one service from the command line, without a file.
 *
 * Every key of a service is an option --KEY VALUE or --KEY=VALUE, the daemon's are --hostler.KEY; a
 * hyphen is as good as an underscore. What follows -- is the command, word for word. The checks are
 * those of a file. --http ADDR stands for --listen ADDR --protocol http, --websocket
 * ADDR likewise.
 */
#include "common/conf_build.h"
#include "common/mem.h"
#include "common/words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define CONF_RUN_DAEMON "hostler."
#define CONF_RUN_LINE   1 /* as the line of what was given */

struct conf_run {
	struct conf_build build;
	unsigned section;
	char *listen;                 /* owns; the addresses so far */
	char **command;               /* borrows; what follows --, or NULL */
	enum protocol_kind shorthand; /* whose name was an option; PROTOCOL_COUNT: none */
};

/* The key of an option, with underscores; the caller frees it. `text` stands behind the --. */
static char *
conf_run_key(const char *text, size_t length)
{
	char *key = mem_strndup(text, length);

	for (char *c = key; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
	return key;
}

/* The protocol of which the key is the shorthand, or PROTOCOL_COUNT: those that have URLs. */
static enum protocol_kind
conf_run_shorthand(const char *key, bool near)
{
	for (enum protocol_kind kind = 0; kind < PROTOCOL_COUNT; kind++) {
		const char *name = protocol_name(kind);

		if (protocol_is_http(kind) &&
		    (strcmp(key, name) == 0 || (near && option_is_near(key, name))))
			return kind;
	}
	return PROTOCOL_COUNT;
}

/* The key that was probably meant; `daemon` says whose it is. NULL: nothing is near. */
static const char *
conf_run_near(const char *key, bool *daemon)
{
	enum option_scope own = *daemon ? OPTION_HOSTLER : OPTION_SERVICE;
	enum option_scope other = *daemon ? OPTION_SERVICE : OPTION_HOSTLER;
	const char *near = option_suggest(own, key);

	if (option_find(other, key) == NULL && near != NULL)
		return near;
	if (conf_run_shorthand(key, true) != PROTOCOL_COUNT) {
		*daemon = false;
		return protocol_name(conf_run_shorthand(key, true));
	}
	*daemon = !*daemon;
	return option_suggest(other, key);
}

/* `text` is what was written behind the --, up to `length`. */
static void
conf_run_unknown(
    struct conf_run *run, const char *text, size_t length, bool daemon, const char *key)
{
	const char *near = conf_run_near(key, &daemon);
	char *meant = mem_strdup("");

	if (near != NULL) {
		free(meant);
		meant = mem_printf("; did you mean --%s%s?", daemon ? CONF_RUN_DAEMON : "", near);
	}
	for (char *c = meant; *c != '\0'; c++)
		if (*c == '_')
			*c = '-';
	conf_build_error(&run->build, CONF_RUN_LINE, CONF_NO_SECTION, NULL,
	    "--%.*s: unknown option%s", (int)(length < 64 ? length : 64), text, meant);
	free(meant);
}

static void
conf_run_listen(struct conf_run *run, const char *value)
{
	char *joined =
	    run->listen == NULL ? mem_strdup(value) : mem_printf("%s %s", run->listen, value);

	free(run->listen);
	run->listen = joined;
}

static void
conf_run_value(
    struct conf_run *run, unsigned section, const struct option *option, const char *value)
{
	char *clean = mem_strdup(value + strspn(value, " \t\r\n\v\f"));
	size_t length = strlen(clean);

	/* As in a file: blanks around a value do not belong to it. */
	while (length > 0 && isspace((unsigned char)clean[length - 1]))
		clean[--length] = '\0';
	if (section != CONF_HOSTLER && strcmp(option->key, "listen") == 0 && *clean != '\0')
		conf_run_listen(run, clean);
	else
		conf_build_set(&run->build, section, option, clean, CONF_RUN_LINE);
	free(clean);
}

/* An address whose protocol is said with it. */
static void
conf_run_address(struct conf_run *run, enum protocol_kind protocol, const char *value)
{
	const char *key = protocol_name(protocol);

	if (run->shorthand != PROTOCOL_COUNT && run->shorthand != protocol)
		conf_build_error(&run->build, CONF_RUN_LINE, run->section, key,
		    "--%s is there too, and run is one service of one protocol; two services "
		    "want a file",
		    protocol_name(run->shorthand));
	run->shorthand = protocol;
	conf_run_value(run, run->section, option_find(OPTION_SERVICE, "listen"), value);
}

/* One option from `argv`, which stands on it. Returns how many arguments it took. */
static int
conf_run_option(struct conf_run *run, int argc, char **argv)
{
	const char *text = argv[0] + 2, *equals = strchr(text, '=');
	size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
	bool daemon = strncmp(text, CONF_RUN_DAEMON, strlen(CONF_RUN_DAEMON)) == 0;
	size_t skip = daemon ? strlen(CONF_RUN_DAEMON) : 0;
	unsigned section = daemon ? CONF_HOSTLER : run->section;
	char *key = conf_run_key(text + skip, length - skip);
	enum protocol_kind shorthand = daemon ? PROTOCOL_COUNT : conf_run_shorthand(key, false);
	const struct option *option =
	    option_find(conf_scope(section), shorthand == PROTOCOL_COUNT ? key : "listen");
	bool has_next = argc > 1 && strncmp(argv[1], "--", 2) != 0;
	const char *value = equals != NULL ? equals + 1 : has_next ? argv[1] : NULL;
	char expects[OPTION_EXPECTS_MAX];

	if (option == NULL)
		conf_run_unknown(run, text, length, daemon, key);
	else if (value == NULL)
		conf_build_error(&run->build, CONF_RUN_LINE, section, key, "there is no value: %s",
		    option_expects(option, expects));
	else if (shorthand != PROTOCOL_COUNT)
		conf_run_address(run, shorthand, value);
	else
		conf_run_value(run, section, option, value);
	free(key);
	return equals == NULL && has_next ? 2 : 1;
}

static void
conf_run_options(struct conf_run *run, int argc, char **argv)
{
	int i = 0;

	while (i < argc && strcmp(argv[i], "--") != 0) {
		if (strncmp(argv[i], "--", 2) == 0) {
			i += conf_run_option(run, argc - i, argv + i);
			continue;
		}
		/* What follows is probably the command; its own options would be misread. */
		conf_build_error(&run->build, CONF_RUN_LINE, CONF_NO_SECTION, NULL,
		    "%.64s: expects an option such as --listen; a command comes behind --",
		    argv[i]);
		return;
	}
	if (i < argc)
		run->command = argv + i + 1;
}

static void
conf_run_default(struct conf_run *run, const char *key, const char *value)
{
	const struct option *option = option_find(OPTION_SERVICE, key);

	if (!conf_origin(run->build.conf, run->section, option)->set)
		conf_build_set(&run->build, run->section, option, value, 0);
}

/* Behind -- : the words are put together so that taking them apart gives the same again. */
static void
conf_run_command(struct conf_run *run)
{
	char *text;

	if (run->command == NULL)
		return;
	if (run->command[0] == NULL) {
		conf_build_error(
		    &run->build, CONF_RUN_LINE, CONF_NO_SECTION, NULL, "--: no command follows");
		return;
	}
	text = words_join(run->command);
	conf_build_set(
	    &run->build, run->section, option_find(OPTION_SERVICE, "command"), text, CONF_RUN_LINE);
	free(text);
}

/* What --http or --websocket says of the protocol. */
static void
conf_run_protocol(struct conf_run *run)
{
	const struct option *option = option_find(OPTION_SERVICE, "protocol");
	const char *name;

	if (run->shorthand == PROTOCOL_COUNT)
		return;
	name = protocol_name(run->shorthand);
	if (!conf_is_given(run->build.conf, run->section, "protocol"))
		conf_build_set(&run->build, run->section, option, name, CONF_RUN_LINE);
	else if (conf_is_good(run->build.conf, run->section, "protocol") &&
		 run->build.conf->services[0].protocol != run->shorthand)
		conf_build_refuse(&run->build, run->section, option,
		    "--%s says %s, so it cannot be %s", name, name,
		    protocol_name(run->build.conf->services[0].protocol));
}

/* What was not said: a command means a program; nothing at all means the demo. */
static void
conf_run_defaults(struct conf_run *run, const char *demo)
{
	const struct conf *conf = run->build.conf;
	char *words[] = {mem_strdup(demo), NULL};
	char *text = words_join(words);

	if (run->listen != NULL)
		conf_build_set(&run->build, run->section, option_find(OPTION_SERVICE, "listen"),
		    run->listen, CONF_RUN_LINE);
	conf_run_protocol(run);
	if (!conf_is_given(conf, run->section, "handler") &&
	    (run->command == NULL || run->command[0] == NULL))
		conf_run_default(run, "command", text);
	conf_run_default(run, "listen", CONF_RUN_LISTEN);
	conf_run_default(run, "protocol", protocol_name(PROTOCOL_LINE));
	conf_run_default(run, "handler", handler_name(HANDLER_PROGRAM));
	free(text);
	free(words[0]);
}

struct conf *
conf_run(int argc, char **argv, const char *demo, const char *control_default,
    struct conf_errors *errors)
{
	struct conf_run run = {.shorthand = PROTOCOL_COUNT};

	if (conf_build_start(&run.build, NULL, control_default, errors)) {
		run.section = conf_build_service(&run.build, "run", CONF_RUN_LINE);
		conf_run_options(&run, argc, argv);
		conf_run_command(&run);
		conf_run_defaults(&run, demo);
		conf_check(&run.build);
	}
	free(run.listen);
	return conf_build_end(&run.build);
}
