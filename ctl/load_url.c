/*
 * Splits http://HOST:PORT/PATH and ws://HOST:PORT/PATH. Owns nothing, resolves nothing: whether the
 * host is one and the path can stand in a request is judged by those who take them.
 */
#include "ctl/load_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *begin, *protocol;
} load_url_schemes[] = {
    {"http://", "http"},
    {"ws://", "websocket"},
};

/* What stands behind the scheme; NULL where none is known. */
static const char *
load_url_host(const char *text, const char **protocol)
{
	for (size_t i = 0; i < sizeof(load_url_schemes) / sizeof(load_url_schemes[0]); i++) {
		const char *begin = load_url_schemes[i].begin;

		if (strncasecmp(text, begin, strlen(begin)) == 0) {
			*protocol = load_url_schemes[i].protocol;
			return text + strlen(begin);
		}
	}
	return NULL;
}

bool
load_url_split(
    const char *text, char address[LOAD_URL_ADDRESS_MAX], const char **path, const char **protocol)
{
	const char *speaks, *host = load_url_host(text, &speaks);
	const char *port;
	size_t length;
	bool bare;

	if (!host)
		return false;
	length = strcspn(host, "/?#");
	if (length == 0 || host[0] == ':' || length + strlen(":80") >= LOAD_URL_ADDRESS_MAX)
		return false;
	/* The colons of [::1] are no port's. */
	port = memchr(host, ']', length);
	port = port ? port : host;
	bare = memchr(port, ':', length - (size_t)(port - host)) == NULL;
	snprintf(address, LOAD_URL_ADDRESS_MAX, "%.*s%s", (int)length, host, bare ? ":80" : "");
	*protocol = speaks;
	*path = host[length] == '\0' ? "/" : host + length;
	return true;
}
