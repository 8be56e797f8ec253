/*
 * Handshakes: the fields that a client sends are collected, judged one by one, and answered. Owns
 * nothing. What is packed how is agreed on in ws_extensions.c.
 */
#include "workers/ws_handshake.h"

#include "common/base64.h"
#include "common/conf.h"
#include "workers/http_fields.h"
#include "workers/http_list.h"
#include "workers/ws_extensions.h"

#include <sha1.h>
#include <string.h>
#include <strings.h>

#define WS_HANDSHAKE_SALT "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define WS_KEY_BYTES      16

struct ws_asked {
	const struct http_request *request; /* borrows */
	const char *data;                   /* borrows */
	struct http_span key, version, origin;
	unsigned keys, versions, origins; /* how many of each */
	bool upgrades;
};

/* ---- what the client sent ---- */

static void
ws_asked_once(struct http_span *span, unsigned *count, struct http_span value)
{
	*span = value;
	(*count)++;
}

static void
ws_asked_take(struct ws_asked *asked, const struct http_header *header)
{
	const char *data = asked->data;

	switch (header->name.length) {
	case 6:
		if (http_is(data, header->name, "origin"))
			ws_asked_once(&asked->origin, &asked->origins, header->value);
		break;
	case 7:
		if (http_is(data, header->name, "upgrade"))
			asked->upgrades |= http_has_token(data, header->value, "websocket");
		break;
	case 17:
		if (http_is(data, header->name, "sec-websocket-key"))
			ws_asked_once(&asked->key, &asked->keys, header->value);
		break;
	case 21:
		if (http_is(data, header->name, "sec-websocket-version"))
			ws_asked_once(&asked->version, &asked->versions, header->value);
		break;
	}
}

/* ---- may it be? ---- */

static unsigned
ws_handshake_say(struct buf *fields, unsigned status, const char *text)
{
	buf_append(fields, text, strlen(text));
	return status;
}

static bool
ws_handshake_is_key(const struct ws_asked *asked)
{
	char bytes[WS_KEY_LENGTH];
	size_t made;

	return asked->keys == 1 && asked->key.length == WS_KEY_LENGTH &&
	       base64_decode(bytes, &made, asked->data + asked->key.at, WS_KEY_LENGTH) &&
	       made == WS_KEY_BYTES;
}

/* 4.2.1, but for the Origin. 0 where nothing is wrong. */
static unsigned
ws_handshake_judge(const struct ws_asked *asked, struct buf *fields)
{
	const struct http_request *request = asked->request;

	if (!request->is_get)
		return ws_handshake_say(fields, 405, "Allow: GET\r\n");
	if (!request->upgrades || !asked->upgrades)
		return 426;
	if (asked->versions > 1 || request->length > 0 || request->is_chunked)
		return 400;
	if (asked->versions == 0 || !http_is(asked->data, asked->version, "13"))
		return ws_handshake_say(fields, 426, WS_HANDSHAKE_VERSIONS);
	return ws_handshake_is_key(asked) ? 0 : 400;
}

/* ---- origins ---- */

/* What a page of the same host says of itself, whichever way it came: SCHEME://HOST[:PORT]. */
static bool
ws_handshake_is_same_host(const struct ws_asked *asked)
{
	const char *origin = asked->data + asked->origin.at;
	const char *host = memmem(origin, asked->origin.length, "://", 3);
	size_t length = asked->request->host.length;

	if (host == NULL)
		return false;
	host += 3;
	return length > 0 && (size_t)(origin + asked->origin.length - host) == length &&
	       strncasecmp(host, asked->data + asked->request->host.at, length) == 0;
}

/* Who sends none is no browser, and so nobody's page. */
static bool
ws_handshake_is_welcome(const struct ws_asked *asked, const struct conf_service *conf)
{
	if (asked->origins == 0)
		return true;
	if (asked->origins > 1)
		return false;
	if (conf->origins == NULL)
		return ws_handshake_is_same_host(asked);
	return strcmp(conf->origins, "*") == 0 ||
	       conf_word_is_in(conf->origins, asked->data + asked->origin.at, asked->origin.length);
}

/* ---- subprotocols ---- */

static bool
ws_handshake_has_subprotocol(const char *list, const char *name, size_t length)
{
	size_t word;

	for (; (list = conf_word_next(list, &word)) != NULL; list += word)
		if (word == length && memcmp(list, name, length) == 0)
			return true;
	return false;
}

/*
 * The first name of the client's list that the service has too; chosen->length 0 where there is
 * none. False where the list is none.
 */
static bool
ws_handshake_choose(
    const struct ws_asked *asked, const struct conf_service *conf, struct http_span *chosen)
{
	struct http_list list = http_list_of(asked->request, asked->data, "sec-websocket-protocol");
	struct http_span name;

	*chosen = (struct http_span){0};
	while (http_list_next(&list, &name)) {
		const char *text = asked->data + name.at;

		if (!http_is_token(text, name.length))
			return false;
		if (chosen->length == 0 && conf->subprotocols != NULL &&
		    ws_handshake_has_subprotocol(conf->subprotocols, text, name.length))
			*chosen = name;
	}
	return true;
}

/* ---- the answer ---- */

void
ws_handshake_accept(char accept[WS_ACCEPT_LENGTH], const char key[WS_KEY_LENGTH])
{
	unsigned char digest[SHA1_DIGEST_LENGTH];
	SHA1_CTX sha1;

	SHA1Init(&sha1);
	SHA1Update(&sha1, (const uint8_t *)key, WS_KEY_LENGTH);
	SHA1Update(&sha1, (const uint8_t *)WS_HANDSHAKE_SALT, strlen(WS_HANDSHAKE_SALT));
	SHA1Final(digest, &sha1);
	base64_encode(accept, digest, sizeof(digest));
}

static void
ws_handshake_answer(const struct ws_asked *asked, struct http_span subprotocol, struct buf *fields)
{
	static const char accepts[] = "Sec-WebSocket-Accept: ",
			  speaks[] = "Sec-WebSocket-Protocol: ";
	char accept[WS_ACCEPT_LENGTH];

	ws_handshake_accept(accept, asked->data + asked->key.at);
	buf_append(fields, accepts, strlen(accepts));
	buf_append(fields, accept, WS_ACCEPT_LENGTH);
	buf_append(fields, "\r\n", 2);
	if (subprotocol.length == 0)
		return;
	buf_append(fields, speaks, strlen(speaks));
	buf_append(fields, asked->data + subprotocol.at, subprotocol.length);
	buf_append(fields, "\r\n", 2);
}

unsigned
ws_handshake_read(const struct conf_service *conf, const struct http_request *request,
    const char *data, struct buf *fields, unsigned *bits)
{
	struct ws_asked asked = {.request = request, .data = data};
	struct ws_extensions extensions;
	struct http_span subprotocol;
	unsigned status;

	*bits = 0;
	for (unsigned i = 0; i < request->header_count; i++)
		ws_asked_take(&asked, &request->headers[i]);
	status = ws_handshake_judge(&asked, fields);
	if (status != 0)
		return status;
	if (!ws_handshake_is_welcome(&asked, conf))
		return 403;
	if (!ws_handshake_choose(&asked, conf, &subprotocol) ||
	    !ws_extensions_read(&extensions, request, data, conf->deflate))
		return 400;
	ws_handshake_answer(&asked, subprotocol, fields);
	ws_extensions_write(fields, &extensions);
	*bits = extensions.bits;
	return 101;
}
