/*
 * Which key or value somebody may have meant who wrote another word: a slip of the pen, or what
 * other servers call it. Constant data alone: keeps nothing.
 */
#include "common/option.h"

#include <ctype.h>
#include <string.h>

#define OPTION_WORD_MAX 48 /* bytes of a word worth comparing */

/* What web servers and process managers call it; the first of two words is the stranger. */
static const char *const option_cousins[][2] = {
    {"accesslog", "access_log"},
    {"access_logfile", "access_log"},
    {"address", "listen"},
    {"bind", "listen"},
    {"body_limit", "max_message"},
    {"chdir", "directory"},
    {"client_max_body_size", "max_message"},
    {"cmd", "command"},
    {"compress", "deflate"},
    {"compression", "deflate"},
    {"cors", "cors_origins"},
    {"cors_allow_origin", "cors_origins"},
    {"cwd", "directory"},
    {"document_root", "root"},
    {"docroot", "root"},
    {"env", "environment"},
    {"exec", "command"},
    {"false", "no"},
    {"heartbeat", "ping_interval"},
    {"hostname", "host"},
    {"http_timeout", "request_timeout"},
    {"keepalive_timeout", "idle_timeout"},
    {"limit_conn", "max_connections_per_address"},
    {"limit_req", "rate"},
    {"location", "path"},
    {"max_body", "max_message"},
    {"max_body_size", "max_message"},
    {"max_connections_per_ip", "max_connections_per_address"},
    {"maxconn", "max_connections"},
    {"off", "no"},
    {"on", "yes"},
    {"permessage_deflate", "deflate"},
    {"port", "listen"},
    {"prefix", "path"},
    {"processes", "instances"},
    {"program", "command"},
    {"rate_limit", "rate"},
    {"server_name", "host"},
    {"server_tokens", "server_field"},
    {"static", "root"},
    {"staticdir", "root"},
    {"streaming", "stream"},
    {"timeout", "request_timeout"},
    {"true", "yes"},
    {"url", "path"},
    {"virtual_host", "host"},
    {"ws", "websocket"},
    {"wss", "websocket"},
};

static int
option_fold(char c)
{
	return c == '-' ? '_' : tolower((unsigned char)c);
}

static unsigned
option_least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many single-letter changes make one word of the other; neighbours swapped count as one. */
static unsigned
option_distance(const char *a, size_t length_a, const char *b, size_t length_b)
{
	unsigned rows[3][OPTION_WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= length_b; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= length_a; i++) {
		unsigned *spare = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= length_b; j++) {
			bool same = option_fold(a[i - 1]) == option_fold(b[j - 1]);

			row[j] = option_least(
			    above[j - 1] + !same, option_least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && option_fold(a[i - 1]) == option_fold(b[j - 2]) &&
			    option_fold(a[i - 2]) == option_fold(b[j - 1]))
				row[j] = option_least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[length_b];
}

/* The distance if it is small enough for a slip, else OPTION_WORD_MAX. */
static unsigned
option_slip(const char *text, const char *word)
{
	size_t length_text = strlen(text), length_word = strlen(word);
	unsigned most = length_word < 5 ? 1 : length_word < 10 ? 2 : 3;
	unsigned distance;

	if (length_text > OPTION_WORD_MAX || length_word > OPTION_WORD_MAX)
		return OPTION_WORD_MAX;
	distance = option_distance(text, length_text, word, length_word);
	return distance <= most ? distance : OPTION_WORD_MAX;
}

/* What we call what others call `text`; NULL: they do not. */
static const char *
option_cousin(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < sizeof(option_cousins) / sizeof(option_cousins[0]); i++)
		if (length < OPTION_WORD_MAX && strlen(option_cousins[i][0]) == length &&
		    option_distance(text, length, option_cousins[i][0], length) == 0)
			return option_cousins[i][1];
	return NULL;
}

bool
option_is_near(const char *text, const char *word)
{
	return option_slip(text, word) < OPTION_WORD_MAX;
}

const char *
option_suggest(enum option_scope scope, const char *key)
{
	const char *best = option_cousin(key);
	unsigned least = OPTION_WORD_MAX;

	if (best != NULL && option_find(scope, best) != NULL)
		return best;
	best = NULL;
	for (unsigned i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		unsigned distance;

		if (option->scope != scope)
			continue;
		distance = option_slip(key, option->key);
		if (distance < least) {
			least = distance;
			best = option->key;
		}
	}
	return best;
}

const char *
option_suggest_choice(const struct option *option, const char *text)
{
	const char *cousin = option_cousin(text), *near = NULL;

	for (unsigned i = 0; option->choices[i] != NULL; i++) {
		const char *choice = option->choices[i];

		if (option_lacks(option, i) != NULL)
			continue;
		if (cousin != NULL && strcmp(cousin, choice) == 0)
			return cousin;
		if (near == NULL && option_is_near(text, choice))
			near = choice;
	}
	return near;
}
