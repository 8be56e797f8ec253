/*
 * The real master with workers gone wild: this program has a worker_main() of its own, whose first
 * life misbehaves as the test says and whose later lives are good. Whatever the wild one does, it
 * alone pays, and the master stops in the end with status 0.
 */
#include "common/conf.h"
#include "common/log.h"
#include "daemon/backoff.h"
#include "daemon/master.h"
#include "ipc/chan.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"
#include "workers/worker.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* What the wild worker does after it was forked, or after READY. */
enum deed {
	DEED_NOTHING,
	DEED_EXIT_EARLY,   /* every one of them, until told otherwise */
	DEED_EXIT_READY,   /* READY, and gone; thirty of them */
	DEED_GARBAGE,      /* bytes that are no message */
	DEED_EMPTY,        /* a message of no bytes */
	DEED_MASTERS_WORD, /* a message that only the master may send */
	DEED_WITH_FD,      /* READY with a descriptor */
	DEED_READY_TWICE,
	DEED_PONG_UNASKED,
	DEED_DRAINED_UNASKED,
	DEED_NO_SUCH_POOL,
	DEED_CLOSE_CHANNEL,
	DEED_MUTE,  /* READY, and then deaf */
	DEED_STUCK, /* reports a stuck lock, beside a mute one */
	DEED_DAMAGED,
	DEED_FLOOD /* talks without end, but by the rules */
};

/* In shared memory, for all processes of a test. */
struct script {
	_Atomic int deed;
	_Atomic int lives;     /* workers that were born */
	_Atomic uint64_t born; /* when the newest was; 0 before the first */
	_Atomic int
	    quick; /* how many were born less than the shortest back-off after the one before */
};

static struct script *script;

/* ---- the workers ---- */

static void
say(const struct worker_start *start, uint32_t type, uint64_t number)
{
	struct msg msg = {.type = type, .number.number = number};

	while (chan_send(start->channel, &msg, NULL) == CHAN_AGAIN)
		poll(NULL, 0, 1);
}

/* A good worker: answers pings, drains when told, ends with its channel. */
static int
live_well(const struct worker_start *start)
{
	for (;;) {
		struct pollfd ready = {.fd = start->channel, .events = POLLIN};
		int fds[MSG_FDS_MAX];
		struct msg msg;

		poll(&ready, 1, -1);
		switch (chan_receive(start->channel, MSG_FROM_MASTER, &msg, fds)) {
		case CHAN_OK:
			break;
		case CHAN_AGAIN:
			continue;
		default:
			return 0;
		}
		for (int i = 0; i < MSG_FDS_MAX; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		if (msg.type == MSG_PING)
			say(start, MSG_PONG, msg.number.number);
		if (msg.type == MSG_DRAIN) {
			say(start, MSG_DRAINED, 0);
			return 0;
		}
	}
}

static void
live_mute(void)
{
	for (;;)
		pause();
}

static void
send_raw(const struct worker_start *start, const void *bytes, size_t length)
{
	(void)!send(start->channel, bytes, length, MSG_NOSIGNAL);
}

static void
send_with_fd(const struct worker_start *start)
{
	struct msg msg = {.type = MSG_PONG, .number.number = 1};
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {&msg, msg_info(MSG_PONG)->length};
	struct msghdr message = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	int zero = 0;

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &zero, sizeof(int));
	(void)!sendmsg(start->channel, &message, MSG_NOSIGNAL);
}

static void
misbehave(const struct worker_start *start, enum deed deed)
{
	switch (deed) {
	case DEED_GARBAGE:
		send_raw(start, "no message at all", 17);
		break;
	case DEED_EMPTY:
		send_raw(start, "", 0);
		break;
	case DEED_MASTERS_WORD:
		say(start, MSG_PING, 1);
		break;
	case DEED_WITH_FD:
		send_with_fd(start);
		break;
	case DEED_READY_TWICE:
		say(start, MSG_READY, 0);
		break;
	case DEED_PONG_UNASKED:
		say(start, MSG_PONG, 999);
		break;
	case DEED_DRAINED_UNASKED:
		say(start, MSG_DRAINED, 0);
		break;
	case DEED_NO_SUCH_POOL:
		say(start, MSG_POOL_DAMAGED, 77);
		break;
	case DEED_CLOSE_CHANNEL:
		close(start->channel);
		break;
	case DEED_STUCK:
		say(start, MSG_LOCK_STUCK, 0);
		live_well(start);
		_exit(0);
	case DEED_DAMAGED:
		say(start, MSG_POOL_DAMAGED, 0);
		break;
	case DEED_FLOOD:
		for (;;)
			say(start, MSG_LOCK_STUCK, 0);
	default:
		break;
	}
	live_mute();
}

