/* What an option expects, in words, for the messages about what it was given instead. Pure. */
#include "common/option.h"

#include "common/unit.h"

#include <stdio.h>

static const char *
option_expects_number(const struct option *option, char text[OPTION_EXPECTS_MAX])
{
	char from[UNIT_TEXT_MAX], to[UNIT_TEXT_MAX];
	const char *example = option->example ? option->example : option->fallback;

	unit_format(option->unit, option->min, from);
	unit_format(option->unit, option_max(option), to);
	if (option->type == OPTION_RANGE)
		snprintf(text, OPTION_EXPECTS_MAX,
		    "expects auto, a number from %s to %s, or a range such as 2..8", from, to);
	else if (option->unit == UNIT_COUNT)
		snprintf(text, OPTION_EXPECTS_MAX, "expects %sa number from %s to %s",
		    option->type == OPTION_AUTO ? "auto or " : "", from, to);
	else
		snprintf(text, OPTION_EXPECTS_MAX,
		    "expects a %s with a unit, such as %s (%s to %s)",
		    option->unit == UNIT_DURATION ? "duration" : "size", example, from, to);
	return text;
}

static const char *
option_expects_choice(const struct option *option, char text[OPTION_EXPECTS_MAX])
{
	size_t length = (size_t)snprintf(text, OPTION_EXPECTS_MAX, "expects ");
	const char *link = "";
	unsigned last = 0;

	for (unsigned i = 0; option->choices[i] != NULL; i++)
		last = option_lacks(option, i) == NULL ? i : last;
	for (unsigned i = 0; i <= last; i++) {
		if (option_lacks(option, i) != NULL)
			continue;
		length += (size_t)snprintf(text + length, OPTION_EXPECTS_MAX - length, "%s%s",
		    i == last && i > 0 ? " or " : link, option->choices[i]);
		link = ", ";
	}
	return text;
}

const char *
option_expects(const struct option *option, char text[OPTION_EXPECTS_MAX])
{
	if (option->type == OPTION_CHOICE)
		return option_expects_choice(option, text);
	if (option->type != OPTION_TEXT)
		return option_expects_number(option, text);
	snprintf(text, OPTION_EXPECTS_MAX, "expects one, such as %s",
	    option->example != NULL ? option->example : option->fallback);
	return text;
}
