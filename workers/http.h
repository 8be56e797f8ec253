/*
 * One HTTP/1.x request, found in bytes that come as they like: RFC 9112 by llhttp in its strict
 * mode, and in front of it and behind it the rules that leave no request two readings. Pure: it
 * knows neither a connection nor a service.
 *
 * The bytes of a request stay where they are until it is whole; what is found in them is told as
 * places counted from its first byte. So feeding the same bytes to a fresh one leads to the same
 * state, which is how a connection moves in the middle of a request.
 */
#ifndef WORKERS_HTTP_H
#define WORKERS_HTTP_H

#include "common/buf.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define HTTP_HEADERS_MAX    100  /* fields in a head, and in a trailer */
#define HTTP_EXTENSIONS_MAX 4096 /* bytes of all chunk extensions of a request */
#define HTTP_TRAILER_MAX    8192 /* bytes behind the line of the last chunk */
#define HTTP_DIGITS_MAX     16   /* of a chunk's size */
#define HTTP_METHOD_MAX     32   /* bytes of a method that is not known */

enum http_found {
	HTTP_NEEDS_MORE, /* not yet */
	HTTP_HAS_HEAD,   /* its head is whole; told once, then feed it again */
	HTTP_HAS_ALL,    /* all of it; `used` bytes belong to it */
	HTTP_IS_BAD      /* `status` says why; whatever follows has no meaning */
};

struct http_span {
	size_t at, length;
};

struct http_header {
	struct http_span name, value; /* without white space around them */
};

struct http_limits {
	size_t target; /* bytes of the request target: beyond it 414 */
	size_t head;   /* bytes of the whole head: beyond it 431 */
	size_t body;   /* bytes: beyond it 413 */
};

struct http_request {
	/* Known from HTTP_HAS_HEAD on. */
	const char *method;      /* borrows, for ever */
	struct http_span target; /* as it was sent */
	struct http_span path;   /* of it, without the query; "*" for OPTIONS * */
	struct http_span query;  /* what is behind the question mark */
	struct http_span host;   /* with its port; of the target where that has one; may be empty */
	unsigned header_count;   /* of headers, below */
	unsigned minor;          /* of HTTP/1.minor */
	bool is_head, is_get, is_post, is_put, is_options;
	bool keeps_alive;  /* the client wants to go on */
	bool expects;      /* Expect: 100-continue */
	bool expects_more; /* Expect: something else */
	bool upgrades;     /* Connection: Upgrade, with an Upgrade field */
	bool prefers_json; /* Accept names application/json, and not below plain text */
	bool is_chunked;
	uint64_t length; /* Content-Length; 0 where there is none */
	size_t head;     /* bytes of it */

	/* Known from HTTP_HAS_ALL on. */
	struct http_span body; /* where it was sent in one piece */
	struct buf chunks;     /* owns; where it was chunked: all of it */
	size_t used;

	/* Of HTTP_IS_BAD. */
	unsigned status;

	/* Its own. */
	llhttp_t parser;
	const struct http_limits *limits; /* borrows */
	const char *data;                 /* borrows; the first byte, during a call */
	size_t fed;                       /* bytes that the parser has seen */
	size_t given;                     /* bytes that it sees in this call */
	size_t line;                      /* where that of the next chunk's size begins */
	size_t trailer;                   /* where it begins; 0: not yet */
	size_t extensions;                /* bytes of them so far */
	bool in_value, head_told, whole;

	/* Known with the head. They are many and most are never used: not set to zero, so they come
	 * last. */
	struct http_header headers[HTTP_HEADERS_MAX];
};

/* A fresh one. */
void http_open(struct http_request *request, const struct http_limits *limits);
/* Releases what it owns; it may be opened again. */
void http_close(struct http_request *request);
/* `data` is the request from its first byte on; no fewer bytes than the last time. */
enum http_found http_feed(struct http_request *request, const char *data, size_t length);

/* The only field of that name (lower case), or NULL; *count says how many there are. */
const struct http_header *http_find(
    const struct http_request *request, const char *data, const char *name, unsigned *count);
/*
 * Whether the text, case ignored, is that one. Here, because for a constant most texts are told
 * apart by their length then, without a call.
 */
static inline bool
http_is(const char *data, struct http_span span, const char *text)
{
	return span.length == strlen(text) && strncasecmp(data + span.at, text, span.length) == 0;
}
/* Whether a list of tokens, with commas between, has that one (lower case). */
bool http_has_token(const char *data, struct http_span span, const char *token);

/* ---- between its own files: http_accept.c ---- */

/* What the Accept fields of a request weigh, in thousandths; begins as zeros. */
struct http_weights {
	unsigned json, text; /* application/json by name; text/plain by whatever it is covered */
	unsigned rank;       /* how closely that names it */
};

/* One field's value more. */
void http_weigh(struct http_weights *weights, const char *data, struct http_span accept);

/* ---- http_rules.c ---- */

/* The head is whole: fills in what is known of it. 0, or the status that it is refused with. */
unsigned http_judge(struct http_request *request, const char *data);
/* The trailer is whole, the same. */
unsigned http_judge_trailer(const struct http_request *request, const char *data);
/* The status for what the parser would not take; 0 when it is not known yet. */
unsigned http_judge_error(const struct http_request *request, llhttp_errno_t error, size_t length);

#endif
