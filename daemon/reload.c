/*
 * The steps of a reload. Owns the generation that is being built until it takes over, and whoever
 * waits for the outcome. Whatever goes wrong, the generation that runs is not touched.
 */
#include "daemon/reload.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/option.h"
#include "daemon/control_line.h"
#include "daemon/master.h"
#include "daemon/notify.h"

#include <stdlib.h>
#include <string.h>

#define RELOAD_WHY_MAX 512
#define RELOAD_LIMIT   (40 * CLOCK_SECOND) /* to build, beside what start_rate takes */

const char *
reload_phase_name(enum reload_phase phase)
{
	static const char *const names[] = {
	    [RELOAD_IDLE] = "idle",
	    [RELOAD_BUILDING] = "building",
	    [RELOAD_FINISHING] = "waiting",
	};

	return names[phase];
}

/* ---- outcomes ---- */

static void
reload_set_phase(struct reload *reload, enum reload_phase phase)
{
	log_debug("reload: %s -> %s", reload_phase_name(reload->phase), reload_phase_name(phase));
	reload->phase = phase;
}

/* Every error is told: in the log, and to who asked. */
static void
reload_refuse(struct reload *reload, struct conf_errors *errors)
{
	for (unsigned i = 0; i < errors->count; i++)
		log_errorx("reload: %s", errors->lines[i]);
	log_errorx("reload failed: nothing was changed");
	reload->failed++;
	free(reload->last_error);
	reload->last_error = mem_strdup(errors->count > 0 ? errors->lines[0] : "unknown");
	notify_status("reload failed: %s", reload->last_error);
	notify_reloaded();
	asks_reply(&reload->asking, reload_report_errors(errors));
	conf_errors_free(errors);
}

static void
reload_fail(struct master *master, struct conf_errors *errors)
{
	struct reload *reload = &master->reload;

	if (!reload->is_upgrade) {
		reload_refuse(reload, errors);
		return;
	}
	reload->is_upgrade = false;
	upgrade_failed(master, mem_strdup(errors->count > 0 ? errors->lines[0] : "unknown"));
	conf_errors_free(errors);
}

/* What was built goes again. */
static void
reload_give_up(struct master *master, char *why)
{
	struct reload *reload = &master->reload;
	struct conf_errors errors = {0};

	conf_errors_add(&errors, why);
	generation_abandon(reload->built);
	reload->built = NULL;
	conf_diff_free(reload->diff);
	reload->diff = NULL;
	reload_set_phase(reload, RELOAD_FINISHING);
	reload_fail(master, &errors);
}

static void
reload_succeed(struct reload *reload, const struct conf_diff *diff, unsigned number)
{
	double took = (double)(clock_now() - reload->begun) / CLOCK_SECOND;
	char text[128];

	log_info(
	    "reload: generation %u runs after %.3fs: %s", number, took, reload_summary(diff, text));
	free(reload->last_error);
	reload->last_error = NULL;
	notify_reloaded();
	asks_reply(&reload->asking, reload_report(diff, false, number, took));
}

/* ---- the beginning ---- */

/* The longest time that the programs of new pools may take to be started. */
static uint64_t
reload_limit(const struct conf *conf)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < conf->service_count; i++) {
		const struct conf_service *service = &conf->services[i];
		uint64_t time = service->instances_min * CLOCK_SECOND / service->start_rate;

		if (service->ready == READY_LINE || service->skip_lines > 0)
			time += service->start_timeout;
		longest = time > longest ? time : longest;
	}
	return RELOAD_LIMIT + longest;
}

static void
reload_build(struct master *master, struct conf *conf, struct conf_diff *diff)
{
	struct reload *reload = &master->reload;
	struct conf_errors errors = {0};
	unsigned before = master->generation_number;

	reload->limit = reload->begun + reload_limit(conf);
	reload->built = generation_new(master, conf, master->current, diff, &errors);
	if (reload->built == NULL) {
		master->generation_number = before;
		conf_diff_free(diff);
		reload_fail(master, &errors);
		return;
	}
	reload->diff = diff;
	reload_set_phase(reload, RELOAD_BUILDING);
}

