/*
 * Texts for people. Owns nothing; knows nothing of JSON, tables or terminals.
 */
#include "ctl/text.h"

#include "common/escape.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

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