/* However busy the machine is, it does not hold up every birth; back-off does. */
static void
note_birth(void)
{
	uint64_t now = clock_now(), before = atomic_exchange(&script->born, now);

	if (before != 0 && now < before + BACKOFF_FIRST)
		atomic_fetch_add(&script->quick, 1);
}

int
worker_main(const struct worker_start *start)
{
	int life = atomic_fetch_add(&script->lives, 1);
	enum deed deed = (enum deed)atomic_load(&script->deed);

	note_birth();
	if (deed == DEED_EXIT_EARLY)
		return 3;
	/* With two workers, the second of the first two is mute beside the one that complains. */
	if (deed == DEED_STUCK && life < 2) {
		say(start, MSG_READY, 0);
		if (life == 1)
			live_mute();
		poll(NULL, 0, 300);
		misbehave(start, deed);
	}
	say(start, MSG_READY, 0);
	if (deed == DEED_EXIT_READY && life < 30)
		return 4;
	if (life == 0 && deed != DEED_NOTHING)
		misbehave(start, deed);
	return live_well(start);
}

/* ---- the master ---- */

struct world {
	pid_t master;
	int log;
	char *folder, control[128];
};

static void
world_open(struct world *world, enum deed deed, const char *workers)
{
	static char *words[] = {NULL};
	const struct upgrade_start start = {.words = words};
	const char *const argv[] = {"--listen", "127.0.0.1:0", "--hostler.workers", workers,
	    "--hostler.worker-timeout", "2s", "--instances", "2", "--", "/bin/cat", NULL};
	struct conf_errors errors = {0};
	struct conf *conf;

	script =
	    mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(script, MAP_FAILED);
	atomic_store(&script->deed, deed);
	world->folder = help_folder();
	snprintf(world->control, sizeof(world->control), "%s/control", world->folder);
	conf = conf_run(sizeof(argv) / sizeof(argv[0]) - 1, (char **)(uintptr_t)argv, "/bin/cat",
	    world->control, &errors);
	conf_errors_print(&errors, stderr);
	ck_assert_ptr_nonnull(conf);
	world->log = help_catch_log();
	world->master = fork();
	if (world->master == 0) {
		log_open("master", LOG_LEVEL_INFO);
		exit(master_run(conf, world->control, &start));
	}
	conf_free(conf);
}

/* How often the text stands in the log. */
static int
world_logged(const struct world *world, const char *text)
{
	char *log = help_log(world->log);
	int count = 0;

	for (const char *at = log; (at = strstr(at, text)) != NULL; at++)
		count++;
	free(log);
	return count;
}

/* It must stop as if nothing had been. */
static void
world_close(struct world *world)
{
	int status;

	ck_assert_int_eq(kill(world->master, SIGTERM), 0);
	ck_assert_int_eq(waitpid(world->master, &status, 0), world->master);
	if (status != 0) {
		char *log = help_log(world->log);

		ck_abort_msg("the master ended with %x:\n%s", status, log);
	}
	ck_assert_int_eq(world_logged(world, "master: stopped\n"), 1);
	ck_assert_int_eq(access(world->control, F_OK), -1);
	ck_assert_int_eq(rmdir(world->folder), 0);
	free(world->folder);
}

/* The wild worker is killed for the reason, once, and its place is filled again. */
static void
check_replaced(enum deed deed, const char *reason)
{
	struct world world;
	char text[128];

	world_open(&world, deed, "1");
	snprintf(text, sizeof(text), "is replaced: %s\n", reason);
	help_wait_for(world_logged(&world, text) == 1);
	help_wait_for(world_logged(&world, "ended: killed by signal 9 (Killed)\n") >= 1);
	/* The READY of one that closed its channel at once may be lost with it. */
	help_wait_for(atomic_load(&script->lives) == 2);
	help_wait_for(world_logged(&world, "is ready\n") >= (deed == DEED_CLOSE_CHANNEL ? 1 : 2));
	ck_assert_int_eq(world_logged(&world, "is replaced"), 1);
	world_close(&world);
}

#define RULES "broke the rules of its channel"

