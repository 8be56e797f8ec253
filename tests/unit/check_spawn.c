/*
 * Real programs, started as instances are. The test plays the master; the other end of the
 * guardian's pipe is its own, so that it sees what the guardian would be told.
 */
#include "daemon/environment.h"
#include "daemon/spawn.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <sys/prctl.h>
#include <sys/wait.h>

struct world {
	struct guardian guardian;
	int told; /* the reading end of the guardian's pipe */
	struct spawn_plan plan;
	struct spawned spawned;
	char why[SPAWN_WHY_MAX];
};

static void
world_open(struct world *world, char *const *argv)
{
	static char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	*world = (struct world){.guardian = {.pid = 0, .pipe = ends[1]},
	    .told = ends[0],
	    .plan = {.executable = argv[0], .argv = argv, .env = env, .directory = "/"}};
}

static void
world_start(struct world *world)
{
	ck_assert_msg(spawn_start(&world->plan, &world->guardian, &world->spawned, world->why) == 0,
	    "%s", world->why);
}

static int
world_wait(struct world *world)
{
	int status;

	ck_assert_int_eq(waitpid(world->spawned.pid, &status, 0), world->spawned.pid);
	return status;
}

/* Runs it to its end; what it wrote to stdout. The caller frees it. */
static char *
world_run(struct world *world)
{
	char *text;

	world_start(world);
	close(world->spawned.in);
	text = help_read_all(world->spawned.out);
	close(world->spawned.out);
	close(world->spawned.err);
	ck_assert_int_eq(world_wait(world), 0);
	return text;
}

/* How many records of that order and group the guardian was told. */
static int
world_told(struct world *world, uint32_t order, pid_t group)
{
	struct {
		uint32_t order;
		int32_t group;
	} record;
	int count = 0;

	while (read(world->told, &record, sizeof(record)) == (ssize_t)sizeof(record))
		count += record.order == order && record.group == group;
	return count;
}

START_TEST(bytes_go_in_and_come_out)
{
	char *const argv[] = {"/bin/sh", "-c", "read x; echo got $x; echo bad >&2", NULL};
	struct world world;
	char *out, *err;

	world_open(&world, argv);
	world_start(&world);
	ck_assert_int_eq(write(world.spawned.in, "this\n", 5), 5);
	out = help_read_all(world.spawned.out);
	err = help_read_all(world.spawned.err);
	ck_assert_str_eq(out, "got this\n");
	ck_assert_str_eq(err, "bad\n");
	ck_assert_int_eq(world_wait(&world), 0);
	free(out);
	free(err);
}
END_TEST

START_TEST(program_sees_three_descriptors)
{
	char *const argv[] = {"/bin/ls", "/proc/self/fd", NULL};
	struct world world;
	char *out;

	/* Descriptors that somebody forgot to close, close by and far away. */
	ck_assert_int_eq(dup2(0, 7), 7);
	ck_assert_int_eq(dup2(0, 300), 300);
	world_open(&world, argv);
	out = world_run(&world);
	/* The fourth is the folder that ls reads. */
	ck_assert_str_eq(out, "0\n1\n2\n3\n");
	free(out);
}
END_TEST

