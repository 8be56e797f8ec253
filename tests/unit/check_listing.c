/*
 * The master's half of a listing, with a worker that says anything: what is right is in the reply,
 * what is not is left out, and nothing it writes or sends does harm. The worker is this process, at
 * the other end of a channel.
 */
#include "daemon/control.h"
#include "daemon/listing.h"
#include "daemon/master.h"
#include "ipc/chan.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define GOOD                                                                                       \
	"{\"service\":\"up\",\"peer\":\"1.2.3.4:5\",\"state\":\"idle\",\"age\":1,\"requests\":2,"  \
	"\"under_way\":0,\"in\":3,\"out\":4}\n"
#define GOOD_ROW                                                                                   \
	"{\"worker\":0,\"generation\":7,\"service\":\"up\",\"peer\":\"1.2.3.4:5\",\"state\":"      \
	"\"idle\","                                                                                \
	"\"age\":1.0,\"requests\":2,\"under_way\":0,\"in\":3,\"out\":4}"

struct world {
	struct master master;
	struct generation generation;
	struct slot slot;
	struct control *control;
	char *folder, path[100];
	int theirs; /* the worker's end of the channel */
	int client;
};

static const struct control_command commands[] = {
    {"connections", listing_answer, NULL, true}, {NULL, NULL, NULL, false}};
static const struct control_command *const tables[] = {commands, NULL};

static void
world_open(struct world *world)
{
	struct control_setup setup = {
	    .uid = (uid_t)-1, .gid = (gid_t)-1, .tables = tables, .arg = &world->master};
	char why[256];
	int ends[2];

	memset(world, 0, sizeof(*world));
	signal(SIGPIPE, SIG_IGN);
	world->master.base = event_base_new();
	world->master.sum = stats_new(4);
	TAILQ_INIT(&world->master.generations);
	TAILQ_INSERT_TAIL(&world->master.generations, &world->generation, entry);
	world->generation.master = &world->master;
	world->generation.number = 7;
	world->generation.slots = &world->slot;
	world->generation.slot_count = 1;
	ck_assert_int_eq(chan_pair(ends), 0);
	world->slot = (struct slot){.master = &world->master,
	    .generation = &world->generation,
	    .pid = getpid(),
	    .id = 3,
	    .channel = ends[0],
	    .was_ready = true};
	world->theirs = ends[1];
	world->master.listing = listing_open(&world->master);
	world->folder = help_folder();
	snprintf(world->path, sizeof(world->path), "%s/s", world->folder);
	setup.path = world->path;
	world->control = control_open(world->master.base, &setup, why, sizeof(why));
	ck_assert_msg(world->control != NULL, "%s", why);
}

static void
world_close(struct world *world)
{
	close(world->client);
	control_close(world->control);
	listing_close(world->master.listing);
	close(world->theirs);
	close(world->slot.channel);
	stats_free(world->master.sum);
	event_base_free(world->master.base);
	ck_assert_int_eq(rmdir(world->folder), 0);
	free(world->folder);
}

static void
world_turn(struct world *world)
{
	ck_assert_int_ge(event_base_loop(world->master.base, EVLOOP_NONBLOCK), 0);
}

