/*
 * The state of a real master: written, read by another master, and written again it is the same;
 * and that other one goes on with all that there is. What is wrong is refused with a sentence, and
 * costs nobody a descriptor.
 */
#include "daemon/state.h"

#include "ipc/pool_layout.h"
#include "tests/unit/run_help.h"
#include "tests/unit/state_help.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define WHY_MAX 512

static struct master *first;

static void
setup(void)
{
	first = help_master();
}

static void
teardown(void)
{
	help_remove_folder();
}

static json_t *
made(struct master *master)
{
	char why[WHY_MAX] = "";
	json_t *state = state_make(master, why, sizeof(why));

	ck_assert_msg(state != NULL, "%s", why);
	return state;
}

/* Another master in this very process; both have the same descriptors. */
static struct master *
loaded(const json_t *state)
{
	struct master *master = calloc(1, sizeof(*master));
	char why[WHY_MAX] = "";

	ck_assert_msg(state_load_json(master, state, why, sizeof(why)), "%s", why);
	return master;
}

/* What is named in `state` stays: it is the first master's as well. */
static void
drop(struct master *master, const json_t *state)
{
	state_drop(master, state);
	free(master);
}

static void
expect_same(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)a, key, value)
		ck_assert_msg(json_equal(value, json_object_get(b, key)), "%s: %s\n\n%s", key,
		    json_dumps(value, JSON_ENCODE_ANY),
		    json_dumps(json_object_get(b, key), JSON_ENCODE_ANY));
	ck_assert(json_equal(a, b));
}

/* What stands at a path like "generation/slots/0/pid"; *parent has it under the last word. */
static json_t *
at(json_t *state, const char *path, json_t **parent, char last[64])
{
	json_t *value = state;

	while (*path != '\0') {
		size_t length = strcspn(path, "/");

		snprintf(last, 64, "%.*s", (int)length, path);
		*parent = value;
		value = json_is_array(value) ? json_array_get(value, (size_t)atoi(last))
					     : json_object_get(value, last);
		path += length + (path[length] == '/');
	}
	return value;
}

static json_int_t
number_at(json_t *state, const char *path)
{
	json_t *parent, *value;
	char last[64];

	value = at(state, path, &parent, last);
	ck_assert_msg(json_is_integer(value), "%s", path);
	return json_integer_value(value);
}

/* `value` NULL takes it away. */
static void
put(json_t *state, const char *path, json_t *value)
{
	json_t *parent = NULL;
	char last[64];

	at(state, path, &parent, last);
	if (value == NULL)
		json_object_del(parent, last);
	else if (json_is_array(parent))
		json_array_set_new(parent, (size_t)atoi(last), value);
	else
		json_object_set_new(parent, last, value);
}

/* ---- what is well ---- */

/* What both ways may have forgotten alike. */
static void
expect_same_facts(const struct master *a, const struct master *b)
{
	const struct slot *slot = &a->current->slots[1], *other = &b->current->slots[1];
	const struct instance *cat = &a->current->services[SERVICE_CAT]->instances[1];
	const struct instance *kitten = &b->current->services[SERVICE_CAT]->instances[1];

	ck_assert_uint_eq(a->started, b->started);
	ck_assert_uint_eq(a->logs_version, b->logs_version);
	ck_assert_uint_eq(a->file_number, b->file_number);
	ck_assert_uint_eq(a->nofile.rlim_cur, b->nofile.rlim_cur);
	ck_assert_uint_eq(a->current->max_connections, b->current->max_connections);
	ck_assert_uint_eq(a->current->since, b->current->since);
	ck_assert_uint_eq(slot->since, other->since);
	ck_assert_uint_eq(slot->ping, other->ping);
	ck_assert_uint_eq(slot->next_ping, other->next_ping);
	ck_assert_uint_eq(slot->order, other->order);
	ck_assert_ptr_eq(other->gives_to, &b->current->slots[0]);
	ck_assert(slot->was_ready && other->was_ready && other->start_told && other->accept_told);
	ck_assert_mem_eq(slot->told, other->told, a->current->place_count * sizeof(uint32_t));
	ck_assert_uint_eq(cat->since, kitten->since);
	ck_assert_uint_eq(cat->rested, kitten->rested);
	ck_assert_uint_eq(cat->jitter, kitten->jitter);
	ck_assert_uint_eq(cat->starts, kitten->starts);
	ck_assert_int_eq(cat->pid, kitten->pid);
	ck_assert_mem_eq(cat->fds, kitten->fds, sizeof(cat->fds));
	ck_assert(kitten->offered);
}

