/*
 * The orders of the control socket: each looks whether it can be done, begins it, and says what was
 * begun. Owns nothing; the work is that of the master's parts.
 */
#include "daemon/order.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/option.h"
#include "daemon/logs.h"
#include "daemon/master.h"
#include "daemon/mover.h"
#include "daemon/status.h"

#include <string.h>

#define ORDER_WHY_MAX 512

/* ---- stop ---- */

static const struct control_argument order_stop_arguments[] = {
    {"quick", CONTROL_BOOL},
    {NULL, CONTROL_BOOL},
};

/* As TERM and INT. The reply is in the socket before the first step of the stop is taken. */
static json_t *
order_stop(void *arg, const json_t *request, struct control_ask *ask)
{
	struct master *master = arg;
	bool quick = json_is_true(json_object_get(request, "quick"));
	uint64_t open = stats_open(master->sum); /* before the first of them closes */

	(void)ask;
	if (quick)
		stop_now(master, "hostlerctl stop --quick");
	else
		stop_gracefully(master, "hostlerctl stop");
	quick = master->stop.phase == STOP_KILLING;
	return control_done(
	    json_pack("{s:b, s:I, s:o}", "quick", quick, "connections", (json_int_t)open, "timeout",
		quick ? json_real(0)
		      : json_real((double)master->conf->shutdown_timeout / CLOCK_SECOND)));
}

/* ---- reload ---- */

static const struct control_argument order_reload_arguments[] = {
    {"dry_run", CONTROL_BOOL},
    {NULL, CONTROL_BOOL},
};

static json_t *
order_reload(void *arg, const json_t *request, struct control_ask *ask)
{
	if (json_is_true(json_object_get(request, "dry_run")))
		return reload_try(arg);
	reload_order(arg, "hostlerctl reload", ask);
	return NULL;
}

/* ---- upgrade ---- */

static const struct control_argument order_upgrade_arguments[] = {
    {"binary", CONTROL_TEXT},
    {NULL, CONTROL_BOOL},
};

/* Who may talk to us may not yet have us execute what he likes, with our rights. */
static json_t *
order_upgrade(void *arg, const json_t *request, struct control_ask *ask)
{
	const char *binary = json_string_value(json_object_get(request, "binary"));

	if (binary != NULL && !control_ask_is_ours(ask))
		return control_error(
		    "only root, and the user that hostlerd runs as, may name a binary");
	upgrade_order(arg, "hostlerctl upgrade", binary, ask);
	return NULL;
}

/* ---- scale ---- */

static const struct control_argument order_scale_arguments[] = {
    {"workers", CONTROL_COUNT},
    {"service", CONTROL_TEXT},
    {"instances", CONTROL_COUNT},
    {NULL, CONTROL_BOOL},
};

static json_t *
order_scale_workers(struct master *master, json_int_t workers)
{
	struct generation *current = master->current;
	unsigned before = current->wanted;

	if (master->stop.phase != STOP_NONE)
		return control_error("hostlerd is stopping");
	if (!generation_may_have(current, (uint64_t)workers))
		return control_error(
		    "workers: expects a number from 1 to %u", generation_most(current));
	if ((unsigned)workers != before) {
		log_info("scaled to %u worker%s until the next reload", (unsigned)workers,
		    workers == 1 ? "" : "s");
		generation_scale(current, (unsigned)workers, clock_now());
	}
	return control_done(json_pack("{s:i, s:i}", "from", (int)before, "workers", (int)workers));
}

static json_t *
order_scale_service(struct master *master, const char *name, json_int_t instances)
{
	const struct generation *current = master->current;
	char why[256];

	if (master->stop.phase != STOP_NONE)
		return control_error("hostlerd is stopping");
	for (unsigned i = 0; i < current->conf->service_count; i++) {
		struct service *service = current->services[i];
		unsigned before = service->size.wanted;

		if (strcmp(service->name, name) != 0)
			continue;
		if (!service_scale(service, (unsigned)instances, why, sizeof(why)))
			return control_error("%s", why);
		return control_done(json_pack("{s:s, s:i, s:i}", "service", name, "from",
		    (int)before, "instances", (int)instances));
	}
	return control_error("there is no service \"%s\"", name);
}

/* Until the next reload: the file says how many there are to be. */
static json_t *
order_scale(void *arg, const json_t *request, struct control_ask *ask)
{
	const json_t *workers = json_object_get(request, "workers");
	const json_t *service = json_object_get(request, "service");
	const json_t *instances = json_object_get(request, "instances");

	(void)ask;
	/* The next image is about to count by itself. */
	if (upgrade_is_busy(&((struct master *)arg)->upgrade))
		return control_error("an upgrade is under way");
	if (workers != NULL && service == NULL && instances == NULL)
		return order_scale_workers(arg, json_integer_value(workers));
	if (workers == NULL && service != NULL && instances != NULL)
		return order_scale_service(
		    arg, json_string_value(service), json_integer_value(instances));
	return control_error("scale: expects workers, or service and instances");
}

/* ---- rebalance ---- */

