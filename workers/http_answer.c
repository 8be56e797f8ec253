/*
 * Reads what a program replies to message = json. Nothing of it goes out unchecked: no field may
 * end early, and what tells where a reply ends is said by us alone. Owns what it reads.
 */
#include "workers/http_json.h"

#include "common/base64.h"
#include "common/mem.h"
#include "workers/http_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HTTP_ANSWER_NAME_MAX 60 /* characters of a name in a message */

struct http_answer_reader {
	struct http_answer *answer;
	char *why;
	bool has_cors, has_body;
};

static bool __attribute__((format(printf, 2, 3)))
http_answer_bad(struct http_answer_reader *reader, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(reader->why, HTTP_ANSWER_WHY_MAX, format, list);
	va_end(list);
	return false;
}

/* ---- fields ---- */

/* Those that say where a reply ends or what becomes of the connection, and what we know better. */
static bool
http_answer_is_ours(const char *name, bool has_cors)
{
	static const char *const ours[] = {"connection", "content-length", "date", "keep-alive",
	    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "x-request-id"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcasecmp(name, ours[i]) == 0)
			return true;
	return has_cors && strcasecmp(name, "access-control-allow-origin") == 0;
}

static bool
http_answer_value(struct http_answer_reader *reader, const char *name, const json_t *value)
{
	struct http_answer *answer = reader->answer;
	size_t length = json_string_length(value);

	if (!json_is_string(value))
		return http_answer_bad(reader,
		    "the value of header %.*s is neither text nor a list of texts",
		    HTTP_ANSWER_NAME_MAX, name);
	if (!http_is_value(json_string_value(value), length))
		return http_answer_bad(reader,
		    "the value of header %.*s has a line end or another control character",
		    HTTP_ANSWER_NAME_MAX, name);
	if (strcasecmp(name, "content-type") == 0) {
		if (answer->type != NULL)
			return http_answer_bad(reader, "there is more than one Content-Type");
		answer->type = json_string_value(value);
		return true;
	}
	answer->names_server |= strcasecmp(name, "server") == 0;
	buf_append(&answer->fields, name, strlen(name));
	buf_append(&answer->fields, ": ", 2);
	buf_append(&answer->fields, json_string_value(value), length);
	buf_append(&answer->fields, "\r\n", 2);
	return true;
}

static bool
http_answer_header(struct http_answer_reader *reader, const char *name, json_t *value)
{
	size_t index;
	json_t *item;

	if (!http_is_token(name, strlen(name)))
		return http_answer_bad(reader, "a header has a name that is none");
	if (http_answer_is_ours(name, reader->has_cors))
		return http_answer_bad(
		    reader, "header %.*s is not for a program to set", HTTP_ANSWER_NAME_MAX, name);
	if (!json_is_array(value))
		return http_answer_value(reader, name, value);
	json_array_foreach(
	    value, index, item) if (!http_answer_value(reader, name, item)) return false;
	return true;
}

static bool
http_answer_headers(struct http_answer_reader *reader, json_t *headers)
{
	const char *name;
	json_t *value;

	if (!json_is_object(headers))
		return http_answer_bad(reader, "headers is not an object");
	json_object_foreach (headers, name, value)
		if (!http_answer_header(reader, name, value))
			return false;
	if (buf_length(&reader->answer->fields) > 0)
		buf_append(&reader->answer->fields, "", 1);
	return true;
}

/* ---- the rest ---- */

static bool
http_answer_status(struct http_answer_reader *reader, const json_t *value)
{
	json_int_t status = json_integer_value(value);

	if (!json_is_integer(value) || status < 200 || status > 599)
		return http_answer_bad(reader, "status is not a number from 200 to 599");
	reader->answer->status = (unsigned)status;
	return true;
}

static bool
http_answer_body(struct http_answer_reader *reader, const char *key, const json_t *value)
{
	struct http_answer *answer = reader->answer;

	if (!json_is_string(value))
		return http_answer_bad(reader, "%s is not text", key);
	if (reader->has_body)
		return http_answer_bad(reader, "there are both body and body_base64");
	reader->has_body = true;
	answer->body = json_string_value(value);
	answer->length = json_string_length(value);
	if (strcmp(key, "body") == 0)
		return true;
	answer->decoded = mem_alloc(1, answer->length + 1);
	if (!base64_decode(answer->decoded, &answer->length, answer->body, answer->length))
		return http_answer_bad(reader, "body_base64 is not base64");
	answer->body = answer->decoded;
	return true;
}

static bool
http_answer_key(struct http_answer_reader *reader, const char *key, json_t *value)
{
	if (strcmp(key, "status") == 0)
		return http_answer_status(reader, value);
	if (strcmp(key, "headers") == 0)
		return http_answer_headers(reader, value);
	if (strcmp(key, "body") == 0 || strcmp(key, "body_base64") == 0)
		return http_answer_body(reader, key, value);
	return http_answer_bad(reader,
	    "an object has status, headers, body or body_base64, and no %.*s", HTTP_ANSWER_NAME_MAX,
	    key);
}

/* Not even worth a try, or an object by intent with what jansson does not take in one. */
static json_t *
http_answer_parse(const char *data, size_t length, bool *is_bad)
{
	size_t at = 0;
	json_error_t error;
	json_t *object;

	*is_bad = false;
	while (at < length && strchr(" \t\r\n", data[at]) != NULL && data[at] != '\0')
		at++;
	if (at == length || data[at] != '{')
		return NULL;
	object = json_loadb(data, length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	if (object == NULL)
		*is_bad = json_error_code(&error) == json_error_null_byte_in_key ||
			  json_error_code(&error) == json_error_duplicate_key;
	return object;
}

bool
http_answer_read(struct http_answer *answer, const char *data, size_t length, bool has_cors,
    char why[HTTP_ANSWER_WHY_MAX])
{
	struct http_answer_reader reader = {.answer = answer, .why = why, .has_cors = has_cors};
	const char *key;
	json_t *value;
	bool is_bad;

	*answer = (struct http_answer){.status = 200, .body = data, .length = length};
	answer->object = http_answer_parse(data, length, &is_bad);
	if (is_bad)
		return http_answer_bad(&reader, "a name is there twice, or has a NUL");
	if (answer->object == NULL)
		return true;
	answer->body = "";
	answer->length = 0;
	json_object_foreach (answer->object, key, value)
		if (!http_answer_key(&reader, key, value))
			return false;
	/* RFC 9110, 15: these have no content, whatever a program says. */
	if (answer->status == 204 || answer->status == 205 || answer->status == 304)
		answer->length = 0;
	return true;
}

void
http_answer_free(struct http_answer *answer)
{
	json_decref(answer->object);
	free(answer->decoded);
	buf_free(&answer->fields);
}
