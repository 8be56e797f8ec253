/*
 * What no single key can tell: what is missing, what does not go together, which address is listed
 * twice. Runs after everything was read, so that all errors are told at once.
 *
 * Looks only at values that were understood: one mistake gives one error.
 */
#include "common/conf_build.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define CONF_CHECK_PATH_MAX 4095 /* bytes of a path, without its NUL */

static struct conf_service *
conf_check_service(struct conf_build *build, unsigned section)
{
	return &build->conf->services[section - 1];
}

/* ---- what must be there ---- */

static void
conf_check_missing(struct conf_build *build, unsigned section)
{
	unsigned line = build->section_lines[section];

	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);

		if (!(option->flags & OPTION_REQUIRED) ||
		    conf_origin(build->conf, section, option)->set)
			continue;
		if (strcmp(option->key, "handler") == 0 &&
		    conf_is_given(build->conf, section, "command"))
			conf_build_error(build, line, section, NULL,
			    "handler is missing; a command wants handler = program");
		else
			conf_build_error(build, line, section, NULL,
			    "%s is missing; for example %s = %s", option->key, option->key,
			    option->example);
	}
}

/* ---- what goes together ---- */

static void
conf_check_pair(struct conf_build *build, unsigned section)
{
	const struct conf_service *service = conf_check_service(build, section);

	if (conf_is_good(build->conf, section, "protocol") &&
	    conf_is_good(build->conf, section, "handler") &&
	    !kinds_go_together(service->protocol, service->handler))
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "handler"),
		    "%s cannot stand behind protocol %s", handler_name(service->handler),
		    protocol_name(service->protocol));
}

static void
conf_check_refuse_foreign(struct conf_build *build, unsigned section, const struct option *option)
{
	const struct conf_service *service = conf_check_service(build, section);
	unsigned only = option->flags & (OPTION_PROGRAM | OPTION_COLLECT | OPTION_STATIC);
	unsigned protocols = option->flags & (OPTION_HTTP | OPTION_WEBSOCKET);

	if (!option_is_for(option, service->protocol, HANDLER_PROGRAM) &&
	    !option_is_for(option, service->protocol, HANDLER_COLLECT) &&
	    !option_is_for(option, service->protocol, HANDLER_STATIC))
		conf_build_refuse(build, section, option, "is for %s alone; the protocol is %s",
		    protocols == OPTION_HTTP        ? "protocol http"
		    : protocols == OPTION_WEBSOCKET ? "protocol websocket"
						    : "the protocols http and websocket",
		    protocol_name(service->protocol));
	else
		conf_build_refuse(build, section, option, "is for %s alone; the handler is %s",
		    only == OPTION_PROGRAM   ? "handler program"
		    : only == OPTION_COLLECT ? "handler collect"
		    : only == OPTION_STATIC  ? "handler static"
					     : "the handlers program and collect",
		    handler_name(service->handler));
}

/* A handler has no use for another one's keys: somebody expects something. */
static void
conf_check_foreign(struct conf_build *build, unsigned section)
{
	const struct conf_service *service = conf_check_service(build, section);

	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);

		if (option->scope == OPTION_SERVICE &&
		    !option_is_for(option, service->protocol, service->handler) &&
		    conf_is_given(build->conf, section, option->key))
			conf_check_refuse_foreign(build, section, option);
	}
}

/* The line itself: a pair of quotes around it is for what could not be written otherwise. */
static void
conf_check_reply_end(struct conf_build *build, unsigned section)
{
	const struct option *option = option_find(OPTION_SERVICE, "reply_end");
	struct conf_service *service = conf_check_service(build, section);
	const char *text = service->reply_end_text;
	size_t length;

	if (!conf_is_good(build->conf, section, "reply_end"))
		return;
	length = strlen(text);
	if (length >= 2 && (*text == '\'' || *text == '"') && text[length - 1] == *text)
		service->reply_end = mem_strndup(text + 1, length - 2);
	else
		service->reply_end = mem_strdup(text);
	if (conf_is_good(build->conf, section, "framing") && service->framing != CODEC_LINE)
		conf_build_refuse(build, section, option,
		    "is for framing line alone; a frame can hold many lines as it is");
}

