/*
 * The control socket against a crowd: that no client costs more than it may, that the silent keep
 * nobody out, and who is let in at all.
 */
#include "tests/unit/control_help.h"

#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>

/*
 * Asks without clients are bounded too; what is not kept is answered all the same. Whoever has left
 * gives up its place as soon as it is needed.
 */
START_TEST(asks_are_bounded)
{
	struct world world;
	int fd;

	world_open(&world);
	for (int i = 0; i < CONTROL_ASKS_MAX; i++) {
		fd = client_open(world.path);
		client_say(fd, ASK_LATER);
		help_wait_for((world_turn(&world), kept_count == i + 1));
		close(fd);
	}
	fd = client_open(world.path);
	client_say(fd, ASK_LATER);
	client_expect(&world, fd, REFUSED("too many requests are under way"));
	client_say(fd, ASK_HELLO);
	client_expect(&world, fd, HELLO);
	answer_kept();
	client_say(fd, ASK_LATER);
	help_wait_for((world_turn(&world), kept_count == CONTROL_ASKS_MAX));
	while (kept_count > 0)
		answer_kept();
	client_expect(&world, fd, LATER);
	close(fd);
	world_close(&world);
}
END_TEST

/* Silent clients do not keep out one who has a question; the one silent longest goes. */
START_TEST(newcomers_displace_the_silent)
{
	struct world world;
	int fds[CONTROL_CLIENTS_MAX], fd, waiting = 0;
	char *text;

	world_open(&world);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = client_open(world.path);
		world_turn(&world);
	}
	/* The first waits for an answer, the second was heard, so the third is the oldest. */
	client_say(fds[0], ASK_LATER);
	help_wait_for((world_turn(&world), kept_count == 1));
	client_say(fds[1], ASK_HELLO);
	client_expect(&world, fds[1], HELLO);
	fd = client_open(world.path);
	client_say(fd, ASK_HELLO);
	client_expect(&world, fd, HELLO);
	text = client_hear(&world, fds[2], NULL);
	ck_assert_str_eq(text, REFUSED("too many clients"));
	free(text);
	close(fds[2]);
	close(fd);
	answer_kept();
	client_expect(&world, fds[0], LATER);
	/* All wait: nobody can be displaced, so the newcomer goes. */
	fds[2] = client_open(world.path);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		client_say(fds[i], ASK_LATER);
		help_wait_for((world_turn(&world), kept_count == i + 1));
	}
	fd = client_open(world.path);
	client_say(fd, ASK_HELLO);
	text = client_hear(&world, fd, NULL);
	ck_assert_str_eq(text, REFUSED("too many clients"));
	free(text);
	close(fd);
	while (waiting++ < CONTROL_CLIENTS_MAX)
		answer_kept();
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		client_expect(&world, fds[i], LATER);
		close(fds[i]);
	}
	world_close(&world);
}
END_TEST

/* A flood of silent newcomers, each displacing another, and still each question is answered. */
START_TEST(flood_of_silence_is_no_siege)
{
	struct world world;
	int fds[1000], fd;

	world_open(&world);
	for (int i = 0; i < 1000; i++) {
		fds[i] = client_open(world.path);
		if (i % 50 == 49) {
			fd = client_open(world.path);
			client_say(fd, ASK_HELLO);
			client_expect(&world, fd, HELLO);
			close(fd);
		}
	}
	for (int i = 0; i < 1000; i++)
		close(fds[i]);
	world_close(&world);
}
END_TEST

/* Connects as a stranger of the group, `count` times, and asks each time; lives until told. */
static pid_t
stranger_start(const struct world *world, int count, const char *text, int *done)
{
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		ck_assert_int_eq(setgroups(0, NULL), 0);
		ck_assert_int_eq(setresgid(7001, 7001, 7001), 0);
		ck_assert_int_eq(setresuid(7000, 7000, 7000), 0);
		for (int i = 0; i < count; i++) {
			int fd = client_open(world->path);

			(void)!write(fd, text, strlen(text));
		}
		close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*done = ends[0];
	return pid;
}

/* Members of the group cannot keep us out, not even with questions that take long. */
START_TEST(strangers_cannot_keep_us_out)
{
	struct world world;
	char *text;
	pid_t pid;
	int fd, done;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root can be somebody else\n");
		return;
	}
	help_catch_log();
	world_open_for(&world, (uid_t)-1, 7001);
	ck_assert_int_eq(chmod(world.folder, 0755), 0);
	pid = stranger_start(&world, CONTROL_CLIENTS_MAX + 8, ASK_LATER, &done);
	text = client_hear(&world, done, NULL);
	free(text);
	help_wait_for((world_turn(&world), kept_count == CONTROL_CLIENTS_MAX - CONTROL_RESERVED));
	fd = client_open(world.path);
	client_say(fd, ASK_HELLO ASK_LATER);
	client_expect(&world, fd, HELLO);
	help_wait_for(
	    (world_turn(&world), kept_count == CONTROL_CLIENTS_MAX - CONTROL_RESERVED + 1));
	while (kept_count > 0)
		answer_kept();
	client_expect(&world, fd, LATER);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
	close(done);
	world_close(&world);
}
END_TEST

