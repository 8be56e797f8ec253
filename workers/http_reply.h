/*
 * HTTP replies, written straight into the output of a connection. What varies is the status, how
 * the connection goes on and the body; the rest is made once a second.
 */
#ifndef WORKERS_HTTP_REPLY_H
#define WORKERS_HTTP_REPLY_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a reply is to be written, as its request wanted it. */
enum http_reply_flag {
	HTTP_REPLY_NO_BODY = 1, /* HEAD: all but the body */
	HTTP_REPLY_CLOSE = 2,   /* the connection ends behind it */
	HTTP_REPLY_KEEP_10 = 4, /* HTTP/1.0 that goes on wants to be told so */
	HTTP_REPLY_JSON = 8     /* a refusal is told in JSON */
};

struct http_reply {
	unsigned status;
	unsigned flags;
	const char *type;   /* Content-Type; NULL for none */
	const char *fields; /* more header fields, each with its line end; NULL for none */
	const char *note;   /* and more of them */
	const char *id;     /* X-Request-Id; NULL for none */
	bool names_server;  /* says who made it */
	bool has_server;    /* `fields` say it */
	bool in_parts;      /* how long its body is nobody knows yet */
};

#define HTTP_CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

/* Appends a 101 with these fields: what it switches to, and what that has to say. */
void http_reply_switch(struct buf *out, const char *upgrade, const struct buf *fields);
/*
 * Appends the whole reply; of one that comes in parts the head alone, and so without a body, whose
 * length is told all the same.
 */
void http_reply_write(
    struct buf *out, const struct http_reply *reply, const char *body, size_t length);
/*
 * Some of a body whose length is not known, and, with no bytes, its end: chunks, or for HTTP/1.0
 * the bytes as they are. `flags` as in its head.
 */
void http_reply_part(struct buf *out, unsigned flags, const char *data, size_t length);
/* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" of now; RFC 9110, 5.6.7. */
const char *http_reply_date(void);

/* The words of a status; "Unknown" for one that has none. */
const char *http_reply_text(unsigned status);

#endif
