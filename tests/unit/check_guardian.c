/*
 * The guardian with real processes: a test master is killed, and what it started must go. The test
 * is a subreaper, so that the orphans' pids stay in the family.
 */
#include "daemon/guardian.h"
#include "daemon/spawn.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <sys/prctl.h>
#include <sys/wait.h>

/* What a test master says about itself. */
struct family {
	pid_t guardian;
	pid_t leader;
	pid_t grandchild; /* ignores TERM and was left by its parent's parent */
};

static struct spawned
start_family_program(struct guardian *guardian, struct family *family)
{
	static char *const argv[] = {"/bin/sh", "-c",
	    "trap '' TERM HUP INT; /bin/sleep 1000 & echo $!; trap '' TERM; wait", NULL};
	static char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	struct spawn_plan plan = {
	    .executable = argv[0], .argv = argv, .env = env, .directory = "/"};
	char why[SPAWN_WHY_MAX], text[32] = "";
	struct spawned spawned;
	struct pollfd ready;

	ck_assert_msg(spawn_start(&plan, guardian, &spawned, why) == 0, "%s", why);
	ready = (struct pollfd){.fd = spawned.out, .events = POLLIN};
	ck_assert_int_eq(poll(&ready, 1, 10000), 1);
	ck_assert_int_gt(read(spawned.out, text, sizeof(text) - 1), 1);
	family->guardian = guardian->pid;
	family->leader = spawned.pid;
	family->grandchild = (pid_t)atoi(text);
	return spawned;
}

/* Forks a master with a guardian and one program. Returns its pid; it waits to be killed. */
static pid_t
start_master(struct family *family)
{
	int report[2];
	pid_t master;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	master = fork();
	if (master == 0) {
		struct guardian guardian;

		signal(SIGPIPE, SIG_IGN);
		ck_assert_int_eq(guardian_start(&guardian, NULL, 0), 0);
		start_family_program(&guardian, family);
		ck_assert_int_eq(write(report[1], family, sizeof(*family)), sizeof(*family));
		pause();
		_exit(1);
	}
	close(report[1]);
	ck_assert_int_eq(read(report[0], family, sizeof(*family)), sizeof(*family));
	close(report[0]);
	return master;
}

START_TEST(master_dies_and_the_whole_group_goes)
{
	struct family family;
	pid_t master = start_master(&family);

	ck_assert(help_runs(family.guardian));
	ck_assert(help_runs(family.grandchild));
	kill(master, SIGKILL);
	help_wait_for(!help_runs(family.leader));
	help_wait_for(!help_runs(family.grandchild));
	help_wait_for(!help_runs(family.guardian));
}
END_TEST

/* The parent-death signal alone would have left the grandchild. */
START_TEST(without_a_guardian_the_grandchild_would_stay)
{
	struct family family;
	pid_t master = start_master(&family);

	kill(family.guardian, SIGKILL);
	help_wait_for(!help_runs(family.guardian));
	kill(master, SIGKILL);
	help_wait_for(!help_runs(family.leader));
	ck_assert(help_runs(family.grandchild));
	kill(family.grandchild, SIGKILL);
}
END_TEST

