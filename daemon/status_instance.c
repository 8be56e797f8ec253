/*
 * What there is to tell of a service's instances. What the kernel says of a process is asked here
 * and now, and only for as long as the master can spare.
 */
#include "daemon/status.h"

#include "common/clock.h"
#include "daemon/master.h"
#include "daemon/procfs.h"

#define STATUS_BUDGET (50 * CLOCK_MS) /* for what the kernel is slow to count, in one command */

static const char *
status_instance_state(const struct instance *instance, const struct pool_view *view)
{
	if (instance->state == INSTANCE_EMPTY)
		return instance->starts > 0 ? "waiting" : "empty";
	if (instance->state == INSTANCE_STARTING ||
	    (instance->state == INSTANCE_RUNNING && !instance->offered))
		return "starting";
	if (!instance_is_live(instance))
		return "stopping";
	if (view->incarnation == instance->incarnation && view->state == POOL_LEASED)
		return "busy";
	return "idle";
}

static json_t *
status_figure(int64_t figure)
{
	return figure == PROCFS_UNKNOWN ? json_null() : json_integer(figure);
}

/* What the kernel knows of the process; null where there is none or it may not be told. */
static void
status_add_figures(json_t *object, const struct instance *instance, uint64_t until)
{
	struct procfs_figures figures = {
	    PROCFS_UNKNOWN, PROCFS_UNKNOWN, PROCFS_UNKNOWN, PROCFS_UNKNOWN};

	if (instance->pid > 0)
		procfs_read(instance->pid, until, &figures);
	json_object_set_new(object, "rss", status_figure(figures.rss));
	json_object_set_new(object, "pss", status_figure(figures.pss));
	json_object_set_new(object, "cpu",
	    figures.cpu == PROCFS_UNKNOWN ? json_null() : json_real((double)figures.cpu / 1000.0));
	json_object_set_new(object, "descriptors", status_figure(figures.descriptors));
}

static json_t *
status_instance(const struct instance *instance, uint64_t now)
{
	const char *said =
	    instance->output.last[0] != '\0' ? instance->output.last : instance->last_said;
	struct pool_view view;
	json_t *object;

	pool_peek(instance->service->pool, instance->slot, &view);
	object = json_pack("{s:i, s:I, s:o, s:s, s:o, s:o, s:o, s:i, s:i, s:o, s:o}", "slot",
	    (int)instance->slot, "incarnation", (json_int_t)instance->incarnation, "pid",
	    status_pid(instance->pid), "state", status_instance_state(instance, &view), "age",
	    status_seconds(instance->since, now), "requests",
	    status_number(instance_requests(instance)), "served", status_number(view.served),
	    "starts", (int)instance->starts, "recycled", (int)instance->recycled, "last_exit",
	    status_text(instance->last_exit), "last_stderr", status_text(said));
	status_add_figures(object, instance, now + STATUS_BUDGET);
	return object;
}

json_t *
status_instances(const struct service *service, uint64_t now)
{
	json_t *list = json_array();
	unsigned missing = service_missing(service);

	/* There are more places than there are to be instances. */
	for (unsigned i = 0; i < service->count; i++) {
		const struct instance *instance = &service->instances[i];
		bool empty = instance->state == INSTANCE_EMPTY;

		if (empty && missing == 0)
			continue;
		missing -= empty;
		json_array_append_new(list, status_instance(instance, now));
	}
	return list;
}
