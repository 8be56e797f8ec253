/*
 * Structs and JSON by a table. Owns nothing but the reader's note of descriptors; never closes one,
 * whatever is wrong: who wrote them down may still need them.
 */
#include "common/record.h"

#include "common/mem.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_FD_MOST (1 << 24)

void
record_reader_close(struct record_reader *reader)
{
	free(reader->taken);
	reader->taken = NULL;
	reader->taken_size = 0;
}

bool
record_fail(struct record_reader *reader, const char *format, ...)
{
	va_list args;

	if (reader->has_failed)
		return false;
	reader->has_failed = true;
	va_start(args, format);
	vsnprintf(reader->why, reader->why_size, format, args);
	va_end(args);
	return false;
}

/* ---- bytes ---- */

json_t *
record_bytes(const char *bytes, size_t length)
{
	char *utf8 = mem_alloc(length + 1, 2);
	size_t end = 0;
	json_t *string;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c >= 0x80)
			utf8[end++] = (char)(0xc0 | c >> 6);
		utf8[end++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
	}
	string = json_stringn_nocheck(utf8, end);
	free(utf8);
	return string;
}

json_t *
record_text(const char *text)
{
	return text != NULL ? record_bytes(text, strlen(text)) : json_null();
}

char *
record_read_bytes(const json_t *string, size_t *length)
{
	const unsigned char *from = (const unsigned char *)json_string_value(string);
	size_t size = json_string_length(string), end = 0;
	char *bytes;

	if (from == NULL)
		return NULL;
	bytes = mem_alloc(size + 1, 1);
	for (size_t i = 0; i < size; i++) {
		if (from[i] < 0x80) {
			bytes[end++] = (char)from[i];
		} else if ((from[i] & 0xfc) == 0xc0 && i + 1 < size) {
			bytes[end++] = (char)((from[i] & 3) << 6 | (from[i + 1] & 0x3f));
			i++;
		} else {
			free(bytes);
			return NULL;
		}
	}
	*length = end;
	return bytes;
}

char *
record_read_text(const json_t *string)
{
	size_t length = 0;
	char *text = record_read_bytes(string, &length);

	if (text == NULL || strlen(text) == length)
		return text;
	free(text);
	return NULL;
}

/* ---- descriptors ---- */

/* Whether nobody has it yet; whoever asks has it then. */
static bool
record_claim(struct record_reader *reader, int fd)
{
	size_t at = (size_t)fd / 8;
	unsigned char bit = (unsigned char)(1 << fd % 8);

	if (at >= reader->taken_size) {
		reader->taken = mem_resize(reader->taken, at + 64, 1);
		memset(reader->taken + reader->taken_size, 0, at + 64 - reader->taken_size);
		reader->taken_size = at + 64;
	}
	if (reader->taken[at] & bit)
		return false;
	reader->taken[at] |= bit;
	return true;
}

bool
record_has(const struct record_reader *reader, int fd)
{
	return fd >= 0 && (size_t)fd / 8 < reader->taken_size &&
	       (reader->taken[fd / 8] & 1 << fd % 8) != 0;
}

void
record_disown(const struct record_reader *reader, int *fd)
{
	if (record_has(reader, *fd))
		*fd = -1;
}

static bool
record_read_fd(struct record_reader *reader, const json_t *value, const char *name, int *fd)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return record_fail(reader, "%s is no descriptor", name);
	*fd = -1;
	if (number == -1)
		return true;
	if (number <= STDERR_FILENO || number >= RECORD_FD_MOST || fcntl((int)number, F_GETFD) < 0)
		return record_fail(
		    reader, "descriptor %lld (%s) is not open", (long long)number, name);
	if (!record_claim(reader, (int)number))
		return record_fail(
		    reader, "descriptor %lld (%s) is there twice", (long long)number, name);
	*fd = (int)number;
	return true;
}

bool
record_take_fd(struct record_reader *reader, const json_t *object, const char *name, int *fd)
{
	const json_t *value = json_object_get(object, name);

	*fd = -1;
	return value == NULL || record_read_fd(reader, value, name, fd);
}

bool
record_take_fds(
    struct record_reader *reader, const json_t *object, const char *name, int *fds, size_t count)
{
	const json_t *list = json_object_get(object, name);

	for (size_t i = 0; i < count; i++)
		fds[i] = -1;
	if (json_array_size(list) != count)
		return record_fail(reader, "%s: %zu descriptors in place of %zu", name,
		    json_array_size(list), count);
	for (size_t i = 0; i < count; i++)
		if (!record_read_fd(reader, json_array_get(list, i), name, &fds[i]))
			return false;
	return true;
}

json_t *
record_fds(const int *fds, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_integer(fds[i]));
	return list;
}

