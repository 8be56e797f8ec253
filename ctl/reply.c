/*
 * The form of replies. Owns nothing but the sentence that it returns; a table of fields decides
 * what is right, so that every verb states its expectations in one place and prints without fear.
 */
#include "ctl/reply.h"

#include "common/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
reply_is_count(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool
reply_is_seconds(const json_t *value)
{
	return json_is_number(value) && json_number_value(value) >= 0;
}

static bool
reply_is_texts(const json_t *value)
{
	size_t index;
	json_t *text;

	if (!json_is_array(value))
		return false;
	json_array_foreach(value, index, text)
	{
		if (!json_is_string(text))
			return false;
	}
	return true;
}

static bool
reply_is_counts(json_t *value)
{
	const char *key;
	json_t *count;

	if (!json_is_object(value))
		return false;
	json_object_foreach (value, key, count) {
		if (!reply_is_count(count))
			return false;
	}
	return true;
}

static bool
reply_is_pairs(const json_t *value)
{
	size_t index;
	json_t *pair;

	if (!json_is_array(value))
		return false;
	json_array_foreach(value, index, pair)
	{
		if (json_array_size(pair) != 2 || !reply_is_count(json_array_get(pair, 0)) ||
		    !reply_is_count(json_array_get(pair, 1)))
			return false;
	}
	return true;
}

/* The value itself; what is inside an object is another matter. */
static bool
reply_is_kind(json_t *value, enum reply_kind kind)
{
	switch (kind) {
	case REPLY_BOOL:
		return json_is_boolean(value);
	case REPLY_TEXT:
		return json_is_string(value);
	case REPLY_TEXT_OR_NULL:
		return json_is_string(value) || json_is_null(value);
	case REPLY_COUNT:
		return reply_is_count(value);
	case REPLY_COUNT_OR_NULL:
		return reply_is_count(value) || json_is_null(value);
	case REPLY_SECONDS:
		return reply_is_seconds(value);
	case REPLY_SECONDS_OR_NULL:
		return reply_is_seconds(value) || json_is_null(value);
	case REPLY_TEXTS:
		return reply_is_texts(value);
	case REPLY_COUNTS:
		return reply_is_counts(value);
	case REPLY_PAIRS:
		return reply_is_pairs(value);
	case REPLY_OBJECT:
		return json_is_object(value);
	case REPLY_OBJECTS:
		return json_is_array(value);
	}
	return false;
}

static const char *
reply_kind_name(enum reply_kind kind)
{
	static const char *const names[] = {
	    [REPLY_BOOL] = "true or false",
	    [REPLY_TEXT] = "a text",
	    [REPLY_TEXT_OR_NULL] = "a text or null",
	    [REPLY_COUNT] = "a count",
	    [REPLY_COUNT_OR_NULL] = "a count or null",
	    [REPLY_SECONDS] = "a number of seconds",
	    [REPLY_SECONDS_OR_NULL] = "a number of seconds or null",
	    [REPLY_TEXTS] = "a list of texts",
	    [REPLY_COUNTS] = "an object of counts",
	    [REPLY_PAIRS] = "a list of pairs of counts",
	    [REPLY_OBJECT] = "an object",
	    [REPLY_OBJECTS] = "a list of objects",
	};

	return names[kind];
}

static char *reply_check_at(const char *place, json_t *object, const struct reply_field *fields);

static char *
reply_check_list(const char *place, json_t *list, const struct reply_field *fields)
{
	char *wrong = NULL;
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item)
	{
		char *here = mem_printf("%s[%zu]", place, index);

		wrong = json_is_object(item) ? reply_check_at(here, item, fields)
					     : mem_printf("%s is not an object", here);
		free(here);
		if (wrong != NULL)
			break;
	}
	return wrong;
}

static char *
reply_check_field(const char *place, json_t *value, const struct reply_field *field)
{
	if (value == NULL)
		return mem_printf("%s is missing", place);
	if (!reply_is_kind(value, field->kind))
		return mem_printf("%s is not %s", place, reply_kind_name(field->kind));
	if (field->kind == REPLY_OBJECT)
		return reply_check_at(place, value, field->inside);
	if (field->kind == REPLY_OBJECTS)
		return reply_check_list(place, value, field->inside);
	return NULL;
}

static char *
reply_check_at(const char *place, json_t *object, const struct reply_field *fields)
{
	char *wrong = NULL;

	for (; fields->name != NULL && wrong == NULL; fields++) {
		const char *dot = place[0] != '\0' ? "." : "";
		char *here = mem_printf("%s%s%s", place, dot, fields->name);

		wrong = reply_check_field(here, json_object_get(object, fields->name), fields);
		free(here);
	}
	return wrong;
}

char *
reply_check(json_t *object, const struct reply_field *fields)
{
	return reply_check_at("", object, fields);
}

const char *
reply_text(const json_t *object, const char *name, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : otherwise;
}

json_int_t
reply_count(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

double
reply_seconds(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

const json_t *
reply_find(const json_t *objects, const char *name, const char *text)
{
	size_t index;
	json_t *object;

	json_array_foreach(objects, index, object)
	{
		if (strcmp(reply_text(object, name, ""), text) == 0)
			return object;
	}
	return NULL;
}

const char *
reply_count_text(const json_t *object, const char *name, char text[REPLY_NUMBER_MAX])
{
	const json_t *value = json_object_get(object, name);

	if (json_is_integer(value))
		snprintf(text, REPLY_NUMBER_MAX, "%lld", (long long)json_integer_value(value));
	else
		snprintf(text, REPLY_NUMBER_MAX, "-");
	return text;
}
