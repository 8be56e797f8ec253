/*
 * Instances as another image of the master shall know them: processes, pipes, and what was read of
 * them in part.
 */
#include "common/mem.h"
#include "daemon/state_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Not of struct instance: first_lines, env. They are made anew when they are needed. */
static const struct record_field state_instance_fields[] = {
    RECORD_FIELD(struct instance, slot, NUMBER, POOL_SLOTS_MAX),
    RECORD_FIELD(struct instance, state, NUMBER, INSTANCE_STOPPING),
    RECORD_FIELD(struct instance, since, NUMBER, 0),
    RECORD_FIELD(struct instance, incarnation, NUMBER, 0),
    RECORD_FIELD(struct instance, pid, SIGNED, 0),
    RECORD_FIELD(struct instance, offered, BOOL, 0),
    RECORD_FIELD(struct instance, retired, BOOL, 0),
    RECORD_FIELD(struct instance, start_failed, BOOL, 0),
    RECORD_FIELD(struct instance, was_killed, BOOL, 0),
    RECORD_FIELD(struct instance, at_fault, BOOL, 0),
    RECORD_FIELD(struct instance, was_asked, BOOL, 0),
    RECORD_FIELD(struct instance, due, NUMBER, 0),
    RECORD_FIELD(struct instance, why, TEXT, 0),
    RECORD_FIELD(struct instance, starts, NUMBER, 0),
    RECORD_FIELD(struct instance, lines_left, NUMBER, 0),
    RECORD_FIELD(struct instance, line_length, NUMBER, 0),
    RECORD_FIELD(struct instance, closed, BOOL, 0),
    RECORD_FIELD(struct instance, jitter, NUMBER, 1000),
    RECORD_FIELD(struct instance, served_before, NUMBER, 0),
    RECORD_FIELD(struct instance, served, NUMBER, 0),
    RECORD_FIELD(struct instance, rested, NUMBER, 0),
    RECORD_FIELD(struct instance, rss, SIGNED, 0),
    RECORD_FIELD(struct instance, recycled, NUMBER, 0),
    RECORD_FIELD(struct instance, last_exit, TEXT, 0),
    RECORD_FIELD(struct instance, last_said, TEXT, 0),
    RECORD_END,
};

/* Not of struct output: service, pid, event. */
static const struct record_field state_output_fields[] = {
    RECORD_FIELD(struct output, fd, FD, 0),
    RECORD_FIELD(struct output, last, TEXT, 0),
    RECORD_FIELD(struct output, said_hash, NUMBER, 0),
    RECORD_FIELD(struct output, said_length, NUMBER, 0),
    RECORD_FIELD(struct output, said_at, NUMBER, 0),
    RECORD_FIELD(struct output, repeated, NUMBER, 0),
    RECORD_FIELD(struct output, window, NUMBER, 0),
    RECORD_FIELD(struct output, spent, NUMBER, 0),
    RECORD_FIELD(struct output, lost_lines, NUMBER, 0),
    RECORD_FIELD(struct output, lost_bytes, NUMBER, 0),
    RECORD_END,
};

static json_t *
state_save_output(const struct output *output)
{
	json_t *saved = json_object();

	record_put(saved, state_output_fields, output);
	if (output->line != NULL)
		json_object_set_new(saved, "line", record_bytes(output->line, output->length));
	return saved;
}

json_t *
state_save_instance(const struct instance *instance)
{
	json_t *saved = json_object();

	record_put(saved, state_instance_fields, instance);
	json_object_set_new(saved, "fd_pipes", record_fds(instance->fds, 2));
	json_object_set_new(saved, "output", state_save_output(&instance->output));
	return saved;
}

/* ---- back ---- */

bool
state_check_child(const struct master *master, pid_t pid, struct record_reader *reader)
{
	siginfo_t info;

	if (pid <= 1 || pid == master->pid)
		return record_fail(reader, "pid %ld cannot be a child's", (long)pid);
	/* In a rehearsal they are our siblings. */
	if (master->rehearsal ||
	    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD)
		return true;
	return record_fail(reader, "process %ld is no child of ours", (long)pid);
}

static bool
state_load_line(struct output *output, const json_t *saved, struct record_reader *reader)
{
	size_t length = 0;
	char *line;

	if (saved == NULL)
		return true;
	line = record_read_bytes(saved, &length);
	if (line == NULL || length > OUTPUT_LINE_MAX) {
		free(line);
		return record_fail(reader, "an unfinished line makes no sense");
	}
	output->line = mem_alloc(OUTPUT_LINE_MAX, 1);
	output->length = length;
	memcpy(output->line, line, length);
	free(line);
	return true;
}

static bool
state_load_output(struct instance *instance, const json_t *saved, struct record_reader *reader)
{
	struct output *output = &instance->output;

	*output =
	    (struct output){.service = instance->service->name, .pid = instance->pid, .fd = -1};
	if (!record_take(reader, saved, state_output_fields, output) ||
	    !state_load_line(output, json_object_get(saved, "line"), reader))
		return false;
	return output->fd < 0 || output_resume(output, instance->service->master->base) ||
	       record_fail(reader, "what an instance says cannot be read");
}

static bool
state_check_instance(const struct instance *instance, struct record_reader *reader)
{
	bool is_empty = instance->state == INSTANCE_EMPTY;
	bool has_pipes = instance->fds[0] >= 0 && instance->fds[1] >= 0;

	if (is_empty != (instance->pid == 0) ||
	    (instance->fds[0] >= 0) != (instance->fds[1] >= 0) || (is_empty && has_pipes) ||
	    (!has_pipes &&
		(instance->state == INSTANCE_STARTING || instance->state == INSTANCE_RUNNING)))
		return record_fail(reader, "instance %u of service %s makes no sense",
		    instance->slot, instance->service->name);
	return is_empty || state_check_child(instance->service->master, instance->pid, reader);
}

bool
state_load_instance(struct instance *instance, const json_t *saved, struct record_reader *reader)
{
	unsigned slot = instance->slot;

	if (!record_take(reader, saved, state_instance_fields, instance))
		return false;
	instance->slot = slot;
	if (!record_take_fds(reader, saved, "fd_pipes", instance->fds, 2) ||
	    !state_check_instance(instance, reader) ||
	    !state_load_output(instance, json_object_get(saved, "output"), reader))
		return false;
	if (instance->state != INSTANCE_STARTING || instance->closed)
		return true;
	return (instance->lines_left > 0 && instance_ready_resume(instance)) ||
	       record_fail(reader, "the first lines of an instance cannot be read");
}

void
state_disown_instance(struct instance *instance)
{
	instance_ready_close(instance);
	instance->fds[0] = instance->fds[1] = -1;
	if (instance->output.event != NULL)
		event_free(instance->output.event);
	free(instance->output.line);
	instance->output = (struct output){.fd = -1};
}
