/*
 * How a line of the log looks, as text and as JSON (RFC 8259, one object a line). Pure but for the
 * clock. Shared by the files log*.c; the access log takes its times from here too.
 */
#ifndef COMMON_LOG_FORMAT_H
#define COMMON_LOG_FORMAT_H

#include "common/escape.h"
#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>

#define LOG_FORMAT_TEXT_MAX 16384 /* bytes of one text, before bytes are escaped */
#define LOG_FORMAT_NAME_MAX 256   /* bytes of a role or a service */
#define LOG_FORMAT_LINE_MAX (ESCAPE_JSON_MOST * (LOG_FORMAT_TEXT_MAX + LOG_FORMAT_NAME_MAX) + 256)
#define LOG_FORMAT_TIME_MAX 64 /* bytes of a time with its NUL */

struct log_event {
	enum log_level level;
	bool from_program;
	const char *source; /* borrows; the role, or the service of a program */
	long pid;           /* of this process, or of the program */
	const char *text;   /* borrows */
	size_t length;
};

/*
 * The time now, to the millisecond: "2026-11-22 00:05:37.123" of this place as text,
 * "2026-11-21T23:05:37.123Z" (RFC 3339) for JSON. Returns the length.
 */
size_t log_format_time(char text[LOG_FORMAT_TIME_MAX], enum log_format format);
/*
 * One whole line with its LF. For the journal "<N>" with the priority of syslog(3) stands before
 * it, as text in place of time and level. A text that is too long is cut, which "..." tells.
 * Returns the length.
 */
size_t log_format_line(char line[LOG_FORMAT_LINE_MAX], enum log_format format, bool journal,
    const struct log_event *event);

#endif
