/*
 * The configuration: one immutable struct, built whole or not at all.
 *
 * conf_load() and conf_run() never touch a global; every error is collected with file, line and a
 * suggestion, so that all of them are told at once. The option table in option.c drives parsing,
 * defaults, ranges, -T and the manual page.
 */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include "common/addr.h"
#include "common/backend.h"
#include "common/codec.h"
#include "common/kinds.h"
#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#define CONF_SERVICES_MAX  256
#define CONF_INSTANCES_MAX 1024 /* of one service */
#define CONF_QUEUE_MAX     1000000
/* concurrency = auto, and how many messages may be in an instance with it */
#define CONF_CONCURRENCY_AUTO     0
#define CONF_CONCURRENCY_AUTO_MAX 32
#define CONF_WORKERS_AUTO         0
#define CONF_LOG_STDERR           "stderr"    /* as [hostler] log: no file */
#define CONF_ACCESS_OFF           "off"       /* as access_log */
#define CONF_NO_ID                ((uid_t)-1) /* no user or group was named */

struct option; /* common/option.h */

enum on_cancel { ON_CANCEL_FINISH, ON_CANCEL_KILL };
enum ack { ACK_NONE, ACK_WRITTEN, ACK_SYNCED };
enum ready { READY_START, READY_LINE };
enum message { MESSAGE_RAW, MESSAGE_JSON };

/* A resource limit for instances; `set` is false where the option was not given. */
struct conf_rlimit {
	bool set;
	uint64_t value;
};

enum conf_rlimit_kind {
	CONF_LIMIT_NOFILE,
	CONF_LIMIT_NPROC,
	CONF_LIMIT_AS,
	CONF_LIMIT_CPU,
	CONF_LIMIT_FSIZE,
	CONF_LIMIT_CORE,
	CONF_LIMIT_STACK,
	CONF_LIMIT_COUNT
};

/* All durations are nanoseconds, all sizes bytes. */
struct conf_service {
	char *name;          /* owns */
	char *origin;        /* owns; "file:line" of the section, for messages */
	char *listen_text;   /* owns; as written */
	struct addr *listen; /* owns; addresses in the order they were written */
	unsigned listens;
	unsigned backlog;
	enum protocol_kind protocol;
	unsigned ids; /* protocol = frame: 1 for yes */

	/* protocol = http */
	char *path;                    /* owns; the prefix of the requests that are for it */
	char *host;                    /* owns; as written; NULL for every host */
	char *content_type;            /* owns; of replies */
	unsigned server_field;         /* 1: replies say who made them */
	uint64_t max_target, max_head; /* bytes of a request */
	enum message message;
	char *cors_origins; /* owns; as written; NULL for none */

	/* protocol = websocket */
	char *origins;          /* owns; as written; NULL: of the same host */
	char *subprotocols;     /* owns; as written; NULL for none */
	unsigned deflate;       /* 1: messages may be packed */
	uint64_t ping_interval; /* 0: never */

	enum handler_kind handler;

	/* handler = program */
	char *command;      /* owns; as written */
	char **argv;        /* owns; NULL-terminated; argv[0] as written */
	char *executable;   /* owns; absolute path of what is executed */
	uint64_t files;     /* tells whether the program's files are still the same */
	char *directory;    /* owns; absolute */
	char *environment;  /* owns; as written: NAME=VALUE words; NULL for none */
	char **env;         /* owns; NULL-terminated NAME=VALUE words of `environment` */
	char *user, *group; /* owns; NULL where not given */
	uid_t uid;          /* of instances; CONF_NO_ID: the caller's */
	gid_t gid;
	struct conf_rlimit limits[CONF_LIMIT_COUNT];
	unsigned discipline; /* 0 = strict, the only one so far */
	enum codec framing;
	unsigned stream;        /* 1: what the program says goes out line by line */
	char *reply_end_text;   /* owns; as written */
	char *reply_end;        /* owns; without quotes; NULL where a reply is one message */
	unsigned instances_min; /* resolved: never 0 for a program */
	unsigned instances;     /* at most so many; right behind instances_min */
	uint64_t instance_idle;
	unsigned concurrency; /* CONF_CONCURRENCY_AUTO, or messages in an instance at most */
	unsigned start_rate;  /* instances a second */
	enum ready ready;
	uint64_t start_timeout;
	unsigned skip_lines;
	unsigned max_requests;        /* of one incarnation; 0 for no limit, as the next two */
	uint64_t max_age, max_memory; /* of an instance */
	uint64_t stop_timeout;
	enum on_cancel on_cancel;

	/* handler = collect */
	char *file; /* owns; absolute */
	enum ack ack;
	uint64_t rotate_size; /* bytes; 0: never */

	/* handler = static */
	char *root;  /* owns; absolute */
	char *index; /* owns; the name of a file */

