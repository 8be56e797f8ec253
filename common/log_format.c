/*
 * Writes lines of the log. Owns nothing but the newest second in words, because many lines are of
 * one second. Whatever comes from outside is escaped (escape.h), so one event is always one line.
 */
#include "common/log_format.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOG_FORMAT_CUT  "..." /* stands where the rest of a longer text was cut */
#define LOG_FORMAT_HEAD 128   /* bytes of time and level */

static const struct {
	const char *name;
	int priority; /* of syslog(3) */
} log_format_levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

size_t
log_format_time(char text[LOG_FORMAT_TIME_MAX], enum log_format format)
{
	static char seconds[2][LOG_FORMAT_TIME_MAX / 2];
	static time_t newest[2];
	bool json = format == LOG_FORMAT_JSON;
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &now);
	if (seconds[json][0] == '\0' || newest[json] != now.tv_sec) {
		newest[json] = now.tv_sec;
		if (json)
			gmtime_r(&now.tv_sec, &parts);
		else
			localtime_r(&now.tv_sec, &parts);
		strftime(seconds[json], sizeof(seconds[json]), json ? "%FT%T" : "%F %T", &parts);
	}
	return (size_t)snprintf(text, LOG_FORMAT_TIME_MAX, "%s.%03ld%s", seconds[json],
	    now.tv_nsec / 1000000, json ? "Z" : "");
}

/* Text or JSON: both escape the same bytes, each in its way. */
static size_t
log_format_escape(char *to, enum log_format format, const char *text, size_t length)
{
	return format == LOG_FORMAT_JSON ? escape_json(to, text, length)
					 : escape_text(to, text, length);
}

static size_t
log_format_message(char *to, enum log_format format, const struct log_event *event)
{
	bool cut = event->length > LOG_FORMAT_TEXT_MAX;
	size_t length = cut ? LOG_FORMAT_TEXT_MAX - strlen(LOG_FORMAT_CUT) : event->length;
	size_t used = log_format_escape(to, format, event->text, length);

	if (!cut)
		return used;
	memcpy(to + used, LOG_FORMAT_CUT, strlen(LOG_FORMAT_CUT));
	return used + strlen(LOG_FORMAT_CUT);
}

/* "2026-11-22 00:05:37.123 info  master: text", of a program "... info  upper/124: text". */
static size_t
log_format_text(char *line, bool journal, const struct log_event *event)
{
	size_t most = LOG_FORMAT_NAME_MAX, length = strnlen(event->source, most);
	size_t used = 0;

	if (!journal) {
		used = log_format_time(line, LOG_FORMAT_TEXT);
		used += (size_t)snprintf(
		    line + used, LOG_FORMAT_HEAD, " %-5s ", log_format_levels[event->level].name);
	}
	used += escape_text(line + used, event->source, length);
	if (event->from_program)
		used += (size_t)snprintf(line + used, LOG_FORMAT_HEAD, "/%ld", event->pid);
	if (length > 0) {
		memcpy(line + used, ": ", 2);
		used += 2;
	}
	return used + log_format_message(line + used, LOG_FORMAT_TEXT, event);
}

/* {"time":"...","level":"info","process":"master","pid":7,"message":"..."}, or with "service". */
static size_t
log_format_json(char *line, const struct log_event *event)
{
	char time[LOG_FORMAT_TIME_MAX];
	size_t used;

	log_format_time(time, LOG_FORMAT_JSON);
	used = (size_t)snprintf(line, 2 * LOG_FORMAT_HEAD,
	    "{\"time\":\"%s\",\"level\":\"%s\",\"%s\":\"", time,
	    log_format_levels[event->level].name, event->from_program ? "service" : "process");
	used +=
	    escape_json(line + used, event->source, strnlen(event->source, LOG_FORMAT_NAME_MAX));
	used += (size_t)snprintf(
	    line + used, LOG_FORMAT_HEAD, "\",\"pid\":%ld,\"message\":\"", event->pid);
	used += log_format_message(line + used, LOG_FORMAT_JSON, event);
	memcpy(line + used, "\"}", 2);
	return used + 2;
}

size_t
log_format_line(char line[LOG_FORMAT_LINE_MAX], enum log_format format, bool journal,
    const struct log_event *event)
{
	size_t used = 0;

	if (journal)
		used = (size_t)snprintf(
		    line, LOG_FORMAT_HEAD, "<%d>", log_format_levels[event->level].priority);
	if (format == LOG_FORMAT_JSON)
		used += log_format_json(line + used, event);
	else
		used += log_format_text(line + used, journal, event);
	line[used++] = '\n';
	return used;
}
