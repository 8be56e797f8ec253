/*
 * Two workers of the real parts in the test's own process, of which one gives its connections to
 * the other, and their clients.
 */
#ifndef TESTS_UNIT_GIVE_HELP_H
#define TESTS_UNIT_GIVE_HELP_H

#include "ipc/chan.h"
#include "ipc/move.h"
#include "tests/unit/seat.h"
#include "workers/give.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

#define MANY 100
#define SERVICE(name, port)                                                                        \
	"[service " name "]\nlisten=127.0.0.1:" port "\nprotocol=line\nhandler=echo\n"
#define TWO_SERVICES SERVICE("a", "1") "pipeline=2\n" SERVICE("b", "2")

static struct seat giver, taker;
static int clients[2 * MANY], client_count;

static inline void
open_both_with(const char *text, enum backend backend)
{
	client_count = 0;
	seat_open(&giver, text, backend, NULL);
	seat_open(&taker, text, backend, &giver);
}

static inline void
open_both(void)
{
	open_both_with(TWO_SERVICES, BACKEND_EPOLL);
}

static inline void
close_both(void)
{
	while (seat_answer())
		continue;
	for (int i = 0; i < client_count; i++)
		close(clients[i]);
	seat_close(&taker);
	seat_close(&giver);
}

static inline void
turn_both(int times)
{
	for (int i = 0; i < times; i++) {
		seat_turn(&giver);
		seat_turn(&taker);
	}
}

static inline int
connect_one(unsigned service, const char *says)
{
	int client;

	(void)seat_connect(&giver, service, &client);
	ck_assert_int_eq(write(client, says, strlen(says)), strlen(says));
	return clients[client_count++] = client;
}

static inline void
connect_some(unsigned service, int count, const char *says)
{
	for (int i = 0; i < count; i++)
		(void)connect_one(service, says);
	turn_both(3);
}

static inline void
expect(int client, const char *text)
{
	char got[256] = "";
	ssize_t n = read(client, got, sizeof(got) - 1);

	ck_assert_msg(n == (ssize_t)strlen(text) && strcmp(got, text) == 0, "got %zd: %s", n, got);
}

static inline unsigned
count(struct seat *seat)
{
	return seat_worker(seat)->open;
}

static inline void
expect_given(uint64_t moved, uint64_t rest)
{
	struct msg_given given;

	ck_assert(seat_given(&giver, &given));
	ck_assert_uint_eq(given.moved, moved);
	ck_assert_uint_eq(given.rest, rest);
	ck_assert_ptr_null(seat_worker(&giver)->give);
}

/* The other end of the giver's channel is the test's own. */
static inline int
order_by_hand(void)
{
	int ends[2];

	ck_assert_int_eq(chan_pair(ends), 0);
	give_on_order(
	    seat_worker(&giver), &(struct msg_give){.order = 7, .most = MSG_GIVE_ALL}, ends[1]);
	return ends[0];
}

static inline void
say(int channel, enum move_type type, uint32_t why, uint64_t number)
{
	struct move_answer answer = {.type = type, .why = why, .number = number};

	ck_assert_int_eq(move_send(channel, &answer, sizeof(answer), -1), MOVE_OK);
}

/* Reads the head of the next connection; its descriptor is closed. */
static inline enum move_result
hear_head(int channel, struct move_head *head)
{
	static union move_packet packet;
	enum move_result result;
	size_t length;
	int fd;

	do
		result = move_receive(channel, true, &packet, &length, &fd);
	while (result == MOVE_OK && packet.type != MOVE_HEAD);
	if (result == MOVE_OK)
		close(fd);
	*head = packet.head;
	return result;
}

#endif