START_TEST(it_goes_round)
{
	json_t *state, *again;
	struct master *second;

	first->current->slots[1].ping += 5;
	first->current->slots[1].order = 7;
	first->current->slots[1].gives_to = &first->current->slots[0];
	state = made(first);
	second = loaded(state);
	again = made(second);
	expect_same(state, again);
	expect_same_facts(first, second);
	ck_assert_uint_eq(second->current->number, 1);
	ck_assert_str_eq(second->current->services[SERVICE_CAT]->instances[0].output.last, "");
	ck_assert_uint_eq(second->current->services[SERVICE_CAT]->instances[1].output.length, 10);
	ck_assert_int_eq(
	    second->current->services[SERVICE_LATE]->instances[0].state, INSTANCE_STARTING);
	ck_assert_uint_eq(second->current->services[SERVICE_LATE]->instances[0].lines_left, 3);
	ck_assert_ptr_nonnull(TAILQ_FIRST(&second->files));
	drop(second, again);
	json_decref(state);
	json_decref(again);
}
END_TEST

static bool
has_heard_again(struct master *master, uint64_t ping)
{
	const struct slot *slot = &master->current->slots[0];

	help_turn(master);
	return slot->ping > ping && slot->asked == 0;
}

/* The first master never turns again: the second one does all that it did. */
START_TEST(the_second_goes_on)
{
	json_t *state = made(first);
	struct master *second = loaded(state);
	struct service *cat = second->current->services[SERVICE_CAT];
	siginfo_t info = {.si_pid = 0};
	pid_t pid = cat->instances[1].pid;

	help_wait_for(has_heard_again(second, first->current->slots[0].ping));
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	instance_on_death(&cat->instances[1], &info, clock_now());
	help_wait_for((help_turn(second), cat->instances[1].pid != 0 && cat->instances[1].offered));
	ck_assert_uint_eq(cat->instances[1].incarnation, 2);
	drop(second, state);
	json_decref(state);
}
END_TEST

START_TEST(through_a_memfd)
{
	struct master *second = calloc(1, sizeof(*second));
	json_t *state = made(first);
	char why[WHY_MAX];
	int fd = state_write(first, why, sizeof(why)), channel = first->current->slots[1].channel;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(channel, F_GETFD), FD_CLOEXEC);
	state_keep_fds(fd, true);
	ck_assert_int_eq(fcntl(channel, F_GETFD), 0);
	ck_assert_int_eq(fcntl(first->current->listen.sockets[0]->fd, F_GETFD), 0);
	ck_assert_int_eq(fcntl(first->sum->fd, F_GETFD), 0);
	ck_assert_int_eq(fcntl(first->wakes[first->ids - 1], F_GETFD), 0);
	ck_assert_msg(state_load(second, fd, why, sizeof(why)), "%s", why);
	ck_assert_int_eq(fcntl(channel, F_GETFD), FD_CLOEXEC);
	drop(second, state);
	json_decref(state);
	close(fd);
}
END_TEST

/* ---- those who are connected ---- */

