/*
 * A configuration while it is put together: shared by the files conf_*.c, used by nobody else.
 *
 * Sections are numbered: 0 is [hostler], 1 + i is service i. Every value knows where it came from.
 */
#ifndef COMMON_CONF_BUILD_H
#define COMMON_CONF_BUILD_H

#include "common/conf.h"
#include "common/option.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CONF_HOSTLER         0u
#define CONF_NO_SECTION      (~0u)
#define CONF_NO_LINE         (~0u) /* an error of the whole; told last */
#define CONF_VALUE_MAX       65536 /* bytes of a value */
#define CONF_LINE_MAX        (CONF_VALUE_MAX + 256)
#define CONF_FILE_MAX        (16 << 20) /* bytes of a file */
#define CONF_NAME_MAX        48         /* bytes of a service's name */
#define CONF_ERRORS_MAX      100        /* told; then reading stops */
#define CONF_LISTEN_MAX      64         /* addresses of one service */
#define CONF_ENVIRONMENT_MAX 1024
#define CONF_WHY_MAX         512 /* bytes of a sentence */

#define CONF_PATH       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define CONF_RUN_LISTEN "127.0.0.1:10001"

/* Where a value came from: one for each section and option, by conf_origin(). */
struct conf_origin {
	unsigned line;  /* in the file; for `run` 1; 0: a default */
	bool set;       /* there is a value, given or default */
	bool automatic; /* the value is `auto`, the number was worked out */
	bool bad;       /* given, but refused */
};

struct conf_build {
	struct conf *conf;                         /* owns */
	struct conf_errors *errors;                /* borrows */
	unsigned error_lines[CONF_ERRORS_MAX + 1]; /* of each error, to keep them in order */
	const char *file; /* borrows; as the caller wrote it; NULL for `run` */
	char *base;       /* owns; the absolute folder of relative paths */
	unsigned section_lines[1 + CONF_SERVICES_MAX]; /* of the headers; 0: none */
	bool has_refused;                              /* a section's header was wrong */
};

/*
 * Starts a configuration with the defaults of [hostler]. Returns false with an error told when
 * the current directory, which relative paths need, is not known.
 */
bool conf_build_start(struct conf_build *build, const char *file, const char *control_default,
    struct conf_errors *errors);
/* The same without either: relative paths belong nowhere then. */
void conf_build_empty(struct conf_build *build, const char *file, struct conf_errors *errors);
/* Ends it: the configuration if nothing was wrong, else NULL. Frees the rest. */
struct conf *conf_build_end(struct conf_build *build);
/* One service more, with the defaults; returns its section. At most CONF_SERVICES_MAX. */
unsigned conf_build_service(struct conf_build *build, const char *name, unsigned line);
/*
 * Reads the value of a key, tells what is wrong with it, and keeps it. `line` 0 makes it a default.
 */
void conf_build_set(struct conf_build *build, unsigned section, const struct option *option,
    const char *text, unsigned line);

/*
 * Tells an error: "FILE:LINE: [service upper] key: sentence", for `run` "--key: sentence". `key`
 * may be NULL, `section` CONF_NO_SECTION, `line` CONF_NO_LINE.
 */
void conf_build_error(struct conf_build *build, unsigned line, unsigned section, const char *key,
    const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same for the value of an option: the line is known. */
void conf_build_refuse(struct conf_build *build, unsigned section, const struct option *option,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* More errors than are told: going on makes no sense. */
bool conf_build_is_full(const struct conf_build *build);

struct conf_origin *conf_origin(
    const struct conf *conf, unsigned section, const struct option *option);
/* Where the value of an option stands. */
void *conf_value(const struct conf *conf, unsigned section, const struct option *option);
static inline enum option_scope
conf_scope(unsigned section)
{
	return section == CONF_HOSTLER ? OPTION_HOSTLER : OPTION_SERVICE;
}

/* Whether the option was given (not a default), and whether it was and is usable. */
bool conf_is_given(const struct conf *conf, unsigned section, const char *key);
bool conf_is_good(const struct conf *conf, unsigned section, const char *key);

/* conf_read.c: reads all of a file into the configuration. False when its end was not reached. */
bool conf_read(struct conf_build *build, FILE *file);
/* conf_check.c: what one key alone cannot tell: what is missing, what does not go together. */
void conf_check(struct conf_build *build);
/* conf_program.c: directory, command and environment become what exec needs. */
void conf_program(struct conf_build *build, unsigned section);
/* conf_collect.c: the file to collect in, and when a record may be acknowledged. */
void conf_collect(struct conf_build *build, unsigned section);
/* conf_static.c: the folder of the files, and what has no use where files are served. */
void conf_static(struct conf_build *build, unsigned section);
/* conf_files.c: a number that changes with the program's files. */
uint64_t conf_files(const struct conf_service *service);
/* conf_user.c: the names of user and group become ids. */
void conf_user(struct conf_build *build, unsigned section);
/* Joins a relative path to the folder; the caller frees it. */
char *conf_program_path(const char *folder, const char *path);

#endif
