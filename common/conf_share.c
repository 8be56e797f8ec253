/*
 * Which services share an address: those that HTTP comes to, where what a request says tells them
 * apart. The first of them in the file is the front: its socket it is, and a new connection is its.
 * Pure.
 */
#include "common/conf.h"

#include <string.h>
#include <strings.h>

/* ---- lists ---- */

const char *
conf_word_next(const char *list, size_t *length)
{
	static const char between[] = ", \t";

	list += strspn(list, between);
	*length = strcspn(list, between);
	return *length > 0 ? list : NULL;
}

bool
conf_word_is_in(const char *list, const char *word, size_t length)
{
	size_t other;

	for (; (list = conf_word_next(list, &other)) != NULL; list += other)
		if (other == length && strncasecmp(list, word, length) == 0)
			return true;
	return false;
}

/* ---- services ---- */

static bool
conf_share_meet(const char *a, const char *b)
{
	const char *at = a;
	size_t length;

	if (a == NULL || b == NULL)
		return a == b;
	for (; (at = conf_word_next(at, &length)) != NULL; at += length)
		if (conf_word_is_in(b, at, length))
			return true;
	return false;
}

bool
conf_is_apart(const struct conf_service *a, const struct conf_service *b)
{
	return protocol_is_http(a->protocol) && protocol_is_http(b->protocol) &&
	       (a->protocol != b->protocol || strcmp(a->path, b->path) != 0 ||
		   !conf_share_meet(a->host, b->host));
}

unsigned
conf_front(const struct conf *conf, unsigned service, unsigned listen)
{
	const struct conf_service *own = &conf->services[service];
	const struct addr *addr = &own->listen[listen];

	for (unsigned i = 0; i < service; i++) {
		const struct conf_service *other = &conf->services[i];

		for (unsigned j = 0; j < other->listens; j++)
			if (addr_equal(&other->listen[j], addr))
				return conf_is_apart(own, other) ? i : service;
	}
	return service;
}
