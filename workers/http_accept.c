/*
 * What a client would rather read when its request is refused: Accept, RFC 9110, 12.5.1, as far as
 * there are two things to choose from. Pure.
 */
#include "workers/http.h"

#include <ctype.h>

#define HTTP_WEIGHT_ONE 1000

static struct http_span
http_weigh_trim(const char *data, struct http_span span)
{
	while (span.length > 0 && isspace((unsigned char)data[span.at])) {
		span.at++;
		span.length--;
	}
	while (span.length > 0 && isspace((unsigned char)data[span.at + span.length - 1]))
		span.length--;
	return span;
}

/* What stands in front of that character, without white space around it; *rest is behind it. */
static struct http_span
http_weigh_cut(const char *data, struct http_span *rest, char c)
{
	const char *found = memchr(data + rest->at, c, rest->length);
	size_t length = found != NULL ? (size_t)(found - data) - rest->at : rest->length;
	struct http_span first = {rest->at, length};

	length += found != NULL;
	rest->at += length;
	rest->length -= length;
	return http_weigh_trim(data, first);
}

/* "q=0.5"; whoever writes it in another way means 1. */
static unsigned
http_weigh_q(const char *data, struct http_span parameter, unsigned before)
{
	const char *at = data + parameter.at;
	unsigned q, unit = HTTP_WEIGHT_ONE / 10;

	if (parameter.length < 3 || (at[0] | 0x20) != 'q' || at[1] != '=')
		return before;
	q = at[2] == '0' ? 0 : HTTP_WEIGHT_ONE;
	if (q == 0 && parameter.length > 3 && at[3] == '.')
		for (size_t i = 4; i < parameter.length && isdigit((unsigned char)at[i]); i++) {
			q += (unsigned)(at[i] - '0') * unit;
			unit /= 10;
		}
	return q;
}

static void
http_weigh_range(struct http_weights *weights, const char *data, struct http_span range)
{
	static const char *const covers[] = {"*/*", "text/*", "text/plain"};
	struct http_span type = http_weigh_cut(data, &range, ';');
	unsigned q = HTTP_WEIGHT_ONE;

	while (range.length > 0)
		q = http_weigh_q(data, http_weigh_cut(data, &range, ';'), q);
	if (http_is(data, type, "application/json") && q > weights->json)
		weights->json = q;
	for (unsigned rank = 1; rank <= 3; rank++)
		if (rank >= weights->rank && http_is(data, type, covers[rank - 1])) {
			weights->rank = rank;
			weights->text = q;
		}
}

void
http_weigh(struct http_weights *weights, const char *data, struct http_span accept)
{
	while (accept.length > 0)
		http_weigh_range(weights, data, http_weigh_cut(data, &accept, ','));
}