/* A reply that has begun to go out cannot be given a status or fields any more. */
static void
conf_check_stream(struct conf_build *build, unsigned section)
{
	const struct option *option = option_find(OPTION_SERVICE, "stream");
	const struct conf_service *service = conf_check_service(build, section);

	if (!service->stream || !option_is_for(option, service->protocol, service->handler))
		return;
	if (!conf_is_given(build->conf, section, "reply_end"))
		conf_build_refuse(build, section, option,
		    "needs reply_end: how else would it be known where a reply ends");
	else if (service->message == MESSAGE_JSON)
		conf_build_refuse(build, section, option, "is for message raw alone");
}

static void
conf_check_program(struct conf_build *build, unsigned section)
{
	const struct option *command = option_find(OPTION_SERVICE, "command");

	if (!conf_origin(build->conf, section, command)->set)
		conf_build_error(build, build->section_lines[section], section, NULL,
		    build->file == NULL
			? "handler program needs a command: hostlerd run ... -- COMMAND"
			: "command is missing; handler program needs it");
	conf_check_reply_end(build, section);
	conf_check_stream(build, section);
	conf_program(build, section);
	conf_user(build, section);
}

/* A stream is no requests: how many there are depends on how it comes. */
static void
conf_check_rate(struct conf_build *build, unsigned section)
{
	const struct conf_service *service = conf_check_service(build, section);

	if (service->rate > 0 && conf_is_good(build->conf, section, "protocol") &&
	    service->protocol == PROTOCOL_STREAM)
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "rate"),
		    "is not for protocol stream, which has no requests");
}

static void
conf_check_ids(struct conf_build *build, unsigned section)
{
	const struct conf_service *service = conf_check_service(build, section);

	if (service->ids && conf_is_good(build->conf, section, "protocol") &&
	    service->protocol != PROTOCOL_FRAME)
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "ids"),
		    "is for protocol frame alone; the protocol is %s",
		    protocol_name(service->protocol));
}

/* Whether a browser would ever send it as Origin. */
static bool
conf_check_is_origin(const char *word, size_t length)
{
	const char *host = memmem(word, length, "://", 3);

	return host != NULL && host > word && host + 3 < word + length &&
	       memchr(host + 3, '/', (size_t)(word + length - host - 3)) == NULL;
}

static void
conf_check_origins(struct conf_build *build, unsigned section, const char *key, const char *text)
{
	size_t length;

	if (text == NULL || !conf_is_good(build->conf, section, key) || strcmp(text, "*") == 0)
		return;
	for (; (text = conf_word_next(text, &length)) != NULL; text += length)
		if (!conf_check_is_origin(text, length)) {
			conf_build_refuse(build, section, option_find(OPTION_SERVICE, key),
			    "'%.*s' is no origin: expects * alone, or SCHEME://HOST[:PORT] with "
			    "nothing behind it",
			    (int)length, text);
			return;
		}
}

/* A name that no field could carry would never be agreed on. */
static void
conf_check_subprotocols(struct conf_build *build, unsigned section)
{
	const char *at = conf_check_service(build, section)->subprotocols;
	size_t length;

	if (at == NULL || !conf_is_good(build->conf, section, "subprotocols"))
		return;
	for (; (at = conf_word_next(at, &length)) != NULL; at += length)
		for (size_t i = 0; i < length; i++)
			if (at[i] <= ' ' || at[i] > '~' || strchr("\"(),/:;<=>?@[\\]{}", at[i])) {
				conf_build_refuse(build, section,
				    option_find(OPTION_SERVICE, "subprotocols"),
				    "'%.*s' is no name of a subprotocol: expects letters, digits "
				    "and - . _ + alone",
				    (int)length, at);
				return;
			}
}

/* The type and the shape of what is sent is the handler's own. */
static void
conf_check_own_shape(struct conf_build *build, unsigned section)
{
	static const char *const useless[] = {"content_type", "message"};
	const struct conf_service *service = conf_check_service(build, section);

	for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++)
		if (conf_is_given(build->conf, section, useless[i]))
			conf_build_refuse(build, section, option_find(OPTION_SERVICE, useless[i]),
			    "means nothing to handler %s", handler_name(service->handler));
}

