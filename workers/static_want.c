/* Conditions and ranges of requests for files. Owns nothing; never looks at a file. */
#include "workers/static_want.h"

#include "workers/req_web.h"
#include "workers/web_date.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A part of a field's value. */
struct static_text {
	const char *at;
	size_t length;
};

/* ---- the file ---- */

void
static_want_describe(struct static_kept *kept, const struct stat *st, time_t now)
{
	kept->size = (uint64_t)st->st_size;
	kept->changed = st->st_mtim.tv_sec < now ? st->st_mtim.tv_sec : now;
	snprintf(kept->tag, sizeof(kept->tag), "\"%jx-%jx.%lx-%jx\"", (uintmax_t)st->st_ino,
	    (uintmax_t)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec,
	    (uintmax_t)st->st_size);
}

/* ---- conditions ---- */

static bool
static_want_has(const struct req_web *web, const char *name, struct static_text *text)
{
	text->at = req_web_field(web, name, &text->length);
	return text->at != NULL;
}

static bool
static_want_is(struct static_text text, const char *tag)
{
	return text.length == strlen(tag) && memcmp(text.at, tag, text.length) == 0;
}

/* Takes the next tag off a list; one may have commas in it. False at the end, or at nonsense. */
static bool
static_want_next(struct static_text *list, struct static_text *tag)
{
	const char *end = list->at + list->length, *at = list->at, *quote;

	while (at < end && (*at == ',' || *at == ' ' || *at == '\t'))
		at++;
	tag->at = at;
	if (end - at > 2 && at[0] == 'W' && at[1] == '/')
		at += 2;
	if (at == end || *at != '"')
		return false;
	quote = memchr(at + 1, '"', (size_t)(end - at - 1));
	if (quote == NULL)
		return false;
	tag->length = (size_t)(quote + 1 - tag->at);
	list->at = quote + 1;
	list->length = (size_t)(end - list->at);
	return true;
}

/* Whether the list names the file. Ours are strong: a weak one is equal for If-None-Match alone. */
static bool
static_want_names(struct static_text list, const char *tag, bool weakly)
{
	struct static_text one;

	if (static_want_is(list, "*"))
		return true;
	while (static_want_next(&list, &one)) {
		if (weakly && *one.at == 'W') {
			one.at += 2;
			one.length -= 2;
		}
		if (static_want_is(one, tag))
			return true;
	}
	return false;
}

/* A date that is none says nothing. */
static bool
static_want_is_later(struct static_text text, time_t changed, bool otherwise)
{
	time_t then;

	return web_date_read(text.at, text.length, &then) ? changed > then : otherwise;
}

/* In the order of RFC 9110, 13.2.2. Returns 200 where nothing speaks against it. */
static unsigned
static_want_judge(const struct req_web *web, const struct static_kept *kept)
{
	struct static_text text;

	if (static_want_has(web, "if-match", &text)) {
		if (!static_want_names(text, kept->tag, false))
			return 412;
	} else if (static_want_has(web, "if-unmodified-since", &text) &&
		   static_want_is_later(text, kept->changed, false)) {
		return 412;
	}
	if (static_want_has(web, "if-none-match", &text))
		return static_want_names(text, kept->tag, true) ? 304 : 200;
	if (static_want_has(web, "if-modified-since", &text) &&
	    !static_want_is_later(text, kept->changed, true))
		return 304;
	return 200;
}

/* ---- ranges ---- */

static bool
static_want_number(struct static_text text, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < text.length; i++) {
		if (!isdigit((unsigned char)text.at[i]))
			return false;
		if (*number <= UINT64_MAX / 16)
			*number = *number * 10 + (uint64_t)(text.at[i] - '0');
	}
	return text.length > 0;
}

/* A date is good for this only if the file cannot have changed within its second. */
static bool
static_want_is_same(struct static_text text, const struct static_kept *kept, time_t now)
{
	time_t then;

	if (text.length > 0 && (*text.at == '"' || *text.at == 'W'))
		return static_want_is(text, kept->tag);
	return web_date_read(text.at, text.length, &then) && then == kept->changed &&
	       kept->changed < now - 1;
}

/* "100-199", "100-" or "-100": one range. What is none is passed over, and so are several. */
static void
static_want_range(struct static_want *want, struct static_text text, uint64_t size)
{
	const char *dash = memchr(text.at, '-', text.length);
	struct static_text first = {text.at, dash != NULL ? (size_t)(dash - text.at) : 0}, last;
	uint64_t from, to = UINT64_MAX;

	if (dash == NULL)
		return;
	last = (struct static_text){dash + 1, text.length - first.length - 1};
	if (last.length > 0 && !static_want_number(last, &to))
		return;
	if (first.length == 0) {
		if (last.length == 0)
			return;
		from = to < size ? size - to : 0;
		to = UINT64_MAX;
	} else if (!static_want_number(first, &from) || from > to) {
		return;
	}
	if (from >= size) {
		want->status = 416;
		return;
	}
	to = to < size ? to : size - 1;
	*want = (struct static_want){.status = 206, .from = from, .length = to - from + 1};
}

void
static_want_read(
    struct static_want *want, const struct req_web *web, const struct static_kept *kept, time_t now)
{
	struct static_text range, text;

	*want = (struct static_want){
	    .status = static_want_judge(web, kept), .from = 0, .length = kept->size};
	if (want->status != 200 || !web->is_get || !static_want_has(web, "range", &range) ||
	    range.length <= 6 || strncasecmp(range.at, "bytes=", 6) != 0)
		return;
	if (static_want_has(web, "if-range", &text) && !static_want_is_same(text, kept, now))
		return;
	range.at += 6;
	range.length -= 6;
	static_want_range(want, range, kept->size);
}