/* Nothing in the file has changed: what was set by hand goes back to what it says. */
static void
reload_nothing(struct master *master, struct conf *conf, struct conf_diff *diff)
{
	struct generation *current = master->current;

	if (current->wanted != current->conf->workers)
		generation_scale(current, current->conf->workers, clock_now());
	for (unsigned i = 0; i < current->conf->service_count; i++)
		service_adopt(current->services[i], current, i);
	if (master->quiet_level >= 0)
		master_apply(master, diff);
	reload_succeed(&master->reload, diff, current->number);
	conf_diff_free(diff);
	conf_free(conf);
}

static void
reload_begin(struct master *master)
{
	struct reload *reload = &master->reload;
	struct conf_errors errors = {0};
	struct conf_diff *diff;
	bool nothing = false;
	struct conf *conf;

	reload->begun = clock_now();
	reload->count++;
	notify_reloading();
	conf = reload_read(master, &diff, &errors);
	if (conf != NULL) {
		nothing = conf_diff_is_empty(diff);
		reload_note_scaled(master, conf, diff);
	}
	if (conf == NULL)
		reload_refuse(reload, &errors);
	else if (nothing)
		reload_nothing(master, conf, diff);
	else
		reload_build(master, conf, diff);
}

void
reload_order(struct master *master, const char *who, struct control_ask *ask)
{
	struct reload *reload = &master->reload;

	if (master->stop.phase != STOP_NONE) {
		log_warnx("reload (%s): not while hostlerd is stopping", who);
		if (ask != NULL)
			control_ask_reply(ask, control_error("hostlerd is stopping"));
		return;
	}
	if (upgrade_is_busy(&master->upgrade) && ask != NULL) {
		control_ask_reply(ask, control_error("an upgrade is under way"));
		return;
	}
	if (reload->phase == RELOAD_IDLE && !upgrade_is_busy(&master->upgrade)) {
		log_info("reload: %s", who);
		asks_add(&reload->asking, ask);
		reload_begin(master);
		return;
	}
	log_info("reload: %s; it begins when the %s is done", who,
	    upgrade_is_busy(&master->upgrade) ? "upgrade" : "one before");
	reload->again = true;
	asks_add(&reload->next, ask);
}

void
reload_upgrade(struct master *master)
{
	struct reload *reload = &master->reload;
	struct conf_errors errors = {0};
	char why[RELOAD_WHY_MAX];
	struct conf_diff *diff;
	struct conf *conf = reload_copy(master, &diff, why, sizeof(why));

	reload->begun = clock_now();
	reload->is_upgrade = true;
	if (conf == NULL) {
		conf_errors_add(&errors, mem_strdup(why));
		reload_fail(master, &errors);
		return;
	}
	reload_build(master, conf, diff);
	if (reload->built != NULL)
		generation_scale(reload->built, master->current->wanted, reload->begun);
}

json_t *
reload_try(struct master *master)
{
	struct conf_errors errors = {0};
	struct conf_diff *diff;
	struct conf *conf = reload_read(master, &diff, &errors);
	json_t *reply;

	if (conf != NULL)
		reload_note_scaled(master, conf, diff);
	if (conf == NULL)
		reply = reload_report_errors(&errors);
	else
		reply = reload_report(diff, true, master->current->number, 0);
	conf_diff_free(diff);
	conf_free(conf);
	conf_errors_free(&errors);
	return reply;
}

/* ---- the middle ---- */

/* A new pool whose program cannot be started; the sentence says why. NULL while there is none. */
static char *
reload_find_failure(const struct generation *built)
{
	if (built->failure[0] != '\0')
		return mem_strdup(built->failure);
	for (unsigned i = 0; i < built->conf->service_count; i++) {
		const struct service *service = built->services[i];
		char *where, *text;

		if (service->holders > 1 || service->failures == 0)
			continue;
		where = conf_where(built->conf, 1 + i, "command");
		text = mem_printf("%s: its program cannot be kept running: %s%s%s", where,
		    service->last_exit, service->last_said[0] != '\0' ? "; last said: " : "",
		    service->last_said);
		free(where);
		return text;
	}
	return NULL;
}

