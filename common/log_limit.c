/*
 * Counts lines by kind in windows of a second. A bounded table that is looked through from end to
 * end: a log line costs more than that. Owns no memory beside it.
 */
#include "common/log_limit.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>

#define LOG_LIMIT_WINDOW CLOCK_SECOND
#define LOG_LIMIT_KEPT   300 /* bytes of the newest line held back */

struct log_limit_kind {
	const char *format; /* borrows; NULL: the place is free */
	uint64_t subject;   /* a hash */
	enum log_level level;
	uint64_t start;     /* of the window: its first line */
	uint64_t newest;    /* line that was held back */
	unsigned long seen; /* lines of the window */
	unsigned long held; /* of them, held back */
	char text[LOG_LIMIT_KEPT];
	size_t length;
};

static struct {
	struct log_limit_kind kinds[LOG_LIMIT_KINDS];
	unsigned waiting; /* kinds with lines held back */
} log_limit;

/* FNV-1a of the words before the first colon when they name a service, so that one does not hide
 * another; of everything else, 0.
 */
static uint64_t
log_limit_subject(const char *text, size_t length)
{
	static const char service[] = "service ";
	uint64_t hash = UINT64_C(14695981039346656037);
	const char *colon;

	if (length < strlen(service) || memcmp(text, service, strlen(service)) != 0)
		return 0;
	colon = memchr(text, ':', length);
	if (colon == NULL)
		return 0;
	for (const char *c = text; c < colon; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
	return hash;
}

static bool
log_limit_is_over(const struct log_limit_kind *kind, uint64_t now)
{
	return now >= kind->start + LOG_LIMIT_WINDOW;
}

/*
 * The kind's place; a free one for a new kind. When none is free, all that are new share the last.
 */
static struct log_limit_kind *
log_limit_find(const char *format, enum log_level level, uint64_t subject, uint64_t now)
{
	struct log_limit_kind *found = NULL;

	for (unsigned i = 0; i < LOG_LIMIT_KINDS; i++) {
		struct log_limit_kind *kind = &log_limit.kinds[i];

		if (kind->format == format && kind->subject == subject) {
			found = kind;
			break;
		}
		if (found == NULL && kind->held == 0 && log_limit_is_over(kind, now))
			found = kind;
	}
	if (found == NULL)
		return &log_limit.kinds[LOG_LIMIT_KINDS - 1];
	if (found->held == 0 && log_limit_is_over(found, now))
		*found = (struct log_limit_kind){
		    .format = format, .subject = subject, .level = level, .start = now};
	return found;
}

bool
log_limit_allows(
    const char *format, enum log_level level, const char *text, size_t length, uint64_t now)
{
	unsigned long most = level == LOG_LEVEL_INFO ? LOG_LIMIT_INFO : LOG_LIMIT_GRAVE;
	struct log_limit_kind *kind;

	if (level == LOG_LEVEL_DEBUG)
		return true;
	kind = log_limit_find(format, level, log_limit_subject(text, length), now);
	if (kind->seen++ < most)
		return true;
	if (kind->held++ == 0)
		log_limit.waiting++;
	kind->newest = now;
	kind->level = level;
	kind->length = length < LOG_LIMIT_KEPT ? length : LOG_LIMIT_KEPT;
	memcpy(kind->text, text, kind->length);
	return false;
}

/* "LINE ... (57 more like this in 0.9 s)" with the newest line. */
static void
log_limit_describe(const struct log_limit_kind *kind, struct log_limit_notice *notice)
{
	int length = snprintf(notice->text, sizeof(notice->text),
	    "%.*s ... (%lu more like this in %.1f s)", (int)kind->length, kind->text, kind->held,
	    (double)(kind->newest - kind->start) / (double)CLOCK_SECOND);

	notice->level = kind->level;
	notice->length = length < 0 ? 0 : (size_t)length;
	if (notice->length >= sizeof(notice->text))
		notice->length = sizeof(notice->text) - 1;
}

bool
log_limit_tell(uint64_t now, struct log_limit_notice *notice)
{
	for (unsigned i = 0; i < LOG_LIMIT_KINDS && log_limit.waiting > 0; i++) {
		struct log_limit_kind *kind = &log_limit.kinds[i];

		if (kind->held == 0 || !log_limit_is_over(kind, now))
			continue;
		log_limit_describe(kind, notice);
		log_limit.waiting--;
		*kind = (struct log_limit_kind){.start = 0};
		return true;
	}
	return false;
}

void
log_limit_forget(void)
{
	memset(&log_limit, 0, sizeof(log_limit));
}
