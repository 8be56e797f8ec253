/*
 * Writes down every value of the option table with its origin, and beside them what was worked out
 * from them when they were read. Owns nothing; never looks outside.
 */
#include "common/conf_save.h"

#include "common/conf_build.h"
#include "common/mem.h"
#include "common/record.h"
#include "common/words.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define CONF_SAVE_WORDS   65536
#define CONF_SAVE_WORKERS 1024 /* more there never are, however many CPUs */

static const struct record_field conf_save_hostler[] = {
    RECORD_FIELD(struct conf, file, STRING, 0),
    RECORD_FIELD(struct conf, uid, NUMBER, 0),
    RECORD_FIELD(struct conf, gid, NUMBER, 0),
    RECORD_END,
};

static const struct record_field conf_save_service_fields[] = {
    RECORD_FIELD(struct conf_service, origin, STRING, 0),
    RECORD_FIELD(struct conf_service, executable, STRING, 0),
    RECORD_FIELD(struct conf_service, files, NUMBER, 0),
    RECORD_FIELD(struct conf_service, uid, NUMBER, 0),
    RECORD_FIELD(struct conf_service, gid, NUMBER, 0),
    RECORD_FIELD(struct conf_service, reply_end, STRING, 0),
    RECORD_END,
};

/* ---- writing ---- */

static json_t *
conf_save_value(const struct conf *conf, unsigned section, const struct option *option)
{
	const void *value = conf_value(conf, section, option);
	const unsigned *number = value;

	switch (option->type) {
	case OPTION_TEXT:
		return record_text(*(char *const *)value);
	case OPTION_CHOICE: /* by its word: numbers may mean something else to others */
		return record_text(option->choices[*number]);
	case OPTION_WIDE:
		return json_integer((json_int_t) * (const uint64_t *)value);
	case OPTION_RLIMIT:
		return json_integer((json_int_t)((const struct conf_rlimit *)value)->value);
	case OPTION_RANGE:
		return json_pack("[I, I]", (json_int_t)number[0], (json_int_t)number[1]);
	case OPTION_AUTO:
	case OPTION_UNSIGNED:
		break;
	}
	return json_integer(*number);
}

/* {"KEY": [value, line, automatic], ...} of those that have a value. */
static json_t *
conf_save_options(const struct conf *conf, unsigned section)
{
	json_t *options = json_object();

	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const struct conf_origin *origin;

		if (option->scope != conf_scope(section))
			continue;
		origin = conf_origin(conf, section, option);
		if (origin->set)
			json_object_set_new(options, option->key,
			    json_pack("[o, I, b]", conf_save_value(conf, section, option),
				(json_int_t)origin->line, origin->automatic));
	}
	return options;
}

static json_t *
conf_save_words(char *const *words)
{
	json_t *list = json_array();

	for (; *words != NULL; words++)
		json_array_append_new(list, record_text(*words));
	return list;
}

static json_t *
conf_save_service(const struct conf *conf, unsigned section)
{
	const struct conf_service *service = &conf->services[section - 1];
	json_t *saved = json_object(), *listen = json_array();

	json_object_set_new(saved, "name", record_text(service->name));
	record_put(saved, conf_save_service_fields, service);
	json_object_set_new(saved, "options", conf_save_options(conf, section));
	for (unsigned i = 0; i < service->listens; i++)
		json_array_append_new(
		    listen, record_bytes((const char *)&service->listen[i].storage,
				service->listen[i].length));
	json_object_set_new(saved, "listen", listen);
	if (service->argv != NULL)
		json_object_set_new(saved, "argv", conf_save_words(service->argv));
	if (service->env != NULL)
		json_object_set_new(saved, "env", conf_save_words(service->env));
	return saved;
}

json_t *
conf_save(const struct conf *conf)
{
	json_t *saved = json_object(), *services = json_array();

	record_put(saved, conf_save_hostler, conf);
	json_object_set_new(saved, "options", conf_save_options(conf, CONF_HOSTLER));
	for (unsigned i = 1; i <= conf->service_count; i++)
		json_array_append_new(services, conf_save_service(conf, i));
	json_object_set_new(saved, "services", services);
	return saved;
}

