/*
 * Addresses as people write them and as the kernel wants them. Numeric only, with the two words
 * "localhost" and "*": no name is ever looked up, so reading a configuration cannot wait for a
 * network. Owns nothing; touches no socket and no file.
 */
#include "common/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ADDR_PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define ADDR_EXPECTED    "expected 127.0.0.1:80, [::1]:80, localhost:80, *:80 or unix:/path"

static bool addr_fail(char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool
addr_fail(char *why, size_t why_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_size, format, args);
	va_end(args);
	return false;
}

static bool
addr_parse_unix(struct addr *addr, const char *path, char *why, size_t why_size)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&addr->storage;
	size_t length = strlen(path);

	if (path[0] != '/')
		return addr_fail(why, why_size, "'%s' is no absolute path for a unix socket", path);
	if (length >= sizeof(un->sun_path))
		return addr_fail(why, why_size,
		    "the path of a unix socket may have at most %zu bytes, this one has %zu",
		    sizeof(un->sun_path) - 1, length);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, length + 1);
	addr->length = (socklen_t)(ADDR_PATH_OFFSET + length + 1);
	return true;
}

static bool
addr_parse_port(in_port_t *port, const char *text, char *why, size_t why_size)
{
	unsigned value = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || text[digits] != '\0')
		return addr_fail(
		    why, why_size, "'%s' is no port: a number from 0 to 65535 was expected", text);
	for (const char *digit = text; *digit && value <= 65535; digit++)
		value = value * 10 + (unsigned)(*digit - '0');
	if (value > 65535)
		return addr_fail(why, why_size, "port %s is not in the range 0 to 65535", text);
	*port = htons((in_port_t)value);
	return true;
}

/* `text` starts with a bracket. */
static bool
addr_parse_ipv6(struct addr *addr, const char *text, char *why, size_t why_size)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr->storage;
	const char *end = strchr(text, ']');
	char host[INET6_ADDRSTRLEN] = "";
	size_t length;

	if (!end)
		return addr_fail(why, why_size, "'%s' lacks the closing bracket", text);
	length = (size_t)(end - text) - 1;
	if (length < sizeof(host))
		memcpy(host, text + 1, length);
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return addr_fail(why, why_size, "'%.*s' is no IPv6 address", (int)length, text + 1);
	if (end[1] != ':')
		return addr_fail(why, why_size, "'%s' lacks a port: write %.*s:PORT", text,
		    (int)length + 2, text);
	in6->sin6_family = AF_INET6;
	addr->length = sizeof(*in6);
	return addr_parse_port(&in6->sin6_port, end + 2, why, why_size);
}

/* The part before the port; an empty one means loopback. */
static bool
addr_parse_host(struct in_addr *in, const char *text, size_t length)
{
	char host[INET_ADDRSTRLEN] = "";

	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	if (length == 0 || strcmp(host, "localhost") == 0)
		in->s_addr = htonl(INADDR_LOOPBACK);
	else if (strcmp(host, "*") == 0)
		in->s_addr = htonl(INADDR_ANY);
	else
		return inet_pton(AF_INET, host, in) == 1;
	return true;
}

static bool
addr_parse_ipv4(struct addr *addr, const char *text, char *why, size_t why_size)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&addr->storage;
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;

	if (colon && strchr(colon + 1, ':'))
		return addr_fail(why, why_size,
		    "'%s' has several colons: write an IPv6 address in brackets, like [::1]:80",
		    text);
	if (!colon && strspn(text, "0123456789") != strlen(text))
		return addr_fail(why, why_size, "'%s' is no address: " ADDR_EXPECTED, text);
	if (!addr_parse_host(&in->sin_addr, text, length))
		return addr_fail(why, why_size,
		    "'%.*s' is no numeric address (names are not looked up): " ADDR_EXPECTED,
		    (int)length, text);
	in->sin_family = AF_INET;
	addr->length = sizeof(*in);
	return addr_parse_port(&in->sin_port, colon ? colon + 1 : text, why, why_size);
}