static const struct {
	enum deed deed;
	const char *reason;
} wild[] = {
    {DEED_GARBAGE, RULES},
    {DEED_MASTERS_WORD, RULES},
    {DEED_WITH_FD, RULES},
    {DEED_READY_TWICE, RULES},
    {DEED_PONG_UNASKED, RULES},
    {DEED_DRAINED_UNASKED,
	"did not answer for 2s"}, /* allowed: somebody sent it TERM; but then it ends */
    {DEED_NO_SUCH_POOL, RULES},
    {DEED_EMPTY, "closed its channel"},
    {DEED_CLOSE_CHANNEL, "closed its channel"},
    {DEED_MUTE, "did not answer for 2s"},
};

START_TEST(wild_worker_pays_alone)
{
	check_replaced(wild[_i].deed, wild[_i].reason);
}
END_TEST

START_TEST(good_workers_are_left_alone)
{
	struct world world;

	world_open(&world, DEED_NOTHING, "2");
	help_wait_for(world_logged(&world, "ready: 2 workers, 1 service; control socket ") == 1);
	world_close(&world);
	ck_assert_int_eq(world_logged(&world, "replaced"), 0);
	ck_assert_int_eq(world_logged(&world, "killed"), 0);
	ck_assert_int_eq(world_logged(&world, "ended: exit status 0\n"), 4);
}
END_TEST

/* Deaths before READY back off: not more than a few in the first second. */
START_TEST(worker_that_never_gets_ready_is_not_forked_without_end)
{
	struct world world;
	uint64_t start = clock_now();
	int lives;

	world_open(&world, DEED_EXIT_EARLY, "1");
	help_wait_for(clock_now() - start > CLOCK_SECOND);
	/* At 0, 0.1, 0.3, 0.7, 1.5 s. */
	lives = atomic_load(&script->lives);
	ck_assert_int_ge(lives, 2);
	ck_assert_int_le(lives, 5);
	atomic_store(&script->deed, DEED_NOTHING);
	help_wait_for(world_logged(&world, "is ready\n") == 1);
	world_close(&world);
}
END_TEST

/* With back-off none of them would be born so soon. */
START_TEST(worker_that_was_ready_is_replaced_at_once)
{
	struct world world;

	world_open(&world, DEED_EXIT_READY, "1");
	help_wait_for(atomic_load(&script->lives) == 31);
	ck_assert_int_ge(atomic_load(&script->quick), 10);
	ck_assert_int_eq(world_logged(&world, "ended: exit status 4\n"), 30);
	world_close(&world);
}
END_TEST

/* Long before worker_timeout: who is silent while a lock is stuck has it. */
START_TEST(stuck_lock_costs_the_silent_worker_its_life)
{
	struct world world;

	world_open(&world, DEED_STUCK, "2");
	help_wait_for(world_logged(&world,
			  "is replaced: did not answer for 1s while a pool was locked\n") == 1);
	help_wait_for(world_logged(&world, "is ready\n") == 3);
	ck_assert_int_eq(world_logged(&world, "is replaced"), 1);
	world_close(&world);
}
END_TEST

START_TEST(damaged_pool_starts_over_with_fresh_workers_and_instances)
{
	struct world world;

	world_open(&world, DEED_DAMAGED, "2");
	help_wait_for(world_logged(&world, "its pool was damaged and starts over\n") == 1);
	help_wait_for(
	    world_logged(&world, "killed by us: belongs to a pool that was damaged\n") == 2);
	ck_assert_int_eq(world_logged(&world, "is replaced: a pool is damaged\n"), 2);
	help_wait_for(world_logged(&world, "instance 1 (pid ") >= 4);
	/* One of them before, if not two, and two afterwards. */
	help_wait_for(world_logged(&world, "is ready\n") >= 3);
	world_close(&world);
}
END_TEST

/* One that talks without end does not keep the master from anything else. */
START_TEST(flood_of_messages_stops_nobody)
{
	struct world world;

	world_open(&world, DEED_FLOOD, "2");
	help_wait_for(world_logged(&world, "is replaced: did not answer for ") == 1);
	help_wait_for(world_logged(&world, "is ready\n") == 3);
	world_close(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("master");
	TCase *tests = tcase_create("master");

	tcase_set_timeout(tests, 40);
	tcase_add_test(tests, good_workers_are_left_alone);
	tcase_add_loop_test(tests, wild_worker_pays_alone, 0, sizeof(wild) / sizeof(wild[0]));
	tcase_add_test(tests, worker_that_never_gets_ready_is_not_forked_without_end);
	tcase_add_test(tests, worker_that_was_ready_is_replaced_at_once);
	tcase_add_test(tests, stuck_lock_costs_the_silent_worker_its_life);
	tcase_add_test(tests, damaged_pool_starts_over_with_fresh_workers_and_instances);
	tcase_add_test(tests, flood_of_messages_stops_nobody);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
