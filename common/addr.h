/*
 * Where a service listens: an IPv4, IPv6 or unix address, as text and as sockaddr.
 *
 * Text forms: 127.0.0.1:80, [::1]:80, localhost:80, *:80 (every IPv4 address), :80 or 80 alone
 * (loopback), unix:/run/x.sock or an absolute path. Port 0 lets the kernel choose.
 */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ADDR_TEXT_MAX 128 /* bytes of addr_format() with its NUL */

struct addr {
	struct sockaddr_storage storage;
	socklen_t length;
};

/* Returns false and writes a sentence without a full stop to `why` when the text is no address. */
bool addr_parse(struct addr *addr, const char *text, char *why, size_t why_size);
/* "127.0.0.1:80", "[::1]:80" or "unix:/run/x.sock". Returns `text`. */
const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX]);
bool addr_equal(const struct addr *a, const struct addr *b);
/* Whether one of the two is every address of the other's family, at the same port. */
bool addr_collides(const struct addr *a, const struct addr *b);
bool addr_is_unix(const struct addr *addr);
/* The path of a unix address, else NULL. */
const char *addr_path(const struct addr *addr);
/* The port of an IP address, else 0. */
unsigned addr_port(const struct addr *addr);

#endif
