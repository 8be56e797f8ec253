/*
 * Counts what keeps a worker that drains. Owns nothing; looks at every connection, and so is called
 * a few times a second and only while it drains.
 */
#include "workers/staying.h"

#include "workers/conn.h"
#include "workers/give.h"
#include "workers/service.h"
#include "workers/worker.h"

struct staying {
	uint64_t asking, staying;
};

static void
staying_count(struct staying *count, const struct service *service)
{
	const struct conn *conn;

	TAILQ_FOREACH (conn, &service->conns, in_service) {
		if (conn->busy != NULL && conn->busy->under_way > 0)
			count->asking++;
		else if (!give_can_ever(conn))
			count->staying++;
	}
}

void
staying_tell(struct worker *worker)
{
	struct staying count = {0};

	for (unsigned i = 0; i < worker->start->conf->service_count; i++)
		staying_count(&count, &worker->services[i]);
	atomic_store_explicit(&worker->sum->asking, count.asking, memory_order_relaxed);
	atomic_store_explicit(&worker->sum->staying, count.staying, memory_order_relaxed);
}