START_TEST(signals_for_the_master_do_not_end_it)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE};
	struct guardian guardian;
	int status;

	ck_assert_int_eq(guardian_start(&guardian, NULL, 0), 0);
	/* Its own group: who signals the master's whole group does not reach it. */
	help_wait_for(getpgid(guardian.pid) == guardian.pid);
	help_wait_for(({
		char path[64], line[256];
		unsigned long long ignored = 0;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%ld/status", (long)guardian.pid);
		file = fopen(path, "re");
		while (file != NULL && fgets(line, sizeof(line), file) != NULL)
			sscanf(line, "SigIgn: %llx", &ignored);
		if (file != NULL)
			fclose(file);
		(ignored & 1ull << (SIGTERM - 1)) != 0 && (ignored & 1ull << (SIGPIPE - 1)) != 0;
	}));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		ck_assert_int_eq(kill(guardian.pid, numbers[i]), 0);
	ck_assert_int_eq(waitpid(guardian.pid, &status, WNOHANG), 0);
	close(guardian.pipe);
	ck_assert_int_eq(waitpid(guardian.pid, &status, 0), guardian.pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

/* A group of one process that sleeps. */
static pid_t
start_group(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	help_wait_for(getpgid(pid) == pid);
	return pid;
}

START_TEST(forgotten_group_is_left_alone_the_others_are_not)
{
	struct guardian guardian;
	pid_t known = start_group(), forgotten = start_group(), told = start_group();
	const pid_t groups[] = {forgotten, known};

	ck_assert_int_eq(guardian_start(&guardian, groups, 2), 0);
	ck_assert_int_eq(guardian_add(guardian.pipe, told), 0);
	guardian_forget(&guardian, forgotten);
	guardian_stop(&guardian);
	ck_assert_int_eq(guardian.pid, 0);
	ck_assert_int_eq(waitpid(known, NULL, 0), known);
	ck_assert_int_eq(waitpid(told, NULL, 0), told);
	ck_assert(help_runs(forgotten));
	kill(forgotten, SIGKILL);
}
END_TEST

/* A wrong record must never become kill(-1) or our own group. */
START_TEST(senseless_groups_are_not_obeyed)
{
	struct guardian guardian;
	pid_t bystander;

	/* Under a user id of its own, so that a failure of this test harms nobody. */
	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root can take a harmless user id\n");
		return;
	}
	ck_assert_int_eq(setresgid(64999, 64999, 64999), 0);
	ck_assert_int_eq(setresuid(64999, 64999, 64999), 0);
	bystander = start_group();
	ck_assert_int_eq(guardian_start(&guardian, NULL, 0), 0);
	ck_assert_int_eq(guardian_add(guardian.pipe, 1), 0);
	ck_assert_int_eq(guardian_add(guardian.pipe, 0), 0);
	ck_assert_int_eq(guardian_add(guardian.pipe, -5), 0);
	guardian_stop(&guardian);
	ck_assert(help_runs(bystander));
	kill(bystander, SIGKILL);
}
END_TEST

/* It keeps nothing open that belongs to the master. */
START_TEST(it_holds_its_pipe_and_nothing_else)
{
	struct guardian guardian;
	int ours[2];
	char byte;

	ck_assert_int_eq(pipe2(ours, O_CLOEXEC), 0);
	ck_assert_int_eq(guardian_start(&guardian, NULL, 0), 0);
	close(ours[1]);
	/* EOF comes only when the guardian has let go of its copy. */
	ck_assert_int_eq(read(ours[0], &byte, 1), 0);
	guardian_stop(&guardian);
}
END_TEST

/* A guardian that is stopped must not stop the master: its pipe fills up, and it is killed. */
START_TEST(stopped_guardian_is_killed_when_it_cannot_be_told)
{
	struct guardian guardian;
	int status;

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(guardian_start(&guardian, NULL, 0), 0);
	kill(guardian.pid, SIGSTOP);
	while (guardian_add(guardian.pipe, 999999999) == 0)
		continue;
	ck_assert_int_eq(errno, EAGAIN);
	guardian_forget(&guardian, 999999999);
	ck_assert_int_eq(waitpid(guardian.pid, &status, 0), guardian.pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	guardian_gone(&guardian);
	ck_assert_int_eq(guardian.pipe, -1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("guardian");
	TCase *tests = tcase_create("guardian");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, master_dies_and_the_whole_group_goes);
	tcase_add_test(tests, without_a_guardian_the_grandchild_would_stay);
	tcase_add_test(tests, signals_for_the_master_do_not_end_it);
	tcase_add_test(tests, forgotten_group_is_left_alone_the_others_are_not);
	tcase_add_test(tests, senseless_groups_are_not_obeyed);
	tcase_add_test(tests, it_holds_its_pipe_and_nothing_else);
	tcase_add_test(tests, stopped_guardian_is_killed_when_it_cannot_be_told);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