	/* limits; they are totals of the whole daemon */
	unsigned queue;
	uint64_t queue_timeout, request_timeout;
	uint64_t idle_timeout, message_timeout, write_timeout;
	unsigned pipeline;
	uint64_t max_message, high_water;
	unsigned max_connections;
	unsigned max_connections_per_address; /* 0: as many as there may be at all */
	unsigned rate;                        /* requests a second of one address; 0: any */
	char *access_log; /* owns; absolute, or CONF_ACCESS_OFF; see conf_access_path() */
};

struct conf {
	char *file;         /* owns; NULL for `run` */
	unsigned workers;   /* resolved: never 0 */
	char *user, *group; /* owns; NULL where not given */
	uid_t uid;
	gid_t gid;
	char *control;  /* owns; path of the control socket */
	char *pid_file; /* owns; NULL for none */
	char *log;      /* owns; absolute, or CONF_LOG_STDERR; see conf_log_path() */
	enum log_format log_format;
	enum log_level log_level;
	enum backend event_backend;
	unsigned max_connections;
	uint64_t shutdown_timeout, drain_timeout, worker_timeout;
	unsigned rebalance, rebalance_rate; /* 1 for yes; connections a second */
	uint64_t spin;                      /* of a worker before it sleeps */

	struct conf_service *services; /* owns */
	unsigned service_count;

	struct conf_origin *origins; /* owns; where each value came from, for conf_dump() */
};

/* Everything that is wrong, a sentence each: "FILE:LINE: message". */
struct conf_errors {
	char **lines; /* owns */
	unsigned count;
};

/*
 * Reads a file. `control_default` is the control socket where the file names none. Returns NULL and
 * at least one error when anything at all is wrong; the caller frees both with the functions below.
 * `errors` need not be initialised. As root, a file that others may write to is refused.
 */
struct conf *conf_load(const char *path, const char *control_default, struct conf_errors *errors);
/* The same, but only from a regular file: never waits for somebody to write it. */
struct conf *conf_load_again(
    const char *path, const char *control_default, struct conf_errors *errors);

/*
 * The same from an open stream; `name` stands for it in messages, and its folder is where relative
 * paths belong. Does not look at who may write to the file.
 */
struct conf *conf_parse_stream(
    FILE *file, const char *name, const char *control_default, struct conf_errors *errors);

/*
 * `hostlerd run --KEY VALUE ... -- COMMAND`: one service named "run" without a file. `argc` and
 * `argv` are what follows the word `run`. Without a command and a handler it is the demo: the
 * program `demo` (absolute path; upper-cases lines) on 127.0.0.1:10001. A command alone means
 * protocol line, handler program and, without --listen, 127.0.0.1:10001. Errors name the option.
 */
struct conf *conf_run(int argc, char **argv, const char *demo, const char *control_default,
    struct conf_errors *errors);

/* Paths of files for lines; NULL where there is none: standard error, and no access log. */
const char *conf_log_path(const struct conf *conf);
const char *conf_access_path(const struct conf_service *service);

/* Writes every value in the file's own syntax, behind a comment line that tells its origin. */
void conf_dump(const struct conf *conf, FILE *out);
/* One value of a configuration; all is borrowed for the call. */
struct conf_setting {
	const char *section; /* as in the file: "hostler", "service NAME" */
	const char *key;
	const char *value;  /* NULL where none was given and there is no default */
	const char *origin; /* as in conf_dump(); of no value what holds without one */
};

/* Calls `on_setting` for every value that conf_dump() writes, in its order. */
void conf_each(const struct conf *conf,
    void (*on_setting)(void *arg, const struct conf_setting *setting), void *arg);
/* Writes the option list of hostler.conf(5) as mdoc. */
void conf_print_manual(FILE *out);
/* Writes the options of `hostlerd run`, a line each. */
void conf_print_options(FILE *out);
/* Writes a sample file: every option, commented out with its default. */
void conf_print_sample(FILE *out);
/*
 * Services behind HTTP may share an address where a request tells which one it is for: by path,
 * host or protocol. The front is the first that has it; the service itself where nobody is before.
 */
bool conf_is_apart(const struct conf_service *a, const struct conf_service *b);
unsigned conf_front(const struct conf *conf, unsigned service, unsigned listen);
/* The next word of a list with blanks or commas between: hosts, origins, names; NULL at its end. */
const char *conf_word_next(const char *list, size_t *length);
/* Whether the word, case ignored, is one of them. */
bool conf_word_is_in(const char *list, const char *word, size_t length);
/* Where a key of a section stands: "FILE:LINE: [service upper] key"; the caller frees it. */
char *conf_where(const struct conf *conf, unsigned section, const char *key);
/*
 * The value of a key as it would be written; NULL where there is none. The caller frees it. Section
 * 0 is [hostler], 1 + i is service i.
 */
char *conf_value_text(const struct conf *conf, unsigned section, const struct option *option);
/* One error more; takes the text over. */
void conf_errors_add(struct conf_errors *errors, char *line);
void conf_errors_print(const struct conf_errors *errors, FILE *out);
void conf_errors_free(struct conf_errors *errors);
void conf_free(struct conf *conf);

#endif