/* Half a request does not buy more time, and an answer buys as much again. */
START_TEST(silent_clients_are_closed_in_time)
{
	struct world world;
	uint64_t start, asked;
	int silent, dripping, talking, slow;

	world_open(&world);
	silent = client_open(world.path);
	dripping = client_open(world.path);
	talking = client_open(world.path);
	slow = client_open(world.path);
	start = clock_now();
	world_turn(&world);
	help_wait_for((world_turn(&world), clock_now() - start > 3 * CLOCK_SECOND));
	client_say(dripping, "{");
	/* Taken before the daemon can have taken its own time, so that load only adds. */
	asked = clock_now();
	client_say(talking, "{\"command\":\"hello\"}\n");
	client_expect(&world, talking, HELLO);
	client_say(slow, "{\"command\":\"much\"}\n");
	help_wait_for(client_is_closed(&world, silent));
	help_wait_for(client_is_closed(&world, dripping));
	ck_assert_uint_ge(clock_now() - start, 5 * CLOCK_SECOND - 100 * CLOCK_MS);
	ck_assert(!client_is_closed(&world, talking));
	/* Who does not take its reply has as long for that, and no longer. */
	ck_assert(!client_hung_up(slow));
	help_wait_for(client_is_closed(&world, talking));
	help_wait_for((world_turn(&world), client_hung_up(slow)));
	ck_assert_uint_ge(clock_now() - asked, 5 * CLOCK_SECOND - 100 * CLOCK_MS);
	close(silent);
	close(dripping);
	close(talking);
	close(slow);
	world_close(&world);
}
END_TEST

/* read(2) makes the kernel drop them. */
START_TEST(passed_descriptors_are_dropped)
{
	struct world world;
	char line[] = "{\"command\":\"hello\"}\n";
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {line, strlen(line)};
	struct msghdr message = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	int ends[2], fd, before;
	char byte;

	world_open(&world);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	fd = client_open(world.path);
	world_turn(&world);
	before = help_count_fds();
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &ends[1], sizeof(int));
	ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)strlen(line));
	client_expect(&world, fd, HELLO);
	ck_assert_int_eq(help_count_fds(), before);
	/* The writing end is nowhere any more. */
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &byte, 1), 0);
	close(fd);
	world_close(&world);
}
END_TEST

/* As root: a stranger is refused, the configured user and a member of the group are not. */
static void
check_peer(uid_t allowed_uid, gid_t allowed_gid, uid_t uid, gid_t gid, const gid_t *extra,
    const char *expected)
{
	struct world world;
	int ends[2];
	pid_t peer;
	char *text;

	help_catch_log();
	world_open_for(&world, allowed_uid, allowed_gid);
	/* The mode is not what keeps strangers out here. */
	ck_assert_int_eq(chmod(world.folder, 0755), 0);
	ck_assert_int_eq(chmod(world.path, 0666), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	peer = fork();
	if (peer == 0) {
		char reply[256];
		ssize_t n;
		int fd;

		ck_assert_int_eq(setgroups(extra != NULL, extra), 0);
		ck_assert_int_eq(setresgid(gid, gid, gid), 0);
		ck_assert_int_eq(setresuid(uid, uid, uid), 0);
		fd = client_open(world.path);
		fcntl(fd, F_SETFL, 0);
		(void)!write(fd, "{\"command\":\"hello\"}\n", 20);
		n = read(fd, reply, sizeof(reply));
		_exit(n > 0 && write(ends[1], reply, (size_t)n) == n ? 0 : 1);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	text = client_hear(&world, ends[0], NULL);
	ck_assert_str_eq(text, expected);
	ck_assert_int_eq(waitpid(peer, NULL, 0), peer);
	free(text);
	close(ends[0]);
	world_close(&world);
}

#define DENIED "{\"ok\":false,\"error\":\"permission denied\"}\n"

START_TEST(peers_are_known_by_their_credentials)
{
	const gid_t extra = 7002;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root can be somebody else\n");
		return;
	}
	check_peer((uid_t)-1, (gid_t)-1, 7000, 7001, NULL, DENIED);
	check_peer(7000, (gid_t)-1, 7000, 7001, NULL, HELLO);
	check_peer(7005, 7006, 7000, 7001, NULL, DENIED);
	check_peer(7005, 7001, 7000, 7001, NULL, HELLO);
	check_peer(7005, 7002, 7000, 7001, &extra, HELLO);
	check_peer(7005, 7003, 7000, 7001, &extra, DENIED);
}
END_TEST

START_TEST(live_socket_is_refused_with_a_sentence)
{
	struct world world;
	struct control_setup setup = {.uid = (uid_t)-1, .gid = (gid_t)-1, .tables = commands};
	char why[256], expected[256];

	world_open(&world);
	setup.path = world.path;
	ck_assert_ptr_null(control_open(world.base, &setup, why, sizeof(why)));
	snprintf(expected, sizeof(expected), "control socket %s is in use by a running program",
	    world.path);
	ck_assert_str_eq(why, expected);
	/* And it still works. */
	ck_assert_int_eq(access(world.path, F_OK), 0);
	world_close(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("control_crowd");
	TCase *tests = tcase_create("control_crowd");

	tcase_set_timeout(tests, 40);
	tcase_add_test(tests, asks_are_bounded);
	tcase_add_test(tests, newcomers_displace_the_silent);
	tcase_add_test(tests, flood_of_silence_is_no_siege);
	tcase_add_test(tests, strangers_cannot_keep_us_out);
	tcase_add_test(tests, silent_clients_are_closed_in_time);
	tcase_add_test(tests, passed_descriptors_are_dropped);
	tcase_add_test(tests, peers_are_known_by_their_credentials);
	tcase_add_test(tests, live_socket_is_refused_with_a_sentence);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
