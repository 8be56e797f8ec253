/*
 * A hostlerd with something odd about it, to upgrade to. What that is, the name of its file says:
 *
 * rejects        reads no state at all
 * rejects-late   reads it in the rehearsal, and not to its end when it is to go on
 * workers-die    its workers end before they are READY, but for the trial worker
 * workers-hang   they are never READY
 * trial-dies     the trial worker ends before it is READY
 * other-pools    knows pools of another layout alone
 *
 * The linker puts these functions in front of the real ones (--wrap).
 */
#include "common/record.h"
#include "daemon/master.h"
#include "daemon/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool __real_state_load(struct master *master, int state, char *why, size_t why_size);
bool __wrap_state_load(struct master *master, int state, char *why, size_t why_size);
bool __real_notify_load(const json_t *saved, struct record_reader *reader);
bool __wrap_notify_load(const json_t *saved, struct record_reader *reader);
int __real_worker_main(const struct worker_start *start);
int __wrap_worker_main(const struct worker_start *start);
struct pool *__real_pool_open(int fd, const struct pool_shape *shape, bool is_trial);
struct pool *__wrap_pool_open(int fd, const struct pool_shape *shape, bool is_trial);

static bool odd_is_late;

static bool
odd_is(const char *name)
{
	return strcmp(program_invocation_short_name, name) == 0;
}

bool
__wrap_state_load(struct master *master, int state, char *why, size_t why_size)
{
	odd_is_late = odd_is("rejects-late") && !master->rehearsal;
	if (!odd_is("rejects"))
		return __real_state_load(master, state, why, why_size);
	snprintf(why, why_size, "the state is odd");
	return false;
}

int
__wrap_worker_main(const struct worker_start *start)
{
	if (odd_is("trial-dies") && start->is_trial)
		return 8;
	if (odd_is("workers-die") && !start->is_trial)
		return 7;
	while (odd_is("workers-hang") && !start->is_trial)
		pause();
	return __real_worker_main(start);
}

/* The last thing that is read. */
bool
__wrap_notify_load(const json_t *saved, struct record_reader *reader)
{
	if (odd_is_late)
		return record_fail(reader, "the state is odd");
	return __real_notify_load(saved, reader);
}

struct pool *
__wrap_pool_open(int fd, const struct pool_shape *shape, bool is_trial)
{
	if (!odd_is("other-pools"))
		return __real_pool_open(fd, shape, is_trial);
	errno = EPROTO;
	return NULL;
}
