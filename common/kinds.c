/*
 * The names of protocols and handlers and which may stand together, from the lists in kinds.h.
 * Constant tables only.
 */
#include "common/kinds.h"

#include <stddef.h>

static const char *const kinds_protocols[] = {
#define X(constant, name, help) #name,
    PROTOCOLS(X)
#undef X
};

static const struct {
	const char *name;
	unsigned protocols; /* WITH_... bits */
} kinds_handlers[] = {
#define X(constant, name, protocols, help) {#name, protocols},
    HANDLERS(X)
#undef X
};

const char *
protocol_name(enum protocol_kind kind)
{
	return (unsigned)kind < PROTOCOL_COUNT ? kinds_protocols[kind] : "unknown";
}

const char *
handler_name(enum handler_kind kind)
{
	return (unsigned)kind < HANDLER_COUNT ? kinds_handlers[kind].name : "unknown";
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
