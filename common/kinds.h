/*
 * Which protocols and handlers there are, and which go together: one row each. The configuration,
 * the workers' tables and the documentation all come from these lists. What configure left out of
 * a build has its row all the same, for everybody knows its name; its code is not there.
 */
#ifndef COMMON_KINDS_H
#define COMMON_KINDS_H

#include <stdbool.h>

/* What a build may lack (configure --disable-http, --disable-websocket): each keeps or drops what
 * stands in its parentheses. */
#define IN_ALL(...) __VA_ARGS__
#if BUILD_HTTP
#define IN_HTTP(...) __VA_ARGS__
#else
#define IN_HTTP(...)
#endif
#if BUILD_WEBSOCKET
#define IN_WEBSOCKET(...) __VA_ARGS__
#else
#define IN_WEBSOCKET(...)
#endif

/* X(CONSTANT, name, the builds that have it, "what it is") */
#define PROTOCOLS(X)                                                                               \
	X(STREAM, stream, IN_ALL, "bytes as they come")                                            \
	X(LINE, line, IN_ALL, "messages that end with LF")                                         \
	X(FRAME, frame, IN_ALL, "messages behind a four-byte length")                              \
	X(HTTP, http, IN_HTTP, "HTTP/1.1")                                                         \
	X(WEBSOCKET, websocket, IN_WEBSOCKET, "messages of a WebSocket")

enum protocol_kind {
#define X(constant, name, in, help) PROTOCOL_##constant,
	PROTOCOLS(X)
#undef X
	    PROTOCOL_COUNT
};

#define WITH_STREAM    (1u << PROTOCOL_STREAM)
#define WITH_LINE      (1u << PROTOCOL_LINE)
#define WITH_FRAME     (1u << PROTOCOL_FRAME)
#define WITH_HTTP      (1u << PROTOCOL_HTTP)
#define WITH_WEBSOCKET (1u << PROTOCOL_WEBSOCKET)

/* X(CONSTANT, name, the builds that have it, protocols it can serve, "what it is") */
#define HANDLERS(X)                                                                                \
	X(ECHO, echo, IN_ALL, WITH_STREAM | WITH_LINE | WITH_FRAME | WITH_HTTP | WITH_WEBSOCKET,   \
	    "replies with the request")                                                            \
	X(DISCARD, discard, IN_ALL, WITH_STREAM | WITH_LINE | WITH_FRAME,                          \
	    "reads and says nothing")                                                              \
	X(COLLECT, collect, IN_ALL, WITH_STREAM | WITH_LINE | WITH_FRAME,                          \
	    "appends messages to a file")                                                          \
	X(PROGRAM, program, IN_ALL, WITH_LINE | WITH_FRAME | WITH_HTTP | WITH_WEBSOCKET,           \
	    "a program of yours, in a warm pool")                                                  \
	X(STATIC, static, IN_HTTP, WITH_HTTP, "files of a folder")                                 \
	X(STATUS, status, IN_HTTP, WITH_HTTP, "what hostlerd is doing: a page, metrics, health")

enum handler_kind {
#define X(constant, name, in, protocols, help) HANDLER_##constant,
	HANDLERS(X)
#undef X
	    HANDLER_COUNT
};

const char *protocol_name(enum protocol_kind kind);
const char *handler_name(enum handler_kind kind);
/* What this build lacks for a kind, a word for people; NULL: it has it. */
const char *protocol_lacks(unsigned kind);
const char *handler_lacks(unsigned kind);
/* Whether what comes first is an HTTP request. */
bool protocol_is_http(enum protocol_kind kind);
/* Whether the handler can stand behind the protocol (design: "legal pairs"). */
bool kinds_go_together(enum protocol_kind protocol, enum handler_kind handler);

#endif