/* `name` is the key that the value stands under, NULL for none. */
static void
record_visit(const char *name, const json_t *value, void (*each)(void *arg, int fd), void *arg)
{
	bool is_fd =
	    name != NULL && strncmp(name, "fd", 2) == 0 && (name[2] == '\0' || name[2] == '_');

	if (json_is_integer(value) && is_fd && json_integer_value(value) >= 0 &&
	    json_integer_value(value) <= INT_MAX)
		each(arg, (int)json_integer_value(value));
	for (size_t i = 0; i < json_array_size(value); i++)
		record_visit(name, json_array_get(value, i), each, arg);
	for (void *at = json_object_iter((json_t *)value); at != NULL;
	     at = json_object_iter_next((json_t *)value, at))
		record_visit(json_object_iter_key(at), json_object_iter_value(at), each, arg);
}

void
record_each_fd(const json_t *value, void (*each)(void *arg, int fd), void *arg)
{
	record_visit(NULL, value, each, arg);
}

static void
record_on_fd(void *arg, int fd)
{
	(void)record_claim(arg, fd);
}

void
record_note_fds(struct record_reader *reader, const json_t *value)
{
	record_each_fd(value, record_on_fd, reader);
}

/* ---- by the table ---- */

static json_t *
record_value(const struct record_field *field, const void *at)
{
	switch (field->type) {
	case RECORD_BOOL:
		return json_boolean(*(const bool *)at);
	case RECORD_NUMBER: /* what is above INT64_MAX goes as a negative number */
		return json_integer(field->size == sizeof(uint32_t)
					? (json_int_t) * (const uint32_t *)at
					: (json_int_t) * (const uint64_t *)at);
	case RECORD_SIGNED:
		return json_integer(field->size == sizeof(int32_t)
					? (json_int_t) * (const int32_t *)at
					: (json_int_t) * (const int64_t *)at);
	case RECORD_TEXT:
		return record_bytes(at, strnlen(at, field->size));
	case RECORD_STRING:
		return record_text(*(char *const *)at);
	case RECORD_FD:
		return json_integer(*(const int *)at);
	}
	return json_null();
}

void
record_put(json_t *object, const struct record_field *fields, const void *from)
{
	for (; fields->name != NULL; fields++)
		json_object_set_new(object, fields->name,
		    record_value(fields, (const char *)from + fields->offset));
}

static bool
record_read_number(
    struct record_reader *reader, const struct record_field *field, const json_t *value, void *to)
{
	uint64_t number = (uint64_t)json_integer_value(value);
	uint64_t most = field->size == sizeof(uint32_t) ? UINT32_MAX : UINT64_MAX;

	if (field->most != 0)
		most = field->most;
	if (!json_is_integer(value) || number > most)
		return record_fail(reader, "%s is no number from 0 to %llu", field->name,
		    (unsigned long long)most);
	if (field->size == sizeof(uint32_t))
		*(uint32_t *)to = (uint32_t)number;
	else
		*(uint64_t *)to = number;
	return true;
}

static bool
record_read_signed(
    struct record_reader *reader, const struct record_field *field, const json_t *value, void *to)
{
	json_int_t number = json_integer_value(value);
	json_int_t most = field->size == sizeof(int32_t) ? INT32_MAX : INT64_MAX;
	json_int_t least = -most - 1;

	if (field->most != 0)
		most = (json_int_t)field->most;
	if (!json_is_integer(value) || number < least || number > most)
		return record_fail(
		    reader, "%s is no number up to %lld", field->name, (long long)most);
	if (field->size == sizeof(int32_t))
		*(int32_t *)to = (int32_t)number;
	else
		*(int64_t *)to = number;
	return true;
}

/* What does not fit is cut: it is words for people. */
static bool
record_read_array(
    struct record_reader *reader, const struct record_field *field, const json_t *value, char *to)
{
	char *text = record_read_text(value);

	if (text == NULL)
		return record_fail(reader, "%s is no text", field->name);
	snprintf(to, field->size, "%s", text);
	free(text);
	return true;
}

static bool
record_read_string(
    struct record_reader *reader, const struct record_field *field, const json_t *value, char **to)
{
	char *text = record_read_text(value);

	if (text == NULL && !json_is_null(value))
		return record_fail(reader, "%s is no text", field->name);
	free(*to);
	*to = text;
	return true;
}

static bool
record_read(
    struct record_reader *reader, const struct record_field *field, const json_t *value, void *to)
{
	switch (field->type) {
	case RECORD_BOOL:
		if (!json_is_boolean(value))
			return record_fail(reader, "%s is neither true nor false", field->name);
		*(bool *)to = json_is_true(value);
		return true;
	case RECORD_NUMBER:
		return record_read_number(reader, field, value, to);
	case RECORD_SIGNED:
		return record_read_signed(reader, field, value, to);
	case RECORD_TEXT:
		return record_read_array(reader, field, value, to);
	case RECORD_STRING:
		return record_read_string(reader, field, value, to);
	case RECORD_FD:
		return record_read_fd(reader, value, field->name, to);
	}
	return false;
}

bool
record_take(
    struct record_reader *reader, const json_t *object, const struct record_field *fields, void *to)
{
	if (!json_is_object(object))
		return record_fail(reader, "there is no object with %s", fields->name);
	for (; fields->name != NULL; fields++) {
		const json_t *value = json_object_get(object, fields->name);

		if (value != NULL &&
		    !record_read(reader, fields, value, (char *)to + fields->offset))
			return false;
	}
	return true;
}