static void
conf_check_handler(struct conf_build *build, unsigned section)
{
	struct conf_service *service = conf_check_service(build, section);

	if (!conf_is_good(build->conf, section, "handler"))
		return;
	conf_check_foreign(build, section);
	conf_check_origins(build, section, "cors_origins", service->cors_origins);
	conf_check_origins(build, section, "origins", service->origins);
	conf_check_subprotocols(build, section);
	if (service->handler == HANDLER_PROGRAM)
		conf_check_program(build, section);
	else
		service->instances_min = service->instances = 0;
	if (service->handler == HANDLER_COLLECT)
		conf_collect(build, section);
	if (service->handler == HANDLER_STATIC)
		conf_static(build, section);
	if (service->handler == HANDLER_STATIC || service->handler == HANDLER_STATUS)
		conf_check_own_shape(build, section);
}

/* ---- what a request says of the service that it is for ---- */

static void
conf_check_prefix(struct conf_build *build, unsigned section)
{
	const char *path = conf_check_service(build, section)->path;

	if (!conf_is_good(build->conf, section, "path"))
		return;
	if (*path != '/' || strpbrk(path, "?#% \t") != NULL)
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "path"),
		    "'%s' is no path: expects one that begins with /, as it reads when decoded, "
		    "without ? # %% and blanks",
		    path);
}

/* A name, or an address in brackets; a port is none of its business. */
static bool
conf_check_is_host(const char *word, size_t length)
{
	if (length > 2 && word[0] == '[' && word[length - 1] == ']')
		return true;
	if (length > 2 && word[0] == '*' && word[1] == '.') {
		word += 2;
		length -= 2;
	}
	for (size_t i = 0; i < length; i++)
		if (strchr("/:*[]@?#%", word[i]) != NULL)
			return false;
	return true;
}

static void
conf_check_hosts(struct conf_build *build, unsigned section)
{
	const char *at = conf_check_service(build, section)->host;
	size_t length;

	if (at == NULL || !conf_is_good(build->conf, section, "host"))
		return;
	for (; (at = conf_word_next(at, &length)) != NULL; at += length)
		if (!conf_check_is_host(at, length)) {
			conf_build_refuse(build, section, option_find(OPTION_SERVICE, "host"),
			    "'%.*s' is no host: expects names without scheme and port", (int)length,
			    at);
			return;
		}
}

/* ---- addresses ---- */

static bool
conf_check_same(const struct addr *a, const struct addr *b)
{
	return addr_equal(a, b) && (addr_is_unix(a) || addr_port(a) != 0);
}

static void
conf_check_tell_taken(struct conf_build *build, unsigned section, unsigned other,
    const struct addr *addr, const struct addr *taken)
{
	const struct option *option = option_find(OPTION_SERVICE, "listen");
	const char *name = conf_check_service(build, other)->name;
	unsigned line = conf_origin(build->conf, other, option)->line;
	char text[ADDR_TEXT_MAX], other_text[ADDR_TEXT_MAX];

	addr_format(addr, text);
	addr_format(taken, other_text);
	if (!addr_equal(addr, taken))
		conf_build_refuse(build, section, option,
		    "%s and %s of [service %s] in line %u collide: one of them is every address at "
		    "that port",
		    text, other_text, name, line);
	else if (other == section)
		conf_build_refuse(build, section, option, "%s is there twice", text);
	else if (protocol_is_http(conf_check_service(build, section)->protocol) &&
		 protocol_is_http(conf_check_service(build, other)->protocol))
		conf_build_refuse(build, section, option,
		    "%s is taken by [service %s] in line %u, and nothing tells the two apart: give "
		    "them another path or host",
		    text, name, line);
	else
		conf_build_refuse(build, section, option, "%s is taken by [service %s] in line %u",
		    text, name, line);
}

/* A request tells which of the two it is for. */
static bool
conf_check_shares(const struct conf_service *own, const struct conf_service *other)
{
	return own != other && own->path != NULL && other->path != NULL &&
	       conf_is_apart(own, other);
}

