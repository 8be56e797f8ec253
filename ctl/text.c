/*
 * Texts for people. Owns nothing; knows nothing of JSON, tables or terminals.
 */
#include "ctl/text.h"

#include "common/escape.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TEXT_ROOM_MIN 20    /* columns of wrapped text, however narrow the rest is */
#define TEXT_DAYS_MAX 99999 /* longer is told as this; it keeps columns narrow */

char *
text_clean(const char *text)
{
	size_t length = strlen(text);
	char *clean = mem_alloc(length * ESCAPE_MOST + 1, 1);

	clean[escape_text(clean, text, length)] = '\0';
	return clean;
}

char *
text_columns(const char *text)
{
	char *columns = mem_alloc(strlen(text) * ESCAPE_MOST + 1, 1);
	char *to = columns;

	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x80)
			to += escape_text(to, text, 1);
		else
			to += snprintf(to, ESCAPE_MOST + 1, "\\x%02x", (unsigned char)*text);
	}
	return columns;
}

const char *
text_duration(double seconds, char text[TEXT_DURATION_MAX])
{
	uint64_t s;

	if (!(seconds < TEXT_DAYS_MAX * 86400.0))
		seconds = TEXT_DAYS_MAX * 86400.0;
	s = seconds > 0 ? (uint64_t)seconds : 0;
	if (seconds > 0 && s == 0) /* a little is not nothing */
		snprintf(
		    text, TEXT_DURATION_MAX, "0.%us", seconds < 0.1 ? 1 : (unsigned)(seconds * 10));
	else if (s < 60)
		snprintf(text, TEXT_DURATION_MAX, "%us", (unsigned)s);
	else if (s < 3600)
		snprintf(
		    text, TEXT_DURATION_MAX, "%um %us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		snprintf(text, TEXT_DURATION_MAX, "%uh %um", (unsigned)(s / 3600),
		    (unsigned)(s % 3600 / 60));
	else
		snprintf(text, TEXT_DURATION_MAX, "%ud %uh", (unsigned)(s / 86400),
		    (unsigned)(s % 86400 / 3600));
	return text;
}

/* How much of the text goes on a line of `room` columns. */
static size_t
text_line(const char *text, size_t room)
{
	size_t end = room;

	if (strlen(text) <= room)
		return strlen(text);
	while (end > 0 && text[end] != ' ')
		end--;
	while (end > 0 && text[end - 1] == ' ')
		end--;
	return end > 0 ? end : room;
}

void
text_wrap(FILE *out, const char *text, unsigned indent, unsigned width)
{
	size_t room = width > indent + TEXT_ROOM_MIN ? width - indent : TEXT_ROOM_MIN;

	do {
		size_t length = text_line(text, room);

		fprintf(out, "%*s%.*s\n", (int)indent, "", (int)length, text);
		text += length;
		text += strspn(text, " ");
	} while (*text != '\0');
}

const char *
text_size(uint64_t bytes, char text[TEXT_SIZE_MAX])
{
	static const char units[] = "KMGTPE";
	double size = (double)bytes;
	unsigned unit = 0;

	if (bytes < 1000) {
		snprintf(text, TEXT_SIZE_MAX, "%u", (unsigned)bytes);
		return text;
	}
	/* 999.5 would be printed as 1000. */
	for (size /= 1024; size >= 999.5 && unit < sizeof(units) - 2; unit++)
		size /= 1024;
	snprintf(text, TEXT_SIZE_MAX, size < 99.95 ? "%.1f%c" : "%.0f%c", size, units[unit]);
	return text;
}
