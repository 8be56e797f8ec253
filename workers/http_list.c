/* Lists in header fields. Owns nothing; looks at bytes that were judged before. */
#include "workers/http_list.h"

static bool
http_list_is_space(char c)
{
	return c == ' ' || c == '\t';
}

struct http_span
http_list_trim(const char *data, struct http_span span)
{
	while (span.length > 0 && http_list_is_space(data[span.at])) {
		span.at++;
		span.length--;
	}
	while (span.length > 0 && http_list_is_space(data[span.at + span.length - 1]))
		span.length--;
	return span;
}

struct http_span
http_list_cut(const char *data, struct http_span *rest, char until, bool *more)
{
	struct http_span first = {rest->at, 0};
	bool is_quoted = false, is_there;

	for (; first.length < rest->length; first.length++) {
		char c = data[first.at + first.length];

		if (is_quoted && c == '\\' && first.length + 1 < rest->length)
			first.length++;
		else if (c == '"')
			is_quoted = !is_quoted;
		else if (c == until && !is_quoted)
			break;
	}
	is_there = first.length < rest->length;
	if (more != NULL)
		*more = is_there;
	rest->at += first.length + is_there;
	rest->length -= first.length + is_there;
	return http_list_trim(data, first);
}

struct http_list
http_list_of(const struct http_request *request, const char *data, const char *name)
{
	return (struct http_list){.request = request, .data = data, .name = name};
}

bool
http_list_next(struct http_list *list, struct http_span *element)
{
	do {
		while (!list->is_open) {
			const struct http_header *header;

			if (list->field == list->request->header_count)
				return false;
			header = &list->request->headers[list->field++];
			list->rest = header->value;
			list->is_open = http_is(list->data, header->name, list->name);
		}
		*element = http_list_cut(list->data, &list->rest, ',', &list->is_open);
	} while (element->length == 0); /* RFC 9110, 5.6.1.2: as if they were not there */
	return true;
}
