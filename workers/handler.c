/* The table of handlers. */
#include "workers/handler.h"

#define X(constant, name, in, protocols, help) in(extern const struct handler handler_##name;)
HANDLERS(X)
#undef X

const struct handler *
handler_find(enum handler_kind kind)
{
	static const struct handler *const table[] = {
#define X(constant, name, in, protocols, help) in([HANDLER_##constant] = &handler_##name, )
	    HANDLERS(X)
#undef X
	};

	return table[kind];
}
