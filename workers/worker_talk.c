/*
 * What a worker and the master say to each other. Owns the worker's end of the channel; a message
 * that comes while a lock is stuck is kept for later. Decides nothing: what an order means is
 * worker.c's and program.c's.
 */
#include "workers/worker_self.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "ipc/chan.h"
#include "workers/access.h"
#include "workers/collect.h"
#include "workers/give.h"
#include "workers/listing.h"
#include "workers/program.h"
#include "workers/take.h"
#include "workers/worker.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#define WORKER_STUCK_MAX   (12 * CLOCK_SECOND) /* longer than a worker may take to be READY */
#define WORKER_STUCK_PAUSE (CLOCK_SECOND) /* a silence after which being stuck is a new story */

/* ---- saying ---- */

void
worker_send(struct worker *worker, const struct msg *msg)
{
	/* Not heard is as good as not said: the master asks again, or has ended. */
	if (chan_send(worker->start->channel, msg, NULL) != CHAN_OK)
		log_debug("message %u to the master was not sent", msg->type);
}

void
worker_wake(struct worker *worker, unsigned id)
{
	uint64_t one = 1;

	if (id >= worker->start->ids ||
	    write(worker->start->wakes[id], &one, sizeof(one)) == (ssize_t)sizeof(one))
		return;
	log_debug("worker id %u is full of wake-ups", id); /* so it is awake */
}

void
worker_wake_master(struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->start->wake_master, &one, sizeof(one)) != (ssize_t)sizeof(one))
		log_debug("the master is full of wake-ups");
}

/* ---- listening to the master ---- */

static struct program *
worker_program(struct worker *worker, const struct msg_instance *instance)
{
	struct service *service;

	if (instance->service >= worker->start->conf->service_count)
		return NULL;
	service = &worker->services[instance->service];
	if (service->program == NULL || instance->slot >= pool_capacity(service->program->pool))
		return NULL;
	return service->program;
}

static void
worker_on_instance(struct worker *worker, const struct msg_instance *instance, int in, int out)
{
	struct program *program = worker_program(worker, instance);

	if (program != NULL) {
		program_on_instance(program, instance, in, out);
		return;
	}
	close(in);
	close(out);
}

static void
worker_pong(struct worker *worker, const struct msg *ping)
{
	worker_send(worker, &(struct msg){.type = MSG_PONG, .number.number = ping->number.number});
}

static void
worker_handle(struct worker *worker, const struct msg *msg, int fds[MSG_FDS_MAX])
{
	struct program *program;

	switch ((enum msg_type)msg->type) {
	case MSG_PING:
		worker_pong(worker, msg);
		break;
	case MSG_START:
		worker_say_ready(worker);
		break;
	case MSG_ACCEPT:
		worker_accept(worker);
		break;
	case MSG_DRAIN:
		worker_drain(worker, msg->number.number == MSG_DRAIN_HASTY);
		break;
	case MSG_INSTANCE:
		worker_on_instance(worker, &msg->instance, fds[0], fds[1]);
		break;
	case MSG_INSTANCE_GONE:
		program = worker_program(worker, &msg->instance);
		if (program != NULL)
			program_on_instance_gone(program, &msg->instance);
		break;
	case MSG_LOG:
		access_on_log(worker, &msg->log, fds[0]);
		break;
	case MSG_FILE:
		collect_on_file(worker, &msg->file, fds);
		break;
	case MSG_GIVE:
		give_on_order(worker, &msg->give, fds[0]);
		break;
	case MSG_TAKE:
		take_on_order(worker, &msg->take, fds[0]);
		break;
	case MSG_LIST:
		listing_write(worker, &msg->list, fds[0]);
		break;
	default:
		break; /* chan.c lets only the master's messages through */
	}
}

/* The next message: what came while the lock was stuck goes first. */
static enum chan_result
worker_receive(struct worker *worker, struct msg *msg, int fds[MSG_FDS_MAX])
{
	struct worker_self *self = worker_self(worker);
	struct worker_mail *mail = STAILQ_FIRST(&self->mails);

	if (mail == NULL)
		return chan_receive(worker->start->channel, MSG_FROM_MASTER, msg, fds);
	STAILQ_REMOVE_HEAD(&self->mails, entry);
	*msg = mail->msg;
	for (int i = 0; i < MSG_FDS_MAX; i++)
		fds[i] = mail->fds[i];
	free(mail);
	return CHAN_OK;
}

void
worker_read_channel(struct worker *worker)
{
	int fds[MSG_FDS_MAX];
	struct msg msg;

	for (;;) {
		switch (worker_receive(worker, &msg, fds)) {
		case CHAN_OK:
			worker_handle(worker, &msg, fds);
			break;
		case CHAN_AGAIN:
			return;
		case CHAN_CLOSED:
			worker_end(worker, 0, "the master is gone");
			return;
		case CHAN_TRUNCATED:
			log_errorx("an instance's pipes were lost: no descriptors are left");
			worker_end(worker, 1, "no descriptors");
			return;
		case CHAN_BROKEN:
			log_errorx("the master's channel is broken");
			worker_end(worker, 1, "broken channel");
			return;
		}
	}
}

void
worker_on_channel(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	worker->now = clock_now();
	worker_read_channel(worker);
	worker_keep_fds(worker); /* it may have brought instances that were not counted on */
}

/* Between two tries for a lock: the master must hear from us, everything else waits. */
static void
worker_answer_pings(struct worker *worker)
{
	struct worker_self *self = worker_self(worker);
	struct worker_mail *mail = mem_alloc(1, sizeof(*mail));

	while (chan_receive(worker->start->channel, MSG_FROM_MASTER, &mail->msg, mail->fds) ==
	       CHAN_OK) {
		if (mail->msg.type == MSG_PING) {
			worker_pong(worker, &mail->msg);
			continue;
		}
		STAILQ_INSERT_TAIL(&self->mails, mail, entry);
		event_active(self->channel, EV_READ, 0);
		mail = mem_alloc(1, sizeof(*mail));
	}
	free(mail);
}

void
worker_pool_damaged(struct worker *worker, unsigned service)
{
	worker_send(worker, &(struct msg){.type = MSG_POOL_DAMAGED, .pool = {.service = service}});
	worker_answer_pings(worker);
}

void
worker_ask_file(struct worker *worker, unsigned service, uint32_t number, bool given_up)
{
	worker_send(
	    worker, &(struct msg){.type = MSG_ROTATE,
			.file = {.service = service, .number = number, .failed = given_up}});
}

void
worker_leave_file(struct worker *worker, unsigned service, uint32_t number)
{
	worker_send(worker,
	    &(struct msg){.type = MSG_LEFT, .file = {.service = service, .number = number}});
}

void
worker_lock_stuck(struct worker *worker, unsigned service)
{
	struct worker_self *self = worker_self(worker);
	uint64_t now = clock_now();

	if (now - self->stuck_last > WORKER_STUCK_PAUSE)
		self->stuck_since = now;
	self->stuck_last = now;
	/* The master would have killed a holder that is silent long ago. */
	if (now - self->stuck_since > WORKER_STUCK_MAX) {
		worker_pool_damaged(worker, service);
		return;
	}
	worker_send(worker, &(struct msg){.type = MSG_LOCK_STUCK, .pool = {.service = service}});
	worker_answer_pings(worker);
}
