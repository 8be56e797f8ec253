/*
 * The control socket with a table of its own: what is answered, what is refused, and that no client
 * costs more than it may. The loop runs in this process, the clients are plain descriptors.
 */
#include "daemon/control.h"
#include "tests/unit/daemon_help.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static json_t *
answer_hello(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)request;
	(void)ask;
	return json_pack("{s:s}", "hello", (const char *)arg);
}

/* Larger than any socket's buffer. */
static json_t *
answer_much(void *arg, const json_t *request, struct control_ask *ask)
{
	json_t *list = json_array();

	(void)arg;
	(void)request;
	(void)ask;
	for (int i = 0; i < 400000; i++)
		json_array_append_new(list, json_integer(1234567));
	return json_pack("{s:o}", "much", list);
}

/* A text that is no UTF-8: jansson makes nothing of it. */
static json_t *
answer_nothing(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)arg;
	(void)request;
	(void)ask;
	return control_done(json_pack("{s:s}", "text", "\xff"));
}

static json_t *
answer_change(void *arg, const json_t *request, struct control_ask *ask)
{
	const json_t *name = json_object_get(request, "name");

	(void)arg;
	(void)ask;
	if (name != NULL)
		return control_error("there is no \"%s\"\n", json_string_value(name));
	return json_pack("{s:O?, s:O?}", "flag", json_object_get(request, "flag"), "number",
	    json_object_get(request, "number"));
}

/* Kept until the test answers. */
static struct control_ask *kept[CONTROL_ASKS_MAX];
static int kept_count;

static json_t *
answer_later(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)arg;
	(void)request;
	ck_assert_int_lt(kept_count, CONTROL_ASKS_MAX);
	kept[kept_count++] = ask;
	return NULL;
}

static void
answer_kept(void)
{
	ck_assert_int_gt(kept_count, 0);
	control_ask_reply(kept[0], json_pack("{s:s}", "hello", "later"));
	memmove(kept, kept + 1, (size_t)--kept_count * sizeof(kept[0]));
}

/* Answered through the ask, but before the command returns. */
static json_t *
answer_soon(void *arg, const json_t *request, struct control_ask *ask)
{
	control_ask_reply(ask, answer_hello(arg, request, ask));
	return NULL;
}

static const struct control_argument change_arguments[] = {{"flag", CONTROL_BOOL},
    {"number", CONTROL_COUNT}, {"name", CONTROL_TEXT}, {NULL, CONTROL_BOOL}};
static const struct control_command looks[] = {{"hello", answer_hello, NULL, false},
    {"much", answer_much, NULL, false}, {NULL, NULL, NULL, false}};
static const struct control_command orders[] = {{"nothing", answer_nothing, NULL, false},
    {"change", answer_change, change_arguments, false}, {"later", answer_later, NULL, true},
    {"soon", answer_soon, NULL, true}, {NULL, NULL, NULL, false}};
static const struct control_command *const commands[] = {looks, orders, NULL};
static const struct control_tables tables = {commands, "world"};

/* ---- lines ---- */

static void
check_line(const char *line, const char *reply, bool garbage)
{
	bool is_garbage;
	char *answer = control_line_answer(&tables, NULL, line, strlen(line), &is_garbage);

	ck_assert_str_eq(answer, reply);
	ck_assert_int_eq(is_garbage, garbage);
	free(answer);
}

#define GARBAGE "{\"ok\":false,\"error\":\"a request is one JSON object in one line\"}\n"

START_TEST(commands_are_answered)
{
	check_line("{\"command\":\"hello\"}", "{\"ok\":true,\"hello\":\"world\"}\n", false);
	check_line(" { \"command\" : \"hello\" } \r", "{\"ok\":true,\"hello\":\"world\"}\n", false);
	check_line("{\"command\":\"nothing\"}",
	    "{\"ok\":false,\"error\":\"the reply cannot be made\"}\n", false);
}
END_TEST

START_TEST(wrong_commands_are_refused)
{
	check_line("{\"command\":\"fly\"}",
	    "{\"ok\":false,\"error\":\"unknown command \\\"fly\\\"\"}\n", false);
	check_line("{\"command\":\"hello\",\"x\":1}",
	    "{\"ok\":false,\"error\":\"unknown key \\\"x\\\"\"}\n", false);
	check_line(
	    "{}", "{\"ok\":false,\"error\":\"\\\"command\\\" is missing or no string\"}\n", false);
	check_line("{\"command\":7}",
	    "{\"ok\":false,\"error\":\"\\\"command\\\" is missing or no string\"}\n", false);
	check_line("{\"command\":"
		   "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
	    "{\"ok\":false,\"error\":\"unknown command\"}\n", false);
}
END_TEST

#define CHANGE(rest)  "{\"command\":\"change\"," rest "}"
#define REFUSED(text) "{\"ok\":false,\"error\":\"" text "\"}\n"