static void
client_ask(struct world *world)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", world->path);
	world->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(world->client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(fcntl(world->client, F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(write(world->client, "{\"command\":\"connections\"}\n", 26), 26);
}

/* The worker gets the question. Returns the file. */
static int
worker_receive(struct world *world, struct msg *list)
{
	int fds[MSG_FDS_MAX];

	help_wait_for((
	    world_turn(world), chan_receive(world->theirs, MSG_FROM_MASTER, list, fds) == CHAN_OK));
	ck_assert_uint_eq(list->type, MSG_LIST);
	ck_assert_uint_eq(list->list.most, MSG_LIST_ROWS);
	return fds[0];
}

/* It says that it has written. What comes through the channel is taken by slot_talk.c. */
static bool
worker_say(struct world *world, uint64_t number, uint64_t length)
{
	const struct msg msg = {.type = MSG_LISTED, .listed = {.number = number, .length = length}};

	return listing_heard(world->master.listing, &world->slot, &msg);
}

/* The whole reply, which ends with a LF. The caller frees it. */
static char *
client_hear(struct world *world)
{
	size_t length = 0, room = 4 << 20;
	char *text = calloc(room + 1, 1);
	uint64_t end = clock_now() + HELP_DEADLINE;

	while (memchr(text, '\n', length) == NULL) {
		ssize_t n;

		world_turn(world);
		n = read(world->client, text + length, room - length);
		ck_assert(n != 0 && (n > 0 || errno == EAGAIN));
		length += n > 0 ? (size_t)n : 0;
		ck_assert_msg(clock_now() < end, "heard only: %.200s", text);
	}
	return text;
}

static void
client_expect(struct world *world, const char *expected)
{
	char *text = client_hear(world);

	ck_assert_str_eq(text, expected);
	free(text);
}

/* The worker writes `text` and says that there are `length` bytes. */
static void
check_text(const char *text, uint64_t length, const char *expected)
{
	struct world world;
	struct msg list;
	int file;

	help_catch_log();
	world_open(&world);
	client_ask(&world);
	file = worker_receive(&world, &list);
	ck_assert_int_eq(pwrite(file, text, strlen(text), 0), (ssize_t)strlen(text));
	close(file);
	ck_assert(worker_say(&world, list.list.number, length));
	client_expect(&world, expected);
	world_close(&world);
}

#define NONE "{\"ok\":true,\"total\":0,\"shown\":0,\"connections\":[],\"missing\":[]}\n"
#define ONE  "{\"ok\":true,\"total\":0,\"shown\":1,\"connections\":[" GOOD_ROW "],\"missing\":[]}\n"

START_TEST(what_is_right_is_told)
{
	check_text(GOOD, strlen(GOOD), ONE);
	check_text("", 0, NONE);
	check_text(GOOD GOOD, 2 * strlen(GOOD),
	    "{\"ok\":true,\"total\":0,\"shown\":2,\"connections\":[" GOOD_ROW "," GOOD_ROW
	    "],\"missing\":[]}\n");
}
END_TEST

static const char *const wrong[] = {"\n", "{}\n", "[]\n", "null\n", "\xff\xfe\n",
    "{\"service\":\"up\"}\n",
    "{\"service\":1,\"peer\":\"p\",\"state\":\"s\",\"age\":1,\"requests\":2,\"under_way\":0,"
    "\"in\":3,\"out\":4}\n",
    "{\"service\":\"u\",\"peer\":\"p\",\"state\":\"s\",\"age\":-1,\"requests\":2,\"under_way\":0,"
    "\"in\":3,\"out\":4}\n",
    "{\"service\":\"u\",\"peer\":\"p\",\"state\":\"s\",\"age\":1.5,\"requests\":2,\"under_way\":0,"
    "\"in\":3,\"out\":4}\n",
    "{\"service\":\"u\",\"peer\":\"p\",\"state\":\"s\",\"age\":1,\"requests\":2,\"under_way\":0,"
    "\"in\":3,\"out\":4,\"more\":5}\n",
    "{\"service\":\"u\",\"service\":\"u\",\"peer\":\"p\",\"state\":\"s\",\"age\":1,\"requests\":2,"
    "\"under_way\":0,\"in\":3,\"out\":4}\n"};

/* Up to the first line that is not right. */
START_TEST(what_is_wrong_is_left_out)
{
	char text[1024];

	check_text(wrong[_i], strlen(wrong[_i]), NONE);
	snprintf(text, sizeof(text), "%s%s%s", GOOD, wrong[_i], GOOD);
	check_text(text, strlen(text), ONE);
}
END_TEST

START_TEST(no_line_is_too_long)
{
	size_t length = MSG_LIST_BYTES;
	char *text = calloc(length, 1);

	memset(text, 'x', length - 1);
	check_text(text, length, NONE);
	memset(text, '[', length - 1);
	check_text(text, length, NONE);
	free(text);
}
END_TEST

/* It claims more than it wrote, and more than there can be. */
START_TEST(no_length_is_believed)
{
	check_text(GOOD, UINT64_MAX, ONE);
	check_text(GOOD, MSG_LIST_BYTES, ONE);
	check_text(GOOD, strlen(GOOD) - 1, ONE);
	check_text(GOOD, strlen(GOOD) - 2, NONE);
}
END_TEST

/* No more rows than were asked for, whatever it writes. */
START_TEST(rows_are_bounded)
{
	struct world world;
	struct msg list;
	char *text;
	int file;

	world_open(&world);
	client_ask(&world);
	file = worker_receive(&world, &list);
	for (unsigned i = 0; i < MSG_LIST_ROWS + 50; i++)
		ck_assert_int_gt(pwrite(file, GOOD, strlen(GOOD), (off_t)(i * strlen(GOOD))), 0);
	ck_assert(worker_say(&world, list.list.number, UINT64_MAX));
	text = client_hear(&world);
	ck_assert_ptr_nonnull(strstr(text, "\"shown\":1000,"));
	free(text);
	close(file);
	world_close(&world);
}
END_TEST

/* The file is sealed: it can be made neither larger nor smaller. */
START_TEST(file_keeps_its_size)
{
	struct world world;
	struct msg list;
	int file;

	world_open(&world);
	client_ask(&world);
	file = worker_receive(&world, &list);
	ck_assert_int_eq(ftruncate(file, 1 << 30), -1);
	ck_assert_int_eq(ftruncate(file, 0), -1);
	ck_assert_int_eq(pwrite(file, "x", 1, MSG_LIST_BYTES), -1);
	ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), -1);
	ck_assert(worker_say(&world, list.list.number, 0));
	client_expect(&world, NONE);
	close(file);
	world_close(&world);
}
END_TEST