/* ---- reading ---- */

/* 0 is what `auto` may be kept as, and what a handler without instances has. */
static bool
conf_restore_number(const struct option *option, const json_t *value, uint64_t *number)
{
	uint64_t most = option->max == OPTION_WORKERS_MAX ? CONF_SAVE_WORKERS : option_max(option);

	*number = (uint64_t)json_integer_value(value);
	if (!json_is_integer(value) || *number > most)
		return false;
	return *number >= option->min ||
	       (*number == 0 && (option->type == OPTION_AUTO || option->type == OPTION_RANGE));
}

static bool
conf_restore_choice(const struct option *option, const json_t *value, unsigned *to)
{
	const char *word = json_string_value(value);

	for (unsigned i = 0; word != NULL && option->choices[i] != NULL; i++) {
		if (strcmp(option->choices[i], word) != 0)
			continue;
		memcpy(to, &i, sizeof(i));
		return option_lacks(option, i) == NULL;
	}
	return false;
}

static bool
conf_restore_text(const json_t *value, char **to)
{
	char *text = record_read_text(value);

	if (text == NULL)
		return false;
	free(*to);
	*to = text;
	return true;
}

static bool
conf_restore_range(const struct option *option, const json_t *value, unsigned *to)
{
	uint64_t least, most;

	if (!conf_restore_number(option, json_array_get(value, 0), &least) ||
	    !conf_restore_number(option, json_array_get(value, 1), &most) || least > most)
		return false;
	to[0] = (unsigned)least;
	to[1] = (unsigned)most;
	return true;
}

static bool
conf_restore_value(const struct option *option, const json_t *value, void *to)
{
	uint64_t number;

	switch (option->type) {
	case OPTION_TEXT:
		return conf_restore_text(value, to);
	case OPTION_CHOICE:
		return conf_restore_choice(option, value, to);
	case OPTION_RANGE:
		return conf_restore_range(option, value, to);
	default:
		break;
	}
	if (!conf_restore_number(option, value, &number))
		return false;
	if (option->type == OPTION_WIDE)
		*(uint64_t *)to = number;
	else if (option->type == OPTION_RLIMIT)
		*(struct conf_rlimit *)to = (struct conf_rlimit){true, number};
	else
		*(unsigned *)to = (unsigned)number;
	return true;
}

static bool
conf_restore_options(
    struct record_reader *reader, const struct conf *conf, unsigned section, const json_t *options)
{
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		struct conf_origin *origin = conf_origin(conf, section, option);
		const json_t *saved = json_object_get(options, option->key);
		json_int_t line = json_integer_value(json_array_get(saved, 1));

		if (option->scope != conf_scope(section) || saved == NULL)
			continue;
		if (line < 0 || line > UINT32_MAX ||
		    !conf_restore_value(
			option, json_array_get(saved, 0), conf_value(conf, section, option)))
			return record_fail(
			    reader, "%s has a value that this version does not take", option->key);
		*origin = (struct conf_origin){.line = (unsigned)line,
		    .set = true,
		    .automatic = json_is_true(json_array_get(saved, 2))};
	}
	return true;
}

static bool
conf_restore_words(struct record_reader *reader, const json_t *list, char ***words)
{
	size_t count = json_array_size(list);

	if (list == NULL)
		return true;
	if (!json_is_array(list) || count > CONF_SAVE_WORDS)
		return record_fail(reader, "argv or env is no list of words");
	*words = mem_alloc(count + 1, sizeof(char *));
	for (size_t i = 0; i < count; i++) {
		(*words)[i] = record_read_text(json_array_get(list, i));
		if ((*words)[i] == NULL)
			return record_fail(reader, "argv or env is no list of words");
	}
	return true;
}

bool
conf_restore_addr(const json_t *saved, struct addr *addr)
{
	size_t length = 0;
	char *bytes = record_read_bytes(saved, &length);
	bool good = bytes != NULL && length <= sizeof(addr->storage);

	*addr = (struct addr){.length = (socklen_t)length};
	if (good)
		memcpy(&addr->storage, bytes, length);
	free(bytes);
	switch (addr->storage.ss_family) {
	case AF_INET:
		return good && length == sizeof(struct sockaddr_in);
	case AF_INET6:
		return good && length == sizeof(struct sockaddr_in6);
	case AF_UNIX:
		return good && length > offsetof(struct sockaddr_un, sun_path) &&
		       length <= sizeof(struct sockaddr_un) &&
		       memchr(((struct sockaddr_un *)&addr->storage)->sun_path, '\0',
			   sizeof(((struct sockaddr_un *)0)->sun_path)) != NULL;
	default:
		return false;
	}
}

