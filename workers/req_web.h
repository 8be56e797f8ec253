/*
 * Requests of HTTP, for handlers that serve it alone (`is_web` in struct handler): what they are
 * told beside the message, and how they reply with more than a message. Such a request is taken up
 * when it is its turn, so whenever it is answered its reply is the next to go out.
 */
#ifndef WORKERS_REQ_WEB_H
#define WORKERS_REQ_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_request;
struct req;
struct service;

#define REQ_WEB_PATH_MAX 4095 /* bytes of a path, without its NUL; a longer one is refused */

/* Everything is borrowed until handle() returns. */
struct req_web {
	const char *method; /* for ever; "GET" */
	bool is_get, is_head, is_options;
	const char *path;   /* decoded, with a NUL behind; without what led to the service */
	size_t path_length; /* a decoded NUL may stand in it */
	const char *target; /* the whole path as it was sent; no NUL behind */
	size_t target_length;
	const char *query; /* as it was sent, without the question mark; no NUL behind */
	size_t query_length;

	/* For req_web_field(). */
	const struct http_request *request;
	const char *data;
};

/* Whether the handler of a service is one of those. */
bool req_web_serves(const struct service *service);
/* The value of a field by its name (lower case); NULL where it is not there exactly once. */
const char *req_web_field(const struct req_web *web, const char *name, size_t *length);

/*
 * A reply. Of 204 and 304 there is no body, of HEAD only its length is told; neither needs a
 * handler's care, nor do Date, Server, Connection, Content-Length and X-Request-Id.
 */
struct req_web_answer {
	unsigned status;
	const char *type;   /* Content-Type; NULL for none */
	const char *fields; /* more of them, each with its CR LF; NULL for none */
	const char *body;
	size_t length; /* bytes of it, or of the file from there on */
	bool has_file;
	int file; /* taken over, if it has one; then there is no body */
	uint64_t from;
	bool explains; /* the body is the status in words, whatever stands here */
};

/* Each ends the request, as those of req.h do. */
void req_web_reply(struct req *req, const struct req_web_answer *answer);
/* A few words that say the status. */
void req_web_refuse(struct req *req, unsigned status, const char *fields);
/*
 * 301: what was asked for is a folder, and its pages' links rely on a slash behind it. The new
 * place is relative to the old one, and so leads nowhere else, whatever was asked for.
 */
void req_web_add_slash(struct req *req, const char *fields);

#endif