/* Says how many connections are to move, and does not wait for them. */
static json_t *
order_rebalance(void *arg, const json_t *request, struct control_ask *ask)
{
	struct master *master = arg;
	uint64_t moving;

	(void)request;
	(void)ask;
	if (master->stop.phase != STOP_NONE)
		return control_error("hostlerd is stopping");
	moving = mover_rebalance(master);
	log_info("rebalance: %llu connection%s to move", (unsigned long long)moving,
	    moving == 1 ? " is" : "s are");
	return control_done(json_pack("{s:o, s:o, s:i}", "moving", status_number(moving),
	    "connections", status_number(status_connections(master->current)), "workers",
	    (int)master->current->wanted));
}

/* ---- end_generation ---- */

static const struct control_argument order_end_arguments[] = {
    {"generation", CONTROL_COUNT},
    {"now", CONTROL_BOOL},
    {NULL, CONTROL_BOOL},
};

static struct generation *
order_find_generation(const struct master *master, json_int_t number)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry)
		if (generation->number == (uint64_t)number)
			return generation;
	return NULL;
}

/* Why it cannot be ended, or NULL. */
static json_t *
order_refuse_end(const struct master *master, const struct generation *generation, bool at_once)
{
	if (master->stop.phase != STOP_NONE)
		return control_error("hostlerd is stopping");
	if (generation == master->current)
		return control_error("generation %u is the current one: only an old one can be "
				     "ended",
		    generation->number);
	if (generation->state == GENERATION_STARTING)
		return control_error("generation %u is being built: only an old one can be ended",
		    generation->number);
	if (generation->state == GENERATION_ENDING && !at_once)
		return control_error("generation %u has ended but for its programs, which have "
				     "stop_timeout; \"now\" kills them",
		    generation->number);
	return NULL;
}

/* An old generation goes before its time. */
static json_t *
order_end_generation(void *arg, const json_t *request, struct control_ask *ask)
{
	const json_t *number = json_object_get(request, "generation");
	bool at_once = json_is_true(json_object_get(request, "now"));
	struct master *master = arg;
	struct generation *generation;
	json_t *refusal, *reply;

	(void)ask;
	if (number == NULL)
		return control_error("end_generation: expects generation");
	generation = order_find_generation(master, json_integer_value(number));
	if (generation == NULL)
		return control_error(
		    "there is no generation %u", (unsigned)json_integer_value(number));
	refusal = order_refuse_end(master, generation, at_once);
	if (refusal != NULL)
		return refusal;
	reply = json_pack("{s:i, s:b, s:o, s:o}", "generation", (int)generation->number, "now",
	    at_once, "connections", status_number(status_connections(generation)), "under_way",
	    status_number(status_under_way(generation)));
	generation_end(generation, at_once, clock_now());
	return control_done(reply);
}

/* ---- reopen ---- */

/* As USR1: after somebody moved the files away. */
static json_t *
order_reopen(void *arg, const json_t *request, struct control_ask *ask)
{
	char why[ORDER_WHY_MAX];

	(void)request;
	(void)ask;
	if (!logs_reopen(arg, why, sizeof(why)))
		return control_error("%s", why);
	return control_done(json_object());
}

/* ---- verbose ---- */

static const struct control_argument order_verbose_arguments[] = {
    {"level", CONTROL_TEXT},
    {NULL, CONTROL_BOOL},
};

/* The words of the option, so that both take the same. */
static const char *const *
order_levels(void)
{
	return option_find(OPTION_HOSTLER, "log_level")->choices;
}

/* The level of the log of everybody, until a reload sets that of the configuration. */
static json_t *
order_verbose(void *arg, const json_t *request, struct control_ask *ask)
{
	const json_t *wanted = json_object_get(request, "level");
	const char *name = wanted != NULL ? json_string_value(wanted) : "debug";
	const char *const *levels = order_levels();
	const char *was = levels[log_get_level()];
	struct master *master = arg;
	unsigned level = 0;

	(void)ask;
	while (levels[level] != NULL && strcmp(levels[level], name) != 0)
		level++;
	if (levels[level] == NULL)
		return control_error("\"level\" must be error, warn, info or debug");
	if (master->quiet_level < 0)
		master->quiet_level = (int)log_get_level();
	logs_set_level(master, (enum log_level)level);
	log_info("the level of the log is %s until a reload", name);
	return control_done(json_pack("{s:s, s:s}", "level", levels[level], "was", was));
}

/* ---- the table ---- */

const struct control_command order_commands[] = {
    {"reload", order_reload, order_reload_arguments, true},
    {"scale", order_scale, order_scale_arguments, false},
    {"rebalance", order_rebalance, NULL, false},
    {"end_generation", order_end_generation, order_end_arguments, false},
    {"reopen", order_reopen, NULL, false},
    {"stop", order_stop, order_stop_arguments, false},
    {"upgrade", order_upgrade, order_upgrade_arguments, true},
    {"verbose", order_verbose, order_verbose_arguments, false},
    {NULL, NULL, NULL, false},
};