bool
addr_parse(struct addr *addr, const char *text, char *why, size_t why_size)
{
	memset(addr, 0, sizeof(*addr));
	if (text[0] == '\0')
		return addr_fail(why, why_size, "the address is empty: " ADDR_EXPECTED);
	if (strstr(text, "://") != NULL)
		return addr_fail(why, why_size, "'%.64s' is a URL: " ADDR_EXPECTED, text);
	if (strncmp(text, "unix:", 5) == 0)
		return addr_parse_unix(addr, text + 5, why, why_size);
	if (text[0] == '/')
		return addr_parse_unix(addr, text, why, why_size);
	if (text[0] == '[')
		return addr_parse_ipv6(addr, text, why, why_size);
	return addr_parse_ipv4(addr, text, why, why_size);
}

/*
 * The kernel may hand back a path that fills sun_path without a NUL; `length` then says where it
 * ends.
 */
static size_t
addr_path_length(const struct addr *addr)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->storage;
	size_t room;

	if (addr->storage.ss_family != AF_UNIX || addr->length <= ADDR_PATH_OFFSET)
		return 0;
	room = addr->length - ADDR_PATH_OFFSET;
	if (room > sizeof(un->sun_path))
		room = sizeof(un->sun_path);
	return strnlen(un->sun_path, room);
}

const char *
addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&addr->storage;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->storage;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->storage;
	char host[INET6_ADDRSTRLEN];

	switch (addr->storage.ss_family) {
	case AF_INET:
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT_MAX, "%s:%u", host, addr_port(addr));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT_MAX, "[%s]:%u", host, addr_port(addr));
		break;
	case AF_UNIX:
		snprintf(
		    text, ADDR_TEXT_MAX, "unix:%.*s", (int)addr_path_length(addr), un->sun_path);
		break;
	default:
		snprintf(text, ADDR_TEXT_MAX, "no address");
	}
	return text;
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	const struct sockaddr_in *in_a = (const struct sockaddr_in *)&a->storage;
	const struct sockaddr_in *in_b = (const struct sockaddr_in *)&b->storage;
	const struct sockaddr_in6 *in6_a = (const struct sockaddr_in6 *)&a->storage;
	const struct sockaddr_in6 *in6_b = (const struct sockaddr_in6 *)&b->storage;
	size_t length = addr_path_length(a);

	if (a->storage.ss_family != b->storage.ss_family || addr_port(a) != addr_port(b))
		return false;
	switch (a->storage.ss_family) {
	case AF_INET:
		return in_a->sin_addr.s_addr == in_b->sin_addr.s_addr;
	case AF_INET6:
		return memcmp(&in6_a->sin6_addr, &in6_b->sin6_addr, sizeof(in6_a->sin6_addr)) == 0;
	case AF_UNIX:
		return length > 0 && length == addr_path_length(b) &&
		       memcmp(((const struct sockaddr_un *)in_a)->sun_path,
			   ((const struct sockaddr_un *)in_b)->sun_path, length) == 0;
	default:
		return false;
	}
}

static bool
addr_is_wildcard(const struct addr *addr)
{
	if (addr->storage.ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(
		    &((const struct sockaddr_in6 *)&addr->storage)->sin6_addr);
	return addr->storage.ss_family == AF_INET &&
	       ((const struct sockaddr_in *)&addr->storage)->sin_addr.s_addr == INADDR_ANY;
}

bool
addr_collides(const struct addr *a, const struct addr *b)
{
	return a->storage.ss_family == b->storage.ss_family && !addr_is_unix(a) &&
	       addr_port(a) == addr_port(b) && addr_port(a) != 0 && !addr_equal(a, b) &&
	       (addr_is_wildcard(a) || addr_is_wildcard(b));
}

bool
addr_is_unix(const struct addr *addr)
{
	return addr->storage.ss_family == AF_UNIX;
}

const char *
addr_path(const struct addr *addr)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->storage;

	return addr_path_length(addr) ? un->sun_path : NULL;
}

unsigned
addr_port(const struct addr *addr)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&addr->storage;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->storage;

	if (addr->storage.ss_family == AF_INET)
		return ntohs(in->sin_port);
	if (addr->storage.ss_family == AF_INET6)
		return ntohs(in6->sin6_port);
	return 0;
}
