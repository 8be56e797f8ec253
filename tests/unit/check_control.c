/*
 * The control socket with a table of its own: what a client is answered, in which order and when,
 * whatever it does in the middle. What it may cost is in check_control_crowd.c.
 */
#include "tests/unit/control_help.h"

#include <sys/stat.h>

START_TEST(requests_are_answered_in_order)
{
	struct world world;
	struct stat st;
	int fd;

	world_open(&world);
	ck_assert_int_eq(stat(world.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	fd = client_open(world.path);
	client_say(fd, "{\"command\":\"hel");
	world_turn(&world);
	client_say(fd, "lo\"}\n{\"command\":\"x\"}\n{\"command\":\"hello\"}\n");
	client_expect(
	    &world, fd, HELLO "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n" HELLO);
	/* And the connection stays. */
	client_say(fd, "{\"command\":\"hello\"}\n");
	client_expect(&world, fd, HELLO);
	close(fd);
	world_close(&world);
}
END_TEST

START_TEST(half_closed_client_gets_its_reply)
{
	struct world world;
	int fd;

	world_open(&world);
	fd = client_open(world.path);
	client_say(fd, "{\"command\":\"hello\"}");
	shutdown(fd, SHUT_WR);
	client_expect(&world, fd, HELLO);
	help_wait_for(client_is_closed(&world, fd));
	close(fd);
	world_close(&world);
}
END_TEST

START_TEST(garbage_closes_after_one_error)
{
	struct world world;
	char *text;
	int fd;

	world_open(&world);
	fd = client_open(world.path);
	client_say(fd, "GET / HTTP/1.0\r\n\r\n{\"command\":\"hello\"}\n");
	text = client_hear(&world, fd, NULL);
	ck_assert_str_eq(text, GARBAGE);
	free(text);
	close(fd);
	world_close(&world);
}
END_TEST

START_TEST(endless_request_is_cut)
{
	struct world world;
	char part[4096], *text;
	int fd;

	world_open(&world);
	fd = client_open(world.path);
	memset(part, ' ', sizeof(part));
	for (int i = 0; i < CONTROL_REQUEST_MAX / (int)sizeof(part); i++) {
		ck_assert_int_eq(write(fd, part, sizeof(part)), sizeof(part));
		world_turn(&world);
	}
	text = client_hear(&world, fd, NULL);
	ck_assert_str_eq(text, "{\"ok\":false,\"error\":\"the request is too long\"}\n");
	free(text);
	close(fd);
	world_close(&world);
}
END_TEST

/* While a reply goes out nothing is read: a hundred requests cost one reply at a time. */
START_TEST(reply_that_does_not_fit_waits)
{
	struct world world;
	size_t one = strlen("{\"ok\":true,\"much\":[]}\n") + 400000 * 8 - 1;
	char *text;
	int fd;

	world_open(&world);
	fd = client_open(world.path);
	client_say(fd, "{\"command\":\"much\"}\n{\"command\":\"much\"}\n");
	for (int i = 0; i < 20; i++)
		world_turn(&world);
	shutdown(fd, SHUT_WR);
	text = client_hear(&world, fd, NULL);
	ck_assert_uint_eq(strlen(text), 2 * one);
	free(text);
	close(fd);
	world_close(&world);
}
END_TEST

START_TEST(client_that_goes_in_the_middle_harms_nobody)
{
	struct world world;
	int fd, other;

	world_open(&world);
	fd = client_open(world.path);
	client_say(fd, "{\"command\":\"much\"}\n");
	world_turn(&world);
	close(fd);
	world_turn(&world);
	other = client_open(world.path);
	client_say(other, "{\"command\":\"hello\"}\n");
	client_expect(&world, other, HELLO);
	close(other);
	world_close(&world);
}
END_TEST

/* Nothing more is taken from a client that waits, and nothing of it is lost. */
START_TEST(late_answers_keep_their_place)
{
	struct world world;
	char byte;
	int fd, other;

	world_open(&world);
	fd = client_open(world.path);
	other = client_open(world.path);
	client_say(fd, ASK_HELLO ASK_LATER ASK_HELLO "{\"command\":\"soon\"}\n" ASK_LATER);
	client_expect(&world, fd, HELLO);
	ck_assert_int_eq(kept_count, 1);
	client_say(fd, ASK_HELLO);
	client_say(other, ASK_HELLO);
	client_expect(&world, other, HELLO);
	ck_assert_int_eq(read(fd, &byte, 1), -1);
	answer_kept();
	client_expect(&world, fd, LATER HELLO HELLO);
	ck_assert_int_eq(kept_count, 1);
	answer_kept();
	client_expect(&world, fd, LATER HELLO);
	close(fd);
	close(other);
	world_close(&world);
}
END_TEST

/* A command may take longer than a silent client may; half-closed is not gone. */
START_TEST(waiting_is_not_silence)
{
	struct world world;
	uint64_t start;
	int fd;

	world_open(&world);
	fd = client_open(world.path);
	client_say(fd, "{\"command\":\"later\"}");
	shutdown(fd, SHUT_WR);
	start = clock_now();
	help_wait_for((world_turn(&world), clock_now() - start > 7 * CLOCK_SECOND));
	answer_kept();
	client_expect(&world, fd, LATER);
	help_wait_for(client_is_closed(&world, fd));
	close(fd);
	world_close(&world);
}
END_TEST

/* Whoever leaves gives its place back; its ask stays valid, and its reply harms nobody. */
START_TEST(client_that_leaves_is_forgotten)
{
	struct world world;
	int fd, before;

	world_open(&world);
	fd = client_open(world.path);
	before = help_count_fds();
	client_say(fd, ASK_LATER);
	help_wait_for((world_turn(&world), kept_count == 1));
	ck_assert_int_eq(help_count_fds(), before + 1);
	close(fd);
	help_wait_for((world_turn(&world), help_count_fds() == before - 1));
	answer_kept();
	fd = client_open(world.path);
	client_say(fd, ASK_LATER);
	help_wait_for((world_turn(&world), kept_count == 1));
	/* The answer may come before it is seen that nobody is there. */
	close(fd);
	answer_kept();
	help_wait_for((world_turn(&world), help_count_fds() == before - 1));
	world_close(&world);
}
END_TEST

START_TEST(asks_outlive_the_socket)
{
	struct world world;
	char *text;
	int fd;

	world_open(&world);
	fd = client_open(world.path);
	client_say(fd, ASK_LATER);
	help_wait_for((world_turn(&world), kept_count == 1));
	control_close(world.control);
	world.control = NULL;
	answer_kept();
	text = client_hear(&world, fd, NULL);
	ck_assert_str_eq(text, REFUSED("the daemon has stopped"));
	free(text);
	close(fd);
	world_close(&world);
}
END_TEST

/* The daemon ends in the turn in which it was answered. */
START_TEST(last_answers_are_sent)
{
	struct world world;
	int fd;

	world_open(&world);
	fd = client_open(world.path);
	client_say(fd, ASK_LATER);
	help_wait_for((world_turn(&world), kept_count == 1));
	answer_kept();
	control_close(world.control);
	world.control = NULL;
	client_expect(&world, fd, LATER);
	close(fd);
	world_close(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("control");
	TCase *tests = tcase_create("control");

	tcase_set_timeout(tests, 40);
	tcase_add_test(tests, requests_are_answered_in_order);
	tcase_add_test(tests, half_closed_client_gets_its_reply);
	tcase_add_test(tests, garbage_closes_after_one_error);
	tcase_add_test(tests, endless_request_is_cut);
	tcase_add_test(tests, reply_that_does_not_fit_waits);
	tcase_add_test(tests, client_that_goes_in_the_middle_harms_nobody);
	tcase_add_test(tests, late_answers_keep_their_place);
	tcase_add_test(tests, waiting_is_not_silence);
	tcase_add_test(tests, client_that_leaves_is_forgotten);
	tcase_add_test(tests, asks_outlive_the_socket);
	tcase_add_test(tests, last_answers_are_sent);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
