/*
 * What a client would rather read when its request is refused: Accept, RFC 9110, 12.5.1, as far as
 * there are two things to choose from. Pure.
 */
#include "workers/http.h"

#include "workers/http_list.h"

#include <ctype.h>

#define HTTP_WEIGHT_ONE 1000

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
	struct http_span type = http_list_cut(data, &range, ';', NULL);
	unsigned q = HTTP_WEIGHT_ONE;

	while (range.length > 0)
		q = http_weigh_q(data, http_list_cut(data, &range, ';', NULL), q);
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
		http_weigh_range(weights, data, http_list_cut(data, &accept, ',', NULL));
}
