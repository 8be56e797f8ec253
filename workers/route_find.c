/*
 * Which of the services that share an address a request of HTTP is for: see route.h. Looks at the
 * request and at what the configuration says; owns nothing.
 */
#include "workers/route.h"

#include "common/conf.h"
#include "workers/http.h"
#include "workers/service.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define ROUTE_ANY_HOST 1u
#define ROUTE_BELOW    2u    /* *.example.org: this, and the length of the word */
#define ROUTE_EXACTLY  1000u /* example.org */

/* ---- paths ---- */

static int
route_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %61 is an a, for whoever asks. */
bool
route_is_below(const char *path, size_t length, const char *prefix)
{
	const char *at = prefix, *end = path + length;

	if (length == 0)
		return strcmp(prefix, "/") == 0;
	for (; *at != '\0'; at++) {
		char c;

		if (path == end)
			return false;
		c = *path++;
		if (c == '%' && end - path >= 2 && route_digit(path[0]) >= 0 &&
		    route_digit(path[1]) >= 0) {
			c = (char)(route_digit(path[0]) << 4 | route_digit(path[1]));
			path += 2;
		}
		if (c != *at)
			return false;
	}
	return at[-1] == '/' || path == end || *path == '/';
}

/* ---- hosts ---- */

/* Without the port, and without the dot that ends a full name. */
static size_t
route_host_length(const char *host, size_t length)
{
	const char *end = length > 0 && *host == '[' ? memchr(host, ']', length) : NULL;
	const char *colon = memchr(host, ':', length);

	if (end != NULL)
		return (size_t)(end - host) + 1;
	if (colon != NULL)
		length = (size_t)(colon - host);
	return length > 1 && host[length - 1] == '.' ? length - 1 : length;
}

static unsigned
route_word_rank(const char *host, size_t length, const char *word, size_t word_length)
{
	if (word_length == length && strncasecmp(word, host, length) == 0)
		return ROUTE_EXACTLY;
	if (word_length < 3 || *word != '*' || length < word_length ||
	    strncasecmp(word + 1, host + length - word_length + 1, word_length - 1) != 0)
		return 0;
	return ROUTE_BELOW + (unsigned)(word_length < ROUTE_EXACTLY / 2 ? word_length : 0);
}

unsigned
route_host_rank(const char *host, size_t length, const char *hosts)
{
	unsigned best = 0;
	const char *at = hosts;
	size_t word;

	if (hosts == NULL)
		return ROUTE_ANY_HOST;
	length = route_host_length(host, length);
	for (; (at = conf_word_next(at, &word)) != NULL; at += word) {
		unsigned rank = route_word_rank(host, length, at, word);

		best = rank > best ? rank : best;
	}
	return best;
}

/* ---- the service ---- */

static uint64_t
route_rank(const struct conf_service *conf, const struct http_request *request, const char *data)
{
	unsigned host = route_host_rank(data + request->host.at, request->host.length, conf->host);
	const char *path = data + request->path.at;
	bool is_star = request->path.length == 1 && *path == '*';

	if (host == 0 || (!is_star && !route_is_below(path, request->path.length, conf->path)))
		return 0;
	return (uint64_t)host << 32 | strlen(conf->path);
}

/* The best of one protocol; the first of those that are equally good. */
static struct service *
route_best(
    const struct route *route, const struct http_request *request, const char *data, bool websocket)
{
	struct service *best = NULL;
	uint64_t best_rank = 0;

	for (unsigned i = 0; i < route->count; i++) {
		const struct conf_service *conf = route->services[i]->conf;
		uint64_t rank;

		if ((conf->protocol != PROTOCOL_HTTP) != websocket)
			continue;
		rank = route_rank(conf, request, data);
		if (rank > best_rank) {
			best = route->services[i];
			best_rank = rank;
		}
	}
	return best;
}

static bool
route_wants_websocket(const struct http_request *request, const char *data)
{
	for (unsigned i = 0; request->upgrades && i < request->header_count; i++)
		if (http_is(data, request->headers[i].name, "upgrade") &&
		    http_has_token(data, request->headers[i].value, "websocket"))
			return true;
	return false;
}

/* Who cannot be a WebSocket is asked as if it had not wished for it: RFC 9110, 7.8. */
struct service *
route_find(
    const struct conn *conn, const struct http_request *request, const char *data, unsigned *status)
{
	const struct route *route = route_of(conn);
	struct service *service = NULL;

	if (route->is_plain)
		return route->services[0];
	if (route_wants_websocket(request, data))
		service = route_best(route, request, data, true);
	if (service == NULL)
		service = route_best(route, request, data, false);
	if (service == NULL)
		*status = route_best(route, request, data, true) != NULL ? 426 : 404;
	return service;
}
