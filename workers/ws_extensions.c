/*
 * Which extension is agreed on. An offer that asks for something that we cannot do is declined, and
 * the next one is looked at; without one that fits messages simply are not packed. Owns nothing.
 */
#include "workers/ws_extensions.h"

#include "workers/http_fields.h"
#include "workers/http_list.h"
#include "workers/ws_deflate.h"

#include <stdio.h>
#include <string.h>

/* ---- offers ---- */

struct ws_parameter {
	struct http_span name;
	char value[8]; /* as it counts; no longer one means anything here */
	bool has_value;
};

struct ws_offer {
	bool is_ours;                                                  /* of permessage-deflate */
	bool is_good;                                                  /* and can be taken */
	bool server_context, client_context, server_bits, client_bits; /* were there */
	unsigned bits;
};

/* token [ "=" ( token | quoted-string that is a token ) ] */
static bool
ws_parameter_read(struct ws_parameter *parameter, const char *data, struct http_span rest)
{
	struct http_span value;
	size_t length = 0;

	parameter->name = http_list_cut(data, &rest, '=', &parameter->has_value);
	parameter->value[0] = '\0';
	if (!http_is_token(data + parameter->name.at, parameter->name.length))
		return false;
	if (!parameter->has_value)
		return true;
	value = http_list_trim(data, rest);
	if (value.length >= 2 && data[value.at] == '"' &&
	    data[value.at + value.length - 1] == '"') {
		value.at++;
		value.length -= 2;
	}
	for (size_t i = 0; i < value.length; i++) {
		if (data[value.at + i] == '\\' && ++i == value.length)
			return false;
		if (!http_is_token(data + value.at + i, 1))
			return false;
		if (length < sizeof(parameter->value) - 1)
			parameter->value[length++] = data[value.at + i];
	}
	parameter->value[length] = '\0';
	return length > 0;
}

/* 7.1.2: a number from 8 to 15, without zeros in front. 0: it is none. */
static unsigned
ws_parameter_bits(const struct ws_parameter *parameter)
{
	const char *text = parameter->value;

	if (text[0] >= '8' && text[0] <= '9' && text[1] == '\0')
		return (unsigned)(text[0] - '0');
	if (text[0] == '1' && text[1] >= '0' && text[1] <= '5' && text[2] == '\0')
		return 10 + (unsigned)(text[1] - '0');
	return 0;
}

/* Each at most once, and nothing that we do not know. */
static bool
ws_offer_take(struct ws_offer *offer, const struct ws_parameter *parameter, const char *data)
{
	bool *seen = NULL, wants_value = false, may_have_value = false;

	if (http_is(data, parameter->name, "server_no_context_takeover")) {
		seen = &offer->server_context;
	} else if (http_is(data, parameter->name, "client_no_context_takeover")) {
		seen = &offer->client_context;
	} else if (http_is(data, parameter->name, "server_max_window_bits")) {
		seen = &offer->server_bits;
		wants_value = may_have_value = true;
		offer->bits = ws_parameter_bits(parameter);
	} else if (http_is(data, parameter->name, "client_max_window_bits")) {
		seen = &offer->client_bits;
		may_have_value = true;
	}
	if (seen == NULL || *seen || (wants_value && !parameter->has_value) ||
	    (parameter->has_value && (!may_have_value || ws_parameter_bits(parameter) == 0)))
		return false;
	*seen = true;
	return true;
}

/* One offer: a name and its parameters. False where it is none. */
static bool
ws_offer_read(struct ws_offer *offer, const char *data, struct http_span rest)
{
	struct ws_parameter parameter;
	struct http_span name;
	bool more;

	*offer = (struct ws_offer){.bits = WS_DEFLATE_BITS_MAX};
	name = http_list_cut(data, &rest, ';', &more);
	if (!http_is_token(data + name.at, name.length))
		return false;
	offer->is_ours = offer->is_good = http_is(data, name, "permessage-deflate");
	while (more) {
		struct http_span next = http_list_cut(data, &rest, ';', &more);

		if (!ws_parameter_read(&parameter, data, next))
			return false;
		if (offer->is_ours && !ws_offer_take(offer, &parameter, data))
			offer->is_good = false;
	}
	/* zlib packs with no window of 8 bits. */
	offer->is_good = offer->is_good && offer->bits >= WS_DEFLATE_BITS_MIN;
	return true;
}

bool
ws_extensions_read(struct ws_extensions *extensions, const struct http_request *request,
    const char *data, bool deflate)
{
	struct http_list list = http_list_of(request, data, "sec-websocket-extensions");
	struct http_span element;
	struct ws_offer offer;

	*extensions = (struct ws_extensions){0};
	while (http_list_next(&list, &element)) {
		if (!ws_offer_read(&offer, data, element))
			return false;
		if (extensions->bits == 0 && deflate && offer.is_good)
			*extensions = (struct ws_extensions){offer.bits, offer.server_bits};
	}
	return true;
}

void
ws_extensions_write(struct buf *fields, const struct ws_extensions *extensions)
{
	static const char packed[] =
	    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
	    "client_no_context_takeover";
	char window[40];

	if (extensions->bits == 0)
		return;
	buf_append(fields, packed, strlen(packed));
	snprintf(window, sizeof(window), "; server_max_window_bits=%u", extensions->bits);
	if (extensions->asks_bits)
		buf_append(fields, window, strlen(window));
	buf_append(fields, "\r\n", 2);
}