static bool
conf_restore_listen(struct record_reader *reader, const json_t *list, struct conf_service *service)
{
	size_t count = json_array_size(list);

	if (count < 1 || count > CONF_LISTEN_MAX)
		return record_fail(reader, "listen is no list of addresses");
	service->listen = mem_alloc(count, sizeof(*service->listen));
	service->listens = (unsigned)count;
	for (size_t i = 0; i < count; i++)
		if (!conf_restore_addr(json_array_get(list, i), &service->listen[i]))
			return record_fail(reader, "listen has what is no address");
	return true;
}

/* What the rest of the program relies on without asking. */
static bool
conf_restore_is_whole(const struct conf_service *service)
{
	if (service->listen_text == NULL || service->access_log == NULL ||
	    !kinds_go_together(service->protocol, service->handler))
		return false;
	if (service->handler == HANDLER_COLLECT && service->file == NULL)
		return false;
	if (service->handler == HANDLER_STATIC && (service->root == NULL || service->index == NULL))
		return false;
	if (service->handler != HANDLER_PROGRAM)
		return service->instances == 0;
	return service->command != NULL && service->argv != NULL && service->argv[0] != NULL &&
	       service->executable != NULL && service->directory != NULL &&
	       service->instances_min >= 1;
}

static bool
conf_restore_service(struct record_reader *reader, struct conf_build *build, const json_t *saved)
{
	char *name = record_read_text(json_object_get(saved, "name"));
	struct conf_service *service;
	unsigned section;

	if (name == NULL || *name == '\0' || strlen(name) > CONF_NAME_MAX) {
		free(name);
		return record_fail(reader, "a service has no name");
	}
	section = conf_build_service(build, name, 0);
	free(name);
	service = &build->conf->services[section - 1];
	if (!record_take(reader, saved, conf_save_service_fields, service) ||
	    !conf_restore_options(
		reader, build->conf, section, json_object_get(saved, "options")) ||
	    !conf_restore_listen(reader, json_object_get(saved, "listen"), service) ||
	    !conf_restore_words(reader, json_object_get(saved, "argv"), &service->argv) ||
	    !conf_restore_words(reader, json_object_get(saved, "env"), &service->env))
		return false;
	return conf_restore_is_whole(service) ||
	       record_fail(reader, "service %s lacks something", service->name);
}

static bool
conf_restore_all(struct record_reader *reader, struct conf_build *build, const json_t *saved)
{
	const json_t *services = json_object_get(saved, "services");
	struct conf *conf = build->conf;

	if (!record_take(reader, saved, conf_save_hostler, conf) ||
	    !conf_restore_options(reader, conf, CONF_HOSTLER, json_object_get(saved, "options")))
		return false;
	if (conf->workers < 1 || conf->control == NULL || conf->log == NULL ||
	    json_array_size(services) < 1 || json_array_size(services) > CONF_SERVICES_MAX)
		return record_fail(reader, "[hostler] lacks something");
	for (size_t i = 0; i < json_array_size(services); i++)
		if (!conf_restore_service(reader, build, json_array_get(services, i)))
			return false;
	return true;
}

struct conf *
conf_restore(const json_t *saved, char *why, size_t why_size)
{
	struct record_reader reader = {.why = why, .why_size = why_size};
	struct conf_errors errors = {0};
	struct conf_build build;
	bool good;

	conf_build_empty(&build, NULL, &errors);
	good = conf_restore_all(&reader, &build, saved) &&
	       (errors.count == 0 || record_fail(&reader, "%s", errors.lines[0]));
	conf_errors_free(&errors);
	record_reader_close(&reader);
	if (good)
		return conf_build_end(&build);
	conf_free(build.conf);
	return NULL;
}