/* What was never asked is a broken rule; what was asked before is only late. */
START_TEST(numbers_are_checked)
{
	struct world world;
	struct msg list;
	char *text;

	world_open(&world);
	ck_assert(!worker_say(&world, 1, 0));
	client_ask(&world);
	close(worker_receive(&world, &list));
	ck_assert(!worker_say(&world, 0, 0));
	ck_assert(!worker_say(&world, list.list.number + 1, 0));
	text = client_hear(&world);
	ck_assert_ptr_nonnull(strstr(text, "\"missing\":[{\"worker\":0,\"generation\":7,\"pid\":"));
	free(text);
	ck_assert(worker_say(&world, list.list.number, 0));
	ck_assert(worker_say(&world, list.list.number, 0));
	world_close(&world);
}
END_TEST

/* The dead are not waited for, and are not missing. */
START_TEST(dead_worker_is_not_waited_for)
{
	struct world world;
	struct msg list;
	uint64_t start = clock_now();

	world_open(&world);
	client_ask(&world);
	close(worker_receive(&world, &list));
	listing_forget(world.master.listing, &world.slot);
	client_expect(&world, NONE);
	ck_assert_uint_lt(clock_now() - start, 900 * CLOCK_MS);
	world_close(&world);
}
END_TEST

/* With nobody to ask the reply comes at once. */
START_TEST(no_worker_is_no_reason_to_wait)
{
	struct world world;

	world_open(&world);
	world.slot.was_ready = false;
	client_ask(&world);
	client_expect(&world, NONE);
	world_close(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("listing");
	TCase *tests = tcase_create("listing");

	tcase_set_timeout(tests, 40);
	tcase_add_test(tests, what_is_right_is_told);
	tcase_add_loop_test(tests, what_is_wrong_is_left_out, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(tests, no_line_is_too_long);
	tcase_add_test(tests, no_length_is_believed);
	tcase_add_test(tests, rows_are_bounded);
	tcase_add_test(tests, file_keeps_its_size);
	tcase_add_test(tests, numbers_are_checked);
	tcase_add_test(tests, dead_worker_is_not_waited_for);
	tcase_add_test(tests, no_worker_is_no_reason_to_wait);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
