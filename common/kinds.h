/*
 * Which protocols and handlers there are, and which go together: one row each. The configuration,
 * the workers' tables and the documentation all come from these lists.
 */
#ifndef COMMON_KINDS_H
#define COMMON_KINDS_H

#include <stdbool.h>

/* X(CONSTANT, name, "what it is") */
#define PROTOCOLS(X)                                                                               \
	X(STREAM, stream, "bytes as they come")                                                    \
	X(LINE, line, "messages that end with LF")                                                 \
	X(FRAME, frame, "messages behind a four-byte length")                                      \
	X(HTTP, http, "HTTP/1.1")                                                                  \
	X(WEBSOCKET, websocket, "messages of a WebSocket")

enum protocol_kind {
#define X(constant, name, help) PROTOCOL_##constant,
	PROTOCOLS(X)
#undef X
	    PROTOCOL_COUNT
};

#define WITH_STREAM    (1u << PROTOCOL_STREAM)
#define WITH_LINE      (1u << PROTOCOL_LINE)
#define WITH_FRAME     (1u << PROTOCOL_FRAME)
#define WITH_HTTP      (1u << PROTOCOL_HTTP)
#define WITH_WEBSOCKET (1u << PROTOCOL_WEBSOCKET)

/* X(CONSTANT, name, protocols it can serve, "what it is") */
#define HANDLERS(X)                                                                                \
	X(ECHO, echo, WITH_STREAM | WITH_LINE | WITH_FRAME | WITH_HTTP | WITH_WEBSOCKET,           \
	    "replies with the request")                                                            \
	X(DISCARD, discard, WITH_STREAM | WITH_LINE | WITH_FRAME, "reads and says nothing")        \
	X(COLLECT, collect, WITH_STREAM | WITH_LINE | WITH_FRAME, "appends messages to a file")    \
	X(PROGRAM, program, WITH_LINE | WITH_FRAME | WITH_HTTP | WITH_WEBSOCKET,                   \
	    "a program of yours, in a warm pool")                                                  \
	X(STATIC, static, WITH_HTTP, "files of a folder")                                          \
	X(STATUS, status, WITH_HTTP, "what hostlerd is doing: a page, metrics, health")

enum handler_kind {
#define X(constant, name, protocols, help) HANDLER_##constant,
	HANDLERS(X)
#undef X
	    HANDLER_COUNT
};

const char *protocol_name(enum protocol_kind kind);
const char *handler_name(enum handler_kind kind);
/* Whether what comes first is an HTTP request. */
bool protocol_is_http(enum protocol_kind kind);
/* Whether the handler can stand behind the protocol (design: "legal pairs"). */
bool kinds_go_together(enum protocol_kind protocol, enum handler_kind handler);

#endif