static int
connected(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", state_folder);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static json_t *
answer(struct master *master, int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char text[65536];
	ssize_t n;

	help_wait_for((help_turn(master), poll(&ready, 1, 0) == 1));
	n = read(fd, text, sizeof(text));
	ck_assert_int_gt(n, 0);
	return json_loadb(text, (size_t)n, 0, NULL);
}

/* Whether the newest of two clients waits for an answer. */
static bool
is_asking(struct master *master)
{
	json_t *saved = control_save(master->control);
	json_t *clients = json_object_get(saved, "clients");
	bool asking = false;

	event_base_loop(master->base, EVLOOP_NONBLOCK);
	for (size_t i = 0; i < json_array_size(clients); i++)
		asking |= json_is_true(json_object_get(json_array_get(clients, i), "is_asking"));
	json_decref(saved);
	return asking;
}

static bool
has_two_clients(struct master *master)
{
	json_t *saved = control_save(master->control);
	size_t count = json_array_size(json_object_get(saved, "clients"));

	help_turn(master);
	json_decref(saved);
	return count == 2;
}

START_TEST(clients_stay_connected)
{
	int half = connected(), asking = connected();
	struct master *second;
	json_t *state, *reply;

	say(half, "{\"command\":");
	help_wait_for(has_two_clients(first));
	/* A worker that stands cannot answer. */
	ck_assert_int_eq(kill(first->current->slots[0].pid, SIGSTOP), 0);
	say(asking, "{\"command\":\"connections\"}\n");
	help_wait_for(is_asking(first));
	state = made(first);
	ck_assert_uint_eq(
	    json_array_size(json_object_get(json_object_get(state, "control"), "clients")), 2);
	second = loaded(state);
	ck_assert_uint_eq(second->guest.asks.count, 1);
	asks_reply(&second->guest.asks, json_pack("{s:s}", "so", "be it"));
	reply = answer(second, asking);
	ck_assert_str_eq(json_string_value(json_object_get(reply, "so")), "be it");
	json_decref(reply);
	say(half, "\"status\"}\n");
	reply = answer(second, half);
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	drop(second, state);
	json_decref(reply);
	json_decref(state);
}
END_TEST

/* ---- a rehearsal ---- */

static char *
bytes_of(int fd, size_t *size)
{
	struct stat st;
	char *bytes;

	ck_assert_int_eq(fstat(fd, &st), 0);
	*size = (size_t)st.st_size;
	bytes = malloc(*size);
	ck_assert_int_eq(pread(fd, bytes, *size, 0), st.st_size);
	return bytes;
}

static void
rehearse(const json_t *state)
{
	struct master trial = {.rehearsal = true};
	char why[WHY_MAX];

	if (!state_load_json(&trial, state, why, sizeof(why)))
		_exit(1);
	pool_doom(trial.current->services[SERVICE_CAT]->pool, 0, 1);
	pool_bury(trial.current->services[SERVICE_CAT]->pool, 0);
	stats_count(stats_row(trial.sum, 0), COUNTER_requests);
	_exit(trial.pid == getpid() ? 0 : 2);
}

START_TEST(a_rehearsal_touches_nothing)
{
	json_t *state = made(first), *after;
	struct pool_shape shape;
	int pool = pool_memory(first->current->services[SERVICE_CAT]->pool, &shape), status;
	size_t size, size_after;
	char *before = bytes_of(pool, &size), *now;
	uint64_t requests = stats_total(first->sum, COUNTER_requests);
	pid_t pid = fork();

	if (pid == 0)
		rehearse(state);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	now = bytes_of(pool, &size_after);
	ck_assert_uint_eq(size, size_after);
	ck_assert(memcmp(before, now, size) == 0);
	ck_assert_uint_eq(stats_total(first->sum, COUNTER_requests), requests);
	after = made(first);
	expect_same(state, after);
	free(before);
	free(now);
	json_decref(state);
	json_decref(after);
}
END_TEST

/* ---- other layouts ---- */

START_TEST(a_foreign_pool_is_left_alone)
{
	struct pool_shape shape;
	int fd = pool_memory(first->current->services[SERVICE_CAT]->pool, &shape);
	uint32_t other = POOL_LAYOUT + 1, ours = POOL_LAYOUT;
	off_t place = offsetof(struct pool_head, layout);
	json_t *state = made(first), *again;
	struct master *second, *third;
	struct service *cat;

	ck_assert_int_eq(pwrite(fd, &other, sizeof(other), place), sizeof(other));
	second = loaded(state);
	cat = second->current->services[SERVICE_CAT];
	ck_assert(service_is_foreign(cat));
	ck_assert(generation_is_foreign(second->current));
	ck_assert(!service_can_adopt(cat, cat->conf));
	ck_assert(!service_is_foreign(second->current->services[SERVICE_LATE]));
	/* It is not touched, and nothing is started for it. */
	service_turn(cat, clock_now());
	instance_kill(&cat->instances[0], "it must");
	service_turn(cat, clock_now());
	cat->instances[0].state = INSTANCE_RUNNING;
	cat->instances[0].was_killed = false;
	cat->instances[0].why[0] = '\0';
	ck_assert_uint_eq(service_missing(cat), 0);
	/* The image before finds its own again. */
	again = made(second);
	expect_same(state, again);
	ck_assert_int_eq(pwrite(fd, &ours, sizeof(ours), place), sizeof(ours));
	third = loaded(again);
	ck_assert(!service_is_foreign(third->current->services[SERVICE_CAT]));
	drop(third, again);
	drop(second, again);
	json_decref(state);
	json_decref(again);
}
END_TEST

static void
change_layout(int fd)
{
	uint64_t layout;

	ck_assert_int_eq(pread(fd, &layout, sizeof(layout), 0), sizeof(layout));
	layout = ~layout;
	ck_assert_int_eq(pwrite(fd, &layout, sizeof(layout), 0), sizeof(layout));
}

START_TEST(other_counters_begin_anew)
{
	json_t *state = made(first), *again;
	struct master *second, *third;
	int fd = first->sum->fd;

	change_layout(fd);
	second = loaded(state);
	ck_assert_int_ne(second->sum->fd, fd);
	ck_assert_int_eq(second->sum->other.fd, fd);
	/* How many connections a worker has is found in both. */
	atomic_store(&stats_row(first->sum, 3)->open, 7);
	atomic_store(&stats_row(second->sum, 3)->open, 2);
	ck_assert_uint_eq(stats_open_of(second->sum, 3), 9);
	stats_bury(second->sum, 3);
	ck_assert_uint_eq(stats_open_of(second->sum, 3), 0);
	ck_assert_uint_eq(stats_open(first->sum), 0);
	again = made(second);
	/* The image before takes ours for foreign, and its own back. */
	change_layout(fd);
	change_layout(second->sum->fd);
	third = loaded(again);
	ck_assert_int_eq(third->sum->fd, fd);
	ck_assert_int_eq(third->sum->other.fd, second->sum->fd);
	state_settle(third);
	ck_assert_int_eq(third->sum->other.fd, -1);
	drop(third, again);
	drop(second, again);
	json_decref(state);
	json_decref(again);
}
END_TEST

/* ---- what is wrong ---- */

/* Something at a path, NULL for nothing, and a part of the sentence that it is told with. */
static const struct {
	const char *path, *value, *told;
} wrongs[] = {
    {"version", "2", "has version 2"},
    {"version", NULL, "has version 0"},
    {"messages", "7", "do not understand each other"},
    {"master", NULL, "that of process 0"},
    {"master/pid", "1", "the state is that of process 1"},
    {"master/ids", "0", "the master makes no sense"},
    {"master/ids", "1000000", "ids is no number"},
    {"master/ids", "7", "fd_wakes: "},
    {"master/fd_wakes", "[]", "fd_wakes: 0 descriptors"},
    {"master/fd_wakes/3", "-1", "a wake-up descriptor is missing"},
    {"master/fd_wakes/3", "0", "descriptor 0 (fd_wakes) is not open"},
    {"master/fd_wakes/3", "900", "descriptor 900 (fd_wakes) is not open"},
    {"master/fd_wakes/3", "1e3", "is no descriptor"},
    {"master/fd_wake_master", NULL, "the master makes no sense"},
    {"master/guardian", "1", "pid 1 cannot be a child's"},
    {"master/guardian", "2", "is no child of ours"},
    {"master/control_path", "null", "the master makes no sense"},
    {"master/sum/fd", "-1", "counters cannot be mapped"},
    {"conf/options/workers/0", "0", "its configuration: "},
    {"conf", NULL, "its configuration: "},
    {"files/now/0/fd_page", "-1", "a file that is collected in makes no sense"},
    {"files/now/0/held/0", "5000", "a file is held by nobody"},
    {"files/layout", "99", "keep out of each other's way"},
    {"files/now", "[]", "has no file to collect in"},
    {"generation/services", "[]", "0 services in place of 4"},
    {"generation/services/0/name", "\"dog\"", "service cat is not there"},
    {"generation/services/0/pool", NULL, "there is no object with fd"},
    {"generation/services/0/pool/slots", "0", "a pool makes no sense"},
    {"generation/services/0/used", "1000", "has too many instances"},
    {"generation/services/0/instances/0/slot", "64", "has no place"},
    {"generation/services/0/instances/0/slot", "1", "is there twice"},
    {"generation/services/0/instances/0/state", "5", "state is no number from 0 to 4"},
    {"generation/services/0/instances/0/state", "0", "instance 0 of service cat makes no sense"},
    {"generation/services/0/instances/0/pid", "-1", "pid -1 cannot be a child's"},
    {"generation/services/0/instances/0/fd_pipes/1", "-1", "makes no sense"},
    {"generation/services/0/instances/0/output/line", "7", "an unfinished line"},
    {"generation/services/0/instances/0/offered", "1", "neither true nor false"},
    {"generation/services/1/instances/0/lines_left", "0", "the first lines"},
    {"generation/collects/2", "7", "has no file to collect in"},
    {"generation/listen/0/fd", "-1", "a listening socket makes no sense"},
    {"generation/listen/0/addr", "\"x\"", "a listening socket makes no sense"},
    {"generation/listen/0/for", "4", "a listening socket makes no sense"},
    {"generation/listen", "[]", "0 listening sockets in place of 4"},
    {"generation/logs/fd_access/3", "-1", "has no access log"},
    {"generation/slot_count", "900", "workers in place of"},
    {"generation/wanted", "0", "workers in place of"},
    {"generation/slots/0/id", "500", "worker 0 makes no sense"},
    {"generation/slots/0/pid", "0", "worker 0 makes no sense"},
    {"generation/slots/0/told/0", "100000", "what a worker was told"},
    {"generation/slots/1/fd_channel", "3000000000", "is not open"},
    {"control", NULL, "there is no object with fd"},
    {"control/fd", "-1", "there is no control socket"},
    {"notify/state", "9", "state is no number"},
    {"notify/address", "\"\"", "where systemd listens"},
};

START_TEST(what_is_wrong_is_refused)
{
	struct master second = {0};
	json_t *state = made(first), *after;
	char why[WHY_MAX] = "";
	int fds = help_count_fds();

	put(state, wrongs[_i].path,
	    wrongs[_i].value != NULL ? json_loads(wrongs[_i].value, JSON_DECODE_ANY, NULL) : NULL);
	ck_assert_msg(
	    !state_load_json(&second, state, why, sizeof(why)), "%s is taken", wrongs[_i].path);
	ck_assert_msg(strstr(why, wrongs[_i].told) != NULL, "%s: %s", wrongs[_i].path, why);
	/* The first one is as it was. */
	ck_assert_int_eq(help_count_fds(), fds);
	after = made(first);
	ck_assert_int_eq(
	    number_at(after, "generation/slots/0/fd_channel"), first->current->slots[0].channel);
	drop(loaded(after), after);
	json_decref(state);
	json_decref(after);
}
END_TEST

START_TEST(one_descriptor_has_one_owner)
{
	struct master second = {0};
	json_t *state = made(first);
	char why[WHY_MAX] = "";

	put(state, "generation/slots/1/fd_channel",
	    json_integer(number_at(state, "generation/slots/0/fd_channel")));
	ck_assert(!state_load_json(&second, state, why, sizeof(why)));
	ck_assert_msg(strstr(why, "is there twice") != NULL, "%s", why);
	json_decref(state);
}
END_TEST

START_TEST(there_is_a_time_for_it)
{
	char why[WHY_MAX] = "";

	first->state = MASTER_STARTING;
	ck_assert_ptr_null(state_make(first, why, sizeof(why)));
	ck_assert_str_eq(why, "hostlerd is starting or stopping");
	first->state = MASTER_RUNNING;
	first->reload.phase = RELOAD_BUILDING;
	ck_assert_int_eq(state_write(first, why, sizeof(why)), -1);
	ck_assert_str_eq(why, "a reload is under way");
	first->reload.phase = RELOAD_IDLE;
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("state");
	TCase *tcase = tcase_create("state");

	tcase_set_timeout(tcase, 30);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, it_goes_round);
	tcase_add_test(tcase, the_second_goes_on);
	tcase_add_test(tcase, through_a_memfd);
	tcase_add_test(tcase, clients_stay_connected);
	tcase_add_test(tcase, a_rehearsal_touches_nothing);
	tcase_add_test(tcase, a_foreign_pool_is_left_alone);
	tcase_add_test(tcase, other_counters_begin_anew);
	tcase_add_loop_test(
	    tcase, what_is_wrong_is_refused, 0, (int)(sizeof(wrongs) / sizeof(wrongs[0])));
	tcase_add_test(tcase, one_descriptor_has_one_owner);
	tcase_add_test(tcase, there_is_a_time_for_it);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
