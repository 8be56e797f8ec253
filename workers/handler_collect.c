/*
 * collect: appends messages to a file and says OK when they are there. This is the handler's face;
 * gathering and answering is collect.c's, writing committer.c's.
 */
#include "workers/collect.h"
#include "workers/handler.h"
#include "workers/service.h"

static void
handler_collect_start(struct service *service)
{
	service->collect = collect_new(service);
}

static void
handler_collect_handle(struct req *req)
{
	collect_add(req->service->collect, req);
}

static void
handler_collect_cancel(struct req *req)
{
	collect_forget(req->service->collect, req);
}

extern const struct handler handler_collect;
const struct handler handler_collect = {
    .start = handler_collect_start,
    .handle = handler_collect_handle,
    .cancel = handler_collect_cancel,
};