/* Whether a service up to this one has the address already; tells it. */
static bool
conf_check_taken(struct conf_build *build, unsigned section, const struct addr *addr)
{
	const struct conf_service *own = conf_check_service(build, section);

	for (unsigned other = 1; other <= section; other++) {
		const struct conf_service *service = conf_check_service(build, other);

		for (unsigned i = 0; i < service->listens; i++) {
			if (!conf_check_same(&service->listen[i], addr) &&
			    !addr_collides(&service->listen[i], addr))
				continue;
			if (addr_equal(&service->listen[i], addr) &&
			    conf_check_shares(own, service))
				continue;
			conf_check_tell_taken(build, section, other, addr, &service->listen[i]);
			return true;
		}
	}
	return false;
}

/* One address more of the service. False when nothing more is worth telling. */
static bool
conf_check_address(struct conf_build *build, unsigned section, const char *word)
{
	const struct option *option = option_find(OPTION_SERVICE, "listen");
	struct conf_service *service = conf_check_service(build, section);
	char why[CONF_WHY_MAX];
	struct addr addr;

	if (service->listens == CONF_LISTEN_MAX) {
		conf_build_refuse(
		    build, section, option, "there are more than %d addresses", CONF_LISTEN_MAX);
		return false;
	}
	if (!addr_parse(&addr, word, why, sizeof(why))) {
		conf_build_refuse(build, section, option, "%s", why);
		return true;
	}
	if (conf_check_taken(build, section, &addr))
		return true;
	service->listen =
	    mem_resize(service->listen, service->listens + 1, sizeof(*service->listen));
	service->listen[service->listens++] = addr;
	return true;
}

static void
conf_check_listen(struct conf_build *build, unsigned section)
{
	static const char between[] = ", \t\r\v\f";
	struct conf_service *service = conf_check_service(build, section);
	bool more = true;
	const char *at;

	if (!conf_is_good(build->conf, section, "listen"))
		return;
	at = service->listen_text + strspn(service->listen_text, between);
	while (*at != '\0' && more) {
		size_t length = strcspn(at, between);
		char *word = mem_strndup(at, length);

		more = conf_check_address(build, section, word);
		free(word);
		at += length;
		at += strspn(at, between);
	}
	if (service->listens == 0 && conf_is_good(build->conf, section, "listen"))
		conf_build_refuse(build, section, option_find(OPTION_SERVICE, "listen"),
		    "names no address; for example 127.0.0.1:10001");
}

/* ---- [hostler] ---- */

/* Makes a path absolute, but for the word that is none; a socket's must also fit its address. */
static void
conf_check_path(struct conf_build *build, unsigned section, const char *key, const char *word,
    char **path, size_t most)
{
	const struct option *option = option_find(conf_scope(section), key);
	char *whole;

	if (*path == NULL || (word != NULL && strcmp(*path, word) == 0))
		return;
	whole = conf_program_path(build->base, *path);
	free(*path);
	*path = whole;
	if (strlen(whole) > most)
		conf_build_refuse(build, section, option,
		    "%.64s...: the path is longer than %zu bytes", whole, most);
}

static void
conf_check_hostler(struct conf_build *build)
{
	struct conf *conf = build->conf;

	conf_check_path(build, CONF_HOSTLER, "control", NULL, &conf->control,
	    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	conf_check_path(
	    build, CONF_HOSTLER, "pid_file", NULL, &conf->pid_file, CONF_CHECK_PATH_MAX);
	conf_check_path(
	    build, CONF_HOSTLER, "log", CONF_LOG_STDERR, &conf->log, CONF_CHECK_PATH_MAX);
	conf_user(build, CONF_HOSTLER);
	if (conf->service_count == 0 && !build->has_refused)
		conf_build_error(build, CONF_NO_LINE, CONF_NO_SECTION, NULL,
		    "there is no service; a section [service NAME] with listen, protocol and "
		    "handler makes one");
}

void
conf_check(struct conf_build *build)
{
	if (build->base == NULL || conf_build_is_full(build))
		return;
	conf_check_hostler(build);
	for (unsigned section = 1; section <= build->conf->service_count; section++) {
		conf_check_missing(build, section);
		conf_check_prefix(build, section);
		conf_check_hosts(build, section);
		conf_check_listen(build, section);
		conf_check_path(build, section, "access_log", CONF_ACCESS_OFF,
		    &conf_check_service(build, section)->access_log, CONF_CHECK_PATH_MAX);
		conf_check_handler(build, section);
		conf_check_pair(build, section);
		conf_check_rate(build, section);
		conf_check_ids(build, section);
	}
}
