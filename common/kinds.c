/*
 * The names of protocols and handlers and which may stand together, from the lists in kinds.h.
 * Constant tables only.
 */
#include "common/kinds.h"

#include <stddef.h>

/* The word for what a build may lack; whether IN_... keeps its words tells whether it does. */
#define KINDS_LACK_IN_ALL       NULL
#define KINDS_LACK_IN_HTTP      "HTTP"
#define KINDS_LACK_IN_WEBSOCKET "WebSocket"
#define KINDS_LACK(in)          (true in(&&false) ? KINDS_LACK_##in : NULL)

static const struct {
	const char *name, *lacks;
} kinds_protocols[] = {
#define X(constant, name, in, help) {#name, KINDS_LACK(in)},
    PROTOCOLS(X)
#undef X
};

static const struct {
	const char *name, *lacks;
	unsigned protocols; /* WITH_... bits */
} kinds_handlers[] = {
#define X(constant, name, in, protocols, help) {#name, KINDS_LACK(in), protocols},
    HANDLERS(X)
#undef X
};

const char *
protocol_name(enum protocol_kind kind)
{
	return (unsigned)kind < PROTOCOL_COUNT ? kinds_protocols[kind].name : "unknown";
}

const char *
handler_name(enum handler_kind kind)
{
	return (unsigned)kind < HANDLER_COUNT ? kinds_handlers[kind].name : "unknown";
}

const char *
protocol_lacks(unsigned kind)
{
	return kind < PROTOCOL_COUNT ? kinds_protocols[kind].lacks : NULL;
}

const char *
handler_lacks(unsigned kind)
{
	return kind < HANDLER_COUNT ? kinds_handlers[kind].lacks : NULL;
}

bool
protocol_is_http(enum protocol_kind kind)
{
	return kind == PROTOCOL_HTTP || kind == PROTOCOL_WEBSOCKET;
}

bool
kinds_go_together(enum protocol_kind protocol, enum handler_kind handler)
{
	if ((unsigned)protocol >= PROTOCOL_COUNT || (unsigned)handler >= HANDLER_COUNT)
		return false;
	return kinds_handlers[handler].protocols & (1u << protocol);
}
