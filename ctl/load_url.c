/*
 * Splits http://HOST:PORT/PATH. Owns nothing, resolves nothing: whether the host is one and the
 * path can stand in a request is judged by those who take them.
 */
#include "ctl/load_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LOAD_URL_SCHEME "http://"

bool
load_url_split(const char *text, char address[LOAD_URL_ADDRESS_MAX], const char **path)
{
	const char *host = text + strlen(LOAD_URL_SCHEME);
	const char *port;
	size_t length;
	bool bare;

	if (strncasecmp(text, LOAD_URL_SCHEME, strlen(LOAD_URL_SCHEME)) != 0)
		return false;
	length = strcspn(host, "/?#");
	if (length == 0 || host[0] == ':' || length + strlen(":80") >= LOAD_URL_ADDRESS_MAX)
		return false;
	/* The colons of [::1] are no port's. */
	port = memchr(host, ']', length);
	port = port ? port : host;
	bare = memchr(port, ':', length - (size_t)(port - host)) == NULL;
	snprintf(address, LOAD_URL_ADDRESS_MAX, "%.*s%s", (int)length, host, bare ? ":80" : "");
	*path = host[length] == '\0' ? "/" : host + length;
	return true;
}
