/*
 * For the tests of the control socket: commands to ask, the socket, its clients. The loop runs in
 * this process, the clients are plain descriptors.
 */
#ifndef TESTS_UNIT_CONTROL_HELP_H
#define TESTS_UNIT_CONTROL_HELP_H

#include "daemon/control.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <sys/socket.h>
#include <sys/un.h>

#define GARBAGE       "{\"ok\":false,\"error\":\"a request is one JSON object in one line\"}\n"
#define REFUSED(text) "{\"ok\":false,\"error\":\"" text "\"}\n"
#define HELLO         "{\"ok\":true,\"hello\":\"world\"}\n"
#define LATER         "{\"ok\":true,\"hello\":\"later\"}\n"
#define ASK_LATER     "{\"command\":\"later\"}\n"
#define ASK_HELLO     "{\"command\":\"hello\"}\n"

static inline json_t *
answer_hello(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)request;
	(void)ask;
	return json_pack("{s:s}", "hello", (const char *)arg);
}

/* Larger than any socket's buffer. */
static inline json_t *
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

/* Kept until the test answers. */
static struct control_ask *kept[CONTROL_ASKS_MAX];
static int kept_count;

static inline json_t *
answer_later(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)arg;
	(void)request;
	ck_assert_int_lt(kept_count, CONTROL_ASKS_MAX);
	kept[kept_count++] = ask;
	return NULL;
}

static inline void
answer_kept(void)
{
	ck_assert_int_gt(kept_count, 0);
	control_ask_reply(kept[0], json_pack("{s:s}", "hello", "later"));
	memmove(kept, kept + 1, (size_t)--kept_count * sizeof(kept[0]));
}

/* Answered through the ask, but before the command returns. */
static inline json_t *
answer_soon(void *arg, const json_t *request, struct control_ask *ask)
{
	control_ask_reply(ask, answer_hello(arg, request, ask));
	return NULL;
}

static const struct control_command commands_here[] = {{"hello", answer_hello, NULL, false},
    {"much", answer_much, NULL, false}, {"later", answer_later, NULL, true},
    {"soon", answer_soon, NULL, true}, {NULL, NULL, NULL, false}};
static const struct control_command *const commands[] = {commands_here, NULL};

struct world {
	struct event_base *base;
	struct control *control;
	char *folder, path[100], why[256];
};

static inline void
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

static inline void
world_open(struct world *world)
{
	world_open_for(world, (uid_t)-1, (gid_t)-1);
}

static inline void
world_close(struct world *world)
{
	control_close(world->control);
	event_base_free(world->base);
	ck_assert_int_eq(access(world->path, F_OK), -1);
	ck_assert_int_eq(rmdir(world->folder), 0);
	free(world->folder);
}

static inline void
world_turn(struct world *world)
{
	ck_assert_int_ge(event_base_loop(world->base, EVLOOP_NONBLOCK), 0);
}

static inline int
client_open(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static inline void
client_say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Reads to the end, or until the text is as expected. The caller frees it. */
static inline char *
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

static inline void
client_expect(struct world *world, int fd, const char *expected)
{
	char *text = client_hear(world, fd, expected);

	ck_assert_str_eq(text, expected);
	free(text);
}

static inline bool
client_is_closed(struct world *world, int fd)
{
	char byte;

	world_turn(world);
	return read(fd, &byte, 1) == 0;
}

/* Seen without reading: the peer is gone. */
static inline bool
client_hung_up(int fd)
{
	struct pollfd ready = {.fd = fd};

	return poll(&ready, 1, 0) == 1 && (ready.revents & POLLHUP) != 0;
}

#endif