static bool
reload_is_proven(const struct generation *built, uint64_t now)
{
	for (unsigned i = 0; i < built->conf->service_count; i++)
		if (built->services[i]->holders == 1 &&
		    !service_is_up(built->services[i], now, INSTANCE_TRIAL))
			return false;
	return generation_all_ready(built);
}

/* Each service's scale by hand; the caller frees the list. */
static unsigned *
reload_list_scaled(const struct generation *generation)
{
	unsigned *scaled = mem_alloc(generation->conf->service_count + 1, sizeof(*scaled));

	for (unsigned i = 0; i < generation->conf->service_count; i++)
		scaled[i] = generation->services[i]->size.scaled;
	return scaled;
}

/* An upgrade keeps all that was set by hand: nobody has read a file. */
static void
reload_upgrade_done(struct master *master, const unsigned *scaled)
{
	for (unsigned i = 0; i < master->conf->service_count; i++) {
		struct service *service = master->current->services[i];

		if (scaled[i] > 0 && scaled[i] <= service->count)
			service->size.scaled = service->size.wanted = scaled[i];
	}
	logs_use(master, &master->current->logs);
	master->reload.is_upgrade = false;
	upgrade_proven(master);
}

static void
reload_take_over(struct master *master, uint64_t now)
{
	struct reload *reload = &master->reload;
	struct generation *before = master->current;
	unsigned *scaled = reload_list_scaled(before);

	generation_run(reload->built);
	generation_drain(before, now);
	if (reload->is_upgrade) {
		reload_upgrade_done(master, scaled);
	} else {
		master_apply(master, reload->diff);
		reload_succeed(reload, reload->diff, reload->built->number);
	}
	free(scaled);
	conf_diff_free(reload->diff);
	reload->diff = NULL;
	reload->built = NULL;
	reload_set_phase(reload, RELOAD_FINISHING);
}

static void
reload_watch(struct master *master, uint64_t now)
{
	struct reload *reload = &master->reload;
	char *why = reload_find_failure(reload->built);

	if (why == NULL && now > reload->limit)
		why = mem_strdup("the new generation was not ready in time");
	if (why != NULL)
		reload_give_up(master, why);
	else if (reload_is_proven(reload->built, now))
		reload_take_over(master, now);
}

/* ---- the end ---- */

/* The one that was ordered meanwhile. */
static void
reload_begin_again(struct master *master)
{
	struct reload *reload = &master->reload;

	reload->again = false;
	reload->asking = reload->next;
	reload->next = (struct asks){0};
	reload_begin(master);
}

uint64_t
reload_turn(struct master *master, uint64_t now)
{
	struct reload *reload = &master->reload;

	if (reload->phase == RELOAD_BUILDING)
		reload_watch(master, now);
	if (reload->phase == RELOAD_FINISHING &&
	    TAILQ_FIRST(&master->generations) == TAILQ_LAST(&master->generations, generation_list))
		reload_set_phase(reload, RELOAD_IDLE);
	if (reload->phase == RELOAD_IDLE && reload->again && !upgrade_is_busy(&master->upgrade))
		reload_begin_again(master);
	return reload->phase == RELOAD_BUILDING ? now + 10 * CLOCK_MS : MASTER_NEVER;
}

void
reload_stop(struct master *master)
{
	struct reload *reload = &master->reload;

	if (reload->phase == RELOAD_BUILDING)
		reload_give_up(master, mem_strdup("hostlerd is stopping"));
	reload->again = false;
	asks_reply(&reload->next, control_error("hostlerd is stopping"));
}

void
reload_close(struct reload *reload)
{
	free(reload->last_error);
	reload->last_error = NULL;
}
