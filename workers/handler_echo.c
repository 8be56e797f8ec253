/* echo: replies with the request. The template for a handler that answers at once. */
#include "workers/handler.h"
#include "workers/req.h"

static void
handler_echo_handle(struct req *req)
{
	req_reply(req, req->data, req->length);
}

extern const struct handler handler_echo;
const struct handler handler_echo = {
    .handle = handler_echo_handle,
};
