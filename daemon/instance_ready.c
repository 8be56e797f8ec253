/*
 * The first lines of an instance: a banner that is thrown away, the line that says that it is
 * ready. They are read here, before any worker knows the instance, and never a byte of a reply.
 */
#include "daemon/instance.h"

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INSTANCE_READY_LINE  65536 /* bytes of one of its first lines */
#define INSTANCE_READY_READS 16    /* in one turn of the loop */

static unsigned
instance_ready_lines(const struct conf_service *conf)
{
	return conf->skip_lines + (conf->ready == READY_LINE);
}

bool
instance_ready_waits(const struct instance *instance)
{
	return instance_ready_lines(instance->service->conf) > 0;
}

void
instance_ready_close(struct instance *instance)
{
	if (instance->first_lines != NULL)
		event_free(instance->first_lines);
	instance->first_lines = NULL;
}

/* What it wrote cannot be what was agreed: this start has failed. */
static void
instance_ready_refuse(struct instance *instance, const char *why)
{
	instance->at_fault = instance->start_failed = true;
	instance_kill(instance, why);
}

/* Counts the lines among its bytes. False when there is nothing more to read. */
static bool
instance_ready_take(struct instance *instance, const char *bytes, size_t length)
{
	while (length > 0 && instance->lines_left > 0) {
		const char *lf = memchr(bytes, '\n', length);
		size_t part = lf != NULL ? (size_t)(lf - bytes) + 1 : length;

		instance->line_length += part;
		if (instance->line_length > INSTANCE_READY_LINE) {
			instance_ready_refuse(instance, "wrote a first line longer than 64 KiB");
			return false;
		}
		if (lf != NULL) {
			instance->line_length = 0;
			instance->lines_left--;
		}
		bytes += part;
		length -= part;
	}
	if (length > 0) {
		instance_ready_refuse(instance, pool_reason_text(POOL_REASON_BABBLE));
		return false;
	}
	if (instance->lines_left > 0)
		return true;
	instance_now_ready(instance);
	return false;
}

static void
instance_on_first_lines(evutil_socket_t fd, short what, void *arg)
{
	struct instance *instance = arg;
	char bytes[4096];
	ssize_t n;

	(void)what;
	for (int i = 0; i < INSTANCE_READY_READS; i++) {
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			/* It is probably just ending, and how it does says more than this. */
			instance_ready_close(instance);
			instance->closed = true;
			return;
		}
		if (!instance_ready_take(instance, bytes, (size_t)n))
			return;
	}
}

bool
instance_ready_resume(struct instance *instance)
{
	struct event_base *base = instance->service->master->base;

	instance->first_lines = event_new(
	    base, instance->fds[1], EV_READ | EV_PERSIST, instance_on_first_lines, instance);
	return instance->first_lines != NULL && event_add(instance->first_lines, NULL) == 0;
}

bool
instance_ready_open(struct instance *instance)
{
	instance->lines_left = instance_ready_lines(instance->service->conf);
	instance->line_length = 0;
	instance->closed = false;
	return instance_ready_resume(instance);
}

/* The sentence of a start that took too long. */
static void
instance_ready_explain(const struct conf_service *conf, char *why, size_t size)
{
	char lines[32] = "first line";

	if (instance_ready_lines(conf) > 1)
		snprintf(lines, sizeof(lines), "first %u lines", instance_ready_lines(conf));
	if (conf->skip_lines == 0)
		snprintf(
		    why, size, "did not print its %s within start_timeout (ready = line)", lines);
	else
		snprintf(why, size,
		    "did not print its %s within start_timeout (skip_lines = %u, ready = %s)",
		    lines, conf->skip_lines, conf->ready == READY_LINE ? "line" : "start");
}

uint64_t
instance_ready_turn(struct instance *instance, uint64_t now)
{
	const struct conf_service *conf = instance->service->conf;
	uint64_t late = instance->since + conf->start_timeout;
	char why[sizeof(instance->why)];

	if (instance->closed && instance->due == 0)
		instance->due = now + INSTANCE_CLOSING;
	if (instance->due != 0 && now >= instance->due) {
		instance_ready_refuse(instance, "closed its output before it was ready");
	} else if (now >= late) {
		instance_ready_explain(conf, why, sizeof(why));
		instance_ready_refuse(instance, why);
	} else {
		return instance->due != 0 && instance->due < late ? instance->due : late;
	}
	return MASTER_NEVER;
}
