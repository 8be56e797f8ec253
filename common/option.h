/*
 * The table of all options: one row for each key. Parsing, defaults, ranges, `-t`, `-T`, the
 * options of `hostlerd run`, hostler.conf(5) and the sample file all come from it.
 */
#ifndef COMMON_OPTION_H
#define COMMON_OPTION_H

#include "common/kinds.h"
#include "common/unit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_scope { OPTION_HOSTLER, OPTION_SERVICE };

/* What stands at `offset`. */
enum option_type {
	OPTION_UNSIGNED, /* unsigned */
	OPTION_AUTO,     /* unsigned; `auto` is the number of CPUs, but see OPTION_SELF */
	OPTION_RANGE,    /* two unsigned, the least and the most; N, MIN..MAX or `auto` */
	OPTION_WIDE,     /* uint64_t */
	OPTION_RLIMIT,   /* struct conf_rlimit */
	OPTION_CHOICE,   /* an enum or unsigned: the place in `choices` */
	OPTION_TEXT      /* char *, as written */
};

/* Bits of `flags`. */
#define OPTION_REQUIRED 1u  /* a service in a file must have it */
#define OPTION_PROGRAM  2u  /* makes sense with handler = program alone */
#define OPTION_SHAPES   4u  /* shapes the pool: another value means a new pool */
#define OPTION_LIMIT    8u  /* a limit: another value needs no new pool */
#define OPTION_RESTART  16u /* a running daemon keeps its value: another one needs a restart */
#define OPTION_SELF     32u /* OPTION_AUTO: auto is no number but a manner; kept as 0 */
#define OPTION_COLLECT  64u /* makes sense with handler = collect alone; or with both of them */

/* Make sense with protocol = http, or websocket, alone; or with both of them. */
#define OPTION_HTTP      128u
#define OPTION_WEBSOCKET 256u
#define OPTION_STATIC    512u /* makes sense with handler = static alone */

#define OPTION_WORKERS_MAX UINT64_MAX /* as `max`: see option_max() */

struct option {
	enum option_scope scope;
	const char *key;
	enum option_type type;
	enum unit unit;       /* of numbers */
	size_t offset;        /* in struct conf or struct conf_service */
	const char *fallback; /* the default as text; NULL: none */
	uint64_t min, max;
	unsigned flags;
	const char *const *choices;            /* of OPTION_CHOICE; NULL-terminated */
	const char *(*lacks)(unsigned choice); /* see option_lacks(); NULL: never anything */
	const char *example;                   /* a value, where there is no default */
	const char *otherwise; /* what holds without a value, where there is no default */
	const char *help;      /* one sentence or two */
};

unsigned option_count(void);
const struct option *option_at(unsigned index);
unsigned option_index(const struct option *option);
/* The row of a key, or NULL. */
const struct option *option_find(enum option_scope scope, const char *key);
/* The key of the scope that is meant by a word of other servers, or by a slip; NULL: none is near.
 */
const char *option_suggest(enum option_scope scope, const char *key);
/* Whether `text` is near enough to `word` to be a slip of it; case and - _ do not count. */
bool option_is_near(const char *text, const char *word);
/* As option_suggest(), among the choices of an option that this build has. */
const char *option_suggest_choice(const struct option *option, const char *text);
/* The largest number on this machine: for `workers` it depends on the CPUs. */
uint64_t option_max(const struct option *option);
/* Whether the option means anything to services with this handler. */
bool option_is_for(
    const struct option *option, enum protocol_kind protocol, enum handler_kind handler);
/* What this build lacks for a choice of OPTION_CHOICE, a word for people; NULL: nothing. */
const char *option_lacks(const struct option *option, unsigned choice);
/* CPUs that are online, at least 1. */
unsigned option_cpus(void);

#define OPTION_EXPECTS_MAX 192 /* bytes of option_expects() with its NUL */
/* "expects a duration with a unit, such as 30s (1ms to 365d)". Returns `text`. */
const char *option_expects(const struct option *option, char text[OPTION_EXPECTS_MAX]);

#endif