START_TEST(arguments_are_checked)
{
	check_line(
	    "{\"command\":\"change\"}", "{\"ok\":true,\"flag\":null,\"number\":null}\n", false);
	check_line(CHANGE("\"flag\":true,\"number\":4294967295"),
	    "{\"ok\":true,\"flag\":true,\"number\":4294967295}\n", false);
	check_line(CHANGE("\"flag\":1"), REFUSED("\\\"flag\\\" must be true or false"), false);
	check_line(CHANGE("\"flag\":null"), REFUSED("\\\"flag\\\" must be true or false"), false);
	check_line(
	    CHANGE("\"number\":-1"), REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(
	    CHANGE("\"number\":1.0"), REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(
	    CHANGE("\"number\":\"1\""), REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(CHANGE("\"number\":4294967296"),
	    REFUSED("\\\"number\\\" must be a whole number"), false);
	check_line(CHANGE("\"name\":[]"), REFUSED("\\\"name\\\" must be a string"), false);
	check_line(CHANGE("\"flags\":true"), REFUSED("unknown key \\\"flags\\\""), false);
	/* A command without arguments takes none, also not one of another's. */
	check_line(
	    "{\"command\":\"hello\",\"flag\":true}", REFUSED("unknown key \\\"flag\\\""), false);
	/* A sentence of a command is one line, whatever is in it. */
	check_line(
	    CHANGE("\"name\":\"a\\nb\""), REFUSED("there is no \\\"a\\\\x0ab\\\"\\\\x0a"), false);
}
END_TEST

START_TEST(garbage_is_told_from_requests)
{
	check_line("", GARBAGE, true);
	check_line("status", GARBAGE, true);
	check_line("[]", GARBAGE, true);
	check_line("{\"command\":\"hello\"", GARBAGE, true);
	check_line("{\"command\":\"hello\"} {}", GARBAGE, true);
	check_line("{\"command\":\"hello\",\"command\":\"hello\"}", GARBAGE, true);
	check_line("{\"command\":\"\xff\"}", GARBAGE, true);
	check_line("{\"command\":\"a\\u0000b\"}", GARBAGE, true);
}
END_TEST

START_TEST(no_nesting_is_too_deep)
{
	size_t depth = 65000;
	char *line = malloc(depth);
	bool is_garbage;
	char *answer;

	memset(line, '[', depth);
	answer = control_line_answer(&tables, NULL, line, depth, &is_garbage);
	ck_assert_str_eq(answer, GARBAGE);
	free(answer);
	free(line);
}
END_TEST

/* ---- the socket ---- */

struct world {
	struct event_base *base;
	struct control *control;
	char *folder, path[128], why[256];
};

static void
world_open_for(struct world *world, uid_t uid, gid_t gid)
{
	struct control_setup setup = {.uid = uid, .gid = gid, .tables = commands, .arg = "world"};

	signal(SIGPIPE, SIG_IGN);
	world->base = event_base_new();
	world->folder = help_folder();
	snprintf(world->path, sizeof(world->path), "%s/s", world->folder);
	setup.path = world->path;
	world->control = control_open(world->base, &setup, world->why, sizeof(world->why));
	ck_assert_msg(world->control != NULL, "%s", world->why);
}

static void
world_open(struct world *world)
{
	world_open_for(world, (uid_t)-1, (gid_t)-1);
}

static void
world_close(struct world *world)
{
	control_close(world->control);
	event_base_free(world->base);
	ck_assert_int_eq(access(world->path, F_OK), -1);
	ck_assert_int_eq(rmdir(world->folder), 0);
	free(world->folder);
}

static void
world_turn(struct world *world)
{
	ck_assert_int_ge(event_base_loop(world->base, EVLOOP_NONBLOCK), 0);
}

static int
client_open(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void
client_say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Reads to the end, or until the text is as expected. The caller frees it. */
static char *
client_hear(struct world *world, int fd, const char *expected)
{
	size_t length = 0, room = 8 * 1024 * 1024;
	char *text = calloc(room + 1, 1);
	uint64_t end = clock_now() + HELP_DEADLINE;

	while (expected == NULL || strcmp(text, expected) != 0) {
		ssize_t n;

		world_turn(world);
		n = read(fd, text + length, room - length);
		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN)
			break;
		if (n > 0)
			length += (size_t)n;
		ck_assert_msg(clock_now() < end, "heard only: %.200s", text);
	}
	return text;
}

static void
client_expect(struct world *world, int fd, const char *expected)
{
	char *text = client_hear(world, fd, expected);

	ck_assert_str_eq(text, expected);
	free(text);
}

static bool
client_is_closed(struct world *world, int fd)
{
	char byte;

	world_turn(world);
	return read(fd, &byte, 1) == 0;
}

/* Seen without reading: the peer is gone. */
static bool
client_hung_up(int fd)
{
	struct pollfd ready = {.fd = fd};

	return poll(&ready, 1, 0) == 1 && (ready.revents & POLLHUP) != 0;
}

#define HELLO "{\"ok\":true,\"hello\":\"world\"}\n"

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

#define LATER     "{\"ok\":true,\"hello\":\"later\"}\n"
#define ASK_LATER "{\"command\":\"later\"}\n"
#define ASK_HELLO "{\"command\":\"hello\"}\n"

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
	Suite *suite = suite_create("control");
	TCase *tests = tcase_create("control");

	tcase_set_timeout(tests, 40);
	tcase_add_test(tests, commands_are_answered);
	tcase_add_test(tests, wrong_commands_are_refused);
	tcase_add_test(tests, arguments_are_checked);
	tcase_add_test(tests, garbage_is_told_from_requests);
	tcase_add_test(tests, no_nesting_is_too_deep);
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
