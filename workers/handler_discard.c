/* discard: reads and says nothing, as RFC 863. */
#include "workers/handler.h"
#include "workers/req.h"

static void
handler_discard_handle(struct req *req)
{
	req_finish_silently(req);
}

extern const struct handler handler_discard;
const struct handler handler_discard = {
    .handle = handler_discard_handle,
};