START_TEST(our_ends_do_not_block_its_ends_do)
{
	char *const argv[] = {
	    "/bin/sh", "-c", "exec /bin/cat /proc/self/fdinfo/0 /proc/self/fdinfo/1", NULL};
	struct world world;
	char *out, *flags;
	unsigned value;

	world_open(&world, argv);
	world_start(&world);
	ck_assert(fcntl(world.spawned.in, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(world.spawned.out, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(world.spawned.err, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(world.spawned.in, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(world.spawned.out, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(world.spawned.err, F_GETFD) & FD_CLOEXEC);
	out = help_read_all(world.spawned.out);
	flags = out;
	for (int i = 0; i < 2; i++) {
		flags = strstr(flags, "flags:");
		ck_assert_ptr_nonnull(flags);
		flags += strlen("flags:");
		ck_assert_int_eq(sscanf(flags, "%o", &value), 1);
		ck_assert_uint_eq(value & O_NONBLOCK, 0);
	}
	ck_assert_int_eq(world_wait(&world), 0);
	free(out);
}
END_TEST

static void
on_usr1(int number)
{
	(void)number;
}

/* Everything that the master does to its own signals is undone. */
START_TEST(signals_are_default_and_open)
{
	char *const argv[] = {"/bin/cat", "/proc/self/status", NULL};
	struct world world;
	sigset_t some;
	char *out;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, on_usr1);
	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigaddset(&some, SIGUSR2);
	sigprocmask(SIG_BLOCK, &some, NULL);
	world_open(&world, argv);
	out = world_run(&world);
	ck_assert_ptr_nonnull(strstr(out, "SigBlk:\t0000000000000000\n"));
	/* 32 and 33 are the C library's own: a posix_spawn above (make's) leaves them ignored. */
	ck_assert_ptr_nonnull(strstr(out, "SigIgn:\t"));
	ck_assert_uint_eq(strtoull(strstr(out, "SigIgn:\t") + 8, NULL, 16) & ~0x180000000, 0);
	ck_assert_ptr_nonnull(strstr(out, "SigCgt:\t0000000000000000\n"));
	/* And ours are as they were. */
	ck_assert_ptr_eq(signal(SIGUSR1, SIG_DFL), on_usr1);
	sigprocmask(SIG_BLOCK, NULL, &some);
	ck_assert_int_eq(sigismember(&some, SIGTERM), 1);
	ck_assert_int_eq(sigismember(&some, SIGINT), 0);
	free(out);
}
END_TEST

START_TEST(it_leads_a_group_that_the_guardian_knows)
{
	char *const argv[] = {"/bin/sh", "-c", "read x", NULL};
	struct world world;

	world_open(&world, argv);
	world_start(&world);
	ck_assert_int_eq(getpgid(world.spawned.pid), world.spawned.pid);
	ck_assert_int_ne(getpgid(world.spawned.pid), getpgid(0));
	ck_assert_int_eq(world_told(&world, 1, world.spawned.pid), 1);
	close(world.spawned.in);
	world_wait(&world);
}
END_TEST

START_TEST(limits_directory_and_environment)
{
	char *const argv[] = {"/bin/sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c; pwd; env", NULL};
	char *const extra[] = {"FOO=bar baz", "LANG=xx_YY", "HOSTLER_SLOT=me", NULL};
	struct world world;
	char **env, *out;

	setenv("LANG", "en_GB", 1);
	setenv("LC_TIME", "de_DE", 1);
	setenv("SECRET", "not for programs", 1);
	env = environment_new("upper", 7, getuid(), extra);
	world_open(&world, argv);
	world.plan.env = env;
	world.plan.directory = "/usr";
	world.plan.limits[0].resource = RLIMIT_NOFILE;
	world.plan.limits[0].value = (struct rlimit){33, 44};
	world.plan.limits[1].resource = RLIMIT_CORE;
	world.plan.limits[1].value = (struct rlimit){0, 0};
	world.plan.limit_count = 2;
	out = world_run(&world);
	ck_assert_int_eq(strncmp(out, "33\n44\n0\n/usr\n", 13), 0);
	ck_assert_ptr_nonnull(strstr(out, "\nFOO=bar baz\n"));
	ck_assert_ptr_nonnull(strstr(out, "\nLANG=xx_YY\n"));
	ck_assert_ptr_nonnull(strstr(out, "\nLC_TIME=de_DE\n"));
	ck_assert_ptr_nonnull(strstr(out, "\nHOSTLER_SERVICE=upper\n"));
	ck_assert_ptr_nonnull(strstr(out, "\nHOSTLER_SLOT=me\n"));
	ck_assert_ptr_nonnull(strstr(out, "\nPYTHONUNBUFFERED=1\n"));
	ck_assert_ptr_nonnull(strstr(out, "\nPATH=/usr/local/sbin:/usr/local/bin:"));
	ck_assert_ptr_nonnull(strstr(out, "\nHOME="));
	ck_assert_ptr_null(strstr(out, "SECRET"));
	ck_assert_ptr_null(strstr(out, "en_GB"));
	/* Nothing is said twice: what a program makes of that is anybody's guess. */
	for (char **a = env; *a != NULL; a++)
		for (char **b = a + 1; *b != NULL; b++)
			ck_assert(strncmp(*a, *b, strcspn(*a, "=") + 1) != 0);
	environment_free(env);
	free(out);
}
END_TEST

/* As root another user, with its groups, and no way back through a set-uid file. */
START_TEST(ids_are_changed_for_good)
{
	char *const argv[] = {"/bin/cat", "/proc/self/status", NULL};
	const gid_t groups[] = {7001, 7002};
	struct world world;
	char *out;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root can change ids\n");
		return;
	}
	world_open(&world, argv);
	world.plan.set_gid = world.plan.set_uid = true;
	world.plan.gid = 7001;
	world.plan.uid = 7000;
	world.plan.groups = groups;
	world.plan.group_count = 2;
	out = world_run(&world);
	ck_assert_ptr_nonnull(strstr(out, "Uid:\t7000\t7000\t7000\t7000\n"));
	ck_assert_ptr_nonnull(strstr(out, "Gid:\t7001\t7001\t7001\t7001\n"));
	ck_assert_ptr_nonnull(strstr(out, "Groups:\t7001 7002 \n"));
	ck_assert_ptr_nonnull(strstr(out, "NoNewPrivs:\t1\n"));
	ck_assert_ptr_nonnull(strstr(out, "CapEff:\t0000000000000000\n"));
	free(out);
}
END_TEST

START_TEST(without_a_change_of_uid_privileges_stay_possible)
{
	char *const argv[] = {"/bin/cat", "/proc/self/status", NULL};
	struct world world;
	char *out;

	world_open(&world, argv);
	out = world_run(&world);
	ck_assert_ptr_nonnull(strstr(out, "NoNewPrivs:\t0\n"));
	free(out);
}
END_TEST

/* The program must die with its master even where nobody reads the guardian's pipe. */
static void
check_parent_death(bool change_ids)
{
	char *const argv[] = {"/bin/sleep", "1000", NULL};
	struct world world;
	int report[2];
	pid_t master, program;

	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	world_open(&world, argv);
	if (change_ids) {
		world.plan.set_gid = world.plan.set_uid = true;
		world.plan.uid = world.plan.gid = 7000;
	}
	master = fork();
	if (master == 0) {
		if (spawn_start(&world.plan, &world.guardian, &world.spawned, world.why) == 0 &&
		    write(report[1], &world.spawned.pid, sizeof(pid_t)) == sizeof(pid_t))
			pause();
		_exit(1);
	}
	ck_assert_int_eq(read(report[0], &program, sizeof(program)), sizeof(program));
	ck_assert(help_runs(program));
	kill(master, SIGKILL);
	ck_assert_int_eq(waitpid(master, NULL, 0), master);
	help_wait_for(!help_runs(program));
}

START_TEST(it_dies_with_its_master)
{
	check_parent_death(false);
}
END_TEST

START_TEST(it_dies_with_its_master_as_another_user_too)
{
	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root can change ids\n");
		return;
	}
	check_parent_death(true);
}
END_TEST

/* A failed start says why and leaves nothing behind. */
static void
check_failure(struct world *world, const char *why)
{
	int before = help_count_fds();

	ck_assert_int_eq(
	    spawn_start(&world->plan, &world->guardian, &world->spawned, world->why), -1);
	ck_assert_str_eq(world->why, why);
	ck_assert_int_eq(help_count_fds(), before);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

START_TEST(failures_say_why)
{
	char *const missing[] = {"/no/such/program", NULL};
	char *const closed[] = {"/etc/passwd", NULL};
	char *const shell[] = {"/bin/sh", NULL};
	struct world world;

	world_open(&world, missing);
	check_failure(&world, "cannot execute /no/such/program: No such file or directory");
	world_open(&world, closed);
	check_failure(&world, "cannot execute /etc/passwd: Permission denied");
	world_open(&world, shell);
	world.plan.directory = "/no/such/folder";
	check_failure(
	    &world, "cannot change to the directory /no/such/folder: No such file or directory");
	world_open(&world, shell);
	world.plan.limits[0].resource = RLIMIT_NOFILE;
	world.plan.limits[0].value = (struct rlimit){9, 8};
	world.plan.limit_count = 1;
	check_failure(&world, "cannot set a resource limit: Invalid argument");
}
END_TEST

START_TEST(failed_group_is_forgotten)
{
	char *const missing[] = {"/no/such/program", NULL};
	struct world world;
	struct {
		uint32_t order;
		int32_t group;
	} records[3];

	world_open(&world, missing);
	ck_assert_int_eq(spawn_start(&world.plan, &world.guardian, &world.spawned, world.why), -1);
	ck_assert_int_eq(read(world.told, records, sizeof(records)), 2 * sizeof(records[0]));
	ck_assert_uint_eq(records[0].order, 1);
	ck_assert_uint_eq(records[1].order, 2);
	ck_assert_int_eq(records[0].group, records[1].group);
}
END_TEST

/* A dead guardian costs the start, not the master's life by SIGPIPE. */
START_TEST(without_a_guardian_nothing_starts)
{
	char *const argv[] = {"/bin/sleep", "1000", NULL};
	struct world world;

	signal(SIGPIPE, SIG_IGN);
	world_open(&world, argv);
	close(world.told);
	/* No process to be killed in its place. */
	world.guardian.pid = fork();
	if (world.guardian.pid == 0) {
		pause();
		_exit(0);
	}
	ck_assert_int_eq(spawn_start(&world.plan, &world.guardian, &world.spawned, world.why), -1);
	ck_assert_str_eq(world.why, "cannot tell the guardian: Broken pipe");
	ck_assert_int_eq(waitpid(-1, NULL, 0), world.guardian.pid);
}
END_TEST

START_TEST(without_descriptors_it_fails)
{
	char *const argv[] = {"/bin/true", NULL};
	struct rlimit few = {0, 0};
	struct world world;

	world_open(&world, argv);
	few.rlim_max = few.rlim_cur = (rlim_t)world.guardian.pipe + 4;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	check_failure(&world, "cannot make a pipe: Too many open files");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("spawn");
	TCase *tests = tcase_create("spawn");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, bytes_go_in_and_come_out);
	tcase_add_test(tests, program_sees_three_descriptors);
	tcase_add_test(tests, our_ends_do_not_block_its_ends_do);
	tcase_add_test(tests, signals_are_default_and_open);
	tcase_add_test(tests, it_leads_a_group_that_the_guardian_knows);
	tcase_add_test(tests, limits_directory_and_environment);
	tcase_add_test(tests, ids_are_changed_for_good);
	tcase_add_test(tests, without_a_change_of_uid_privileges_stay_possible);
	tcase_add_test(tests, it_dies_with_its_master);
	tcase_add_test(tests, it_dies_with_its_master_as_another_user_too);
	tcase_add_test(tests, failures_say_why);
	tcase_add_test(tests, failed_group_is_forgotten);
	tcase_add_test(tests, without_a_guardian_nothing_starts);
	tcase_add_test(tests, without_descriptors_it_fails);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
