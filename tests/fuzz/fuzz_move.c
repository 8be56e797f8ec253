/*
 * Fuzzing of moves: packets of a giver or of a taker who may say anything, to the real parts of a
 * worker over a real channel.
 *
 * The first byte chooses the side: 0 plays the giver, 1 the taker, with three connections at the
 * other end. Then each packet is two bytes and its own: the low four bits of the first say what is
 * sent, 16 are steps of the worker's loop.
 *
 *   0       a head that is right but for what follows: place, byte, place, byte ...
 *   1       bytes: so many
 *   2 3 4   CREDIT, TAKEN, REFUSED of a number, which follows, and why
 *   5       as it follows, with a descriptor where the next bit is set
 *   6       the end
 *   7       so many milliseconds go by
 *   8       the clients say what follows
 */
#include "common/clock.h"
#include "ipc/chan.h"
#include "ipc/move.h"
#include "tests/unit/seat.h"
#include "workers/give.h"
#include "workers/take.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_CLIENTS 3
#define FUZZ_PACKETS 64
#define FUZZ_CONF                                                                                  \
	"[service a]\nlisten=127.0.0.1:1\nprotocol=line\nhandler=echo\npipeline=2\n"               \
	"message_timeout=2ms\nidle_timeout=3ms\nwrite_timeout=2ms\n"                               \
	"[service b]\nlisten=127.0.0.1:2\nprotocol=frame\nids=yes\nhandler=echo\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct seat fuzz_seat;
static int fuzz_channel;
static int fuzz_clients[FUZZ_CLIENTS + FUZZ_PACKETS]; /* with those that came by a head */
static unsigned fuzz_client_count;
static uint64_t fuzz_heads;

static int
fuzz_lowest_free(void)
{
	int lowest = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

	seat_must(lowest >= 0, "a descriptor");
	close(lowest);
	return lowest;
}

static unsigned
fuzz_count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 64; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* ---- what the peer says ---- */

static void
fuzz_say(const void *packet, size_t length, bool with_fd)
{
	int ends[2] = {-1, -1};

	if (fuzz_channel < 0)
		return;
	if (with_fd) {
		seat_must(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
		    "a client");
		fuzz_clients[fuzz_client_count++] = ends[1];
	}
	(void)move_send(fuzz_channel, packet, length, ends[0]);
	if (with_fd)
		close(ends[0]);
}

static void
fuzz_say_head(const uint8_t *data, size_t length)
{
	struct move_head head = {.type = MOVE_HEAD,
	    .version = MOVE_VERSION,
	    .listener = SEAT_INODE,
	    .service = "a",
	    .protocol = "line",
	    .protocol_version = 1,
	    .state = 8,
	    .in = 4};

	head.number = fuzz_heads++;
	for (size_t i = 0; i + 1 < length; i += 2)
		((uint8_t *)&head)[data[i] % sizeof(head)] = data[i + 1];
	/* The worker grows with what comes, but the time of a fuzzer is short. */
	head.state %= 4096;
	if (head.bytes == 0)
		head.bytes = head.state + head.in + head.out;
	fuzz_say(&head, sizeof(head), true);
}

static void
fuzz_say_bytes(const uint8_t *data, size_t length)
{
	static struct move_bytes bytes = {.type = MOVE_BYTES};
	size_t count = length > 0 ? data[0] : 0;

	memset(bytes.bytes, 0, count);
	for (size_t i = 0; i < count && i + 1 < length; i++)
		bytes.bytes[i] = (char)data[i + 1];
	fuzz_say(&bytes, move_bytes_length(count), false);
}

static void
fuzz_say_answer(enum move_type type, const uint8_t *data, size_t length)
{
	struct move_answer answer = {
	    .type = type, .number = length > 0 ? data[0] : 0, .why = length > 1 ? data[1] : 0};

	if (length > 2)
		answer.number = UINT64_MAX - data[2];
	fuzz_say(&answer, sizeof(answer), false);
}

static void
fuzz_end(void)
{
	if (fuzz_channel >= 0)
		close(fuzz_channel);
	fuzz_channel = -1;
}

/* What the worker says must be by the rules, whatever it was told. */
static void
fuzz_hear(bool from_giver)
{
	static union move_packet packet;
	enum move_result result = MOVE_OK;
	size_t length;
	int fd;

	while (fuzz_channel >= 0 && result == MOVE_OK) {
		result = move_receive(fuzz_channel, from_giver, &packet, &length, &fd);
		seat_must(result != MOVE_BROKEN, "the worker keeps to the rules");
		if (result == MOVE_OK && fd >= 0)
			close(fd);
	}
}

/* ---- one step ---- */

static void
fuzz_clients_say(const uint8_t *data, size_t length)
{
	for (unsigned i = 0; i < fuzz_client_count; i++)
		if (send(fuzz_clients[i], data, length, MSG_NOSIGNAL) < 0 && length > 0)
			shutdown(fuzz_clients[i], SHUT_WR);
}

static void
fuzz_step(unsigned what, const uint8_t *data, size_t length)
{
	switch (what & 15) {
	case 0:
		fuzz_say_head(data, length);
		break;
	case 1:
		fuzz_say_bytes(data, length);
		break;
	case 2:
	case 3:
	case 4:
		fuzz_say_answer(MOVE_CREDIT + (what & 15) - 2, data, length);
		break;
	case 5:
		fuzz_say(data, length, (what & 32) != 0);
		break;
	case 6:
		fuzz_end();
		break;
	case 7:
		usleep(length > 0 ? data[0] % 4 * 1000 : 0);
		break;
	case 8:
		fuzz_clients_say(data, length);
		break;
	default:
		break;
	}
	if ((what & 16) != 0)
		seat_turn(&fuzz_seat);
}

static void
fuzz_open(bool plays_giver)
{
	struct worker *worker = seat_worker(&fuzz_seat);
	int ends[2];

	seat_open(&fuzz_seat, FUZZ_CONF, BACKEND_EPOLL, NULL);
	if (!plays_giver)
		seat_hold(&fuzz_seat, 1);
	fuzz_heads = 0;
	for (unsigned i = 0; i < FUZZ_CLIENTS; i++)
		(void)seat_connect(&fuzz_seat, i & 1, &fuzz_clients[i]);
	fuzz_client_count = FUZZ_CLIENTS;
	seat_must(chan_pair(ends) == 0, "a channel");
	fuzz_channel = ends[0];
	if (plays_giver)
		take_on_order(worker, &(struct msg_take){.order = 1}, ends[1]);
	else
		give_on_order(
		    worker, &(struct msg_give){.order = 1, .most = MSG_GIVE_ALL}, ends[1]);
}

static void
fuzz_close(void)
{
	fuzz_end();
	seat_turn(&fuzz_seat);
	while (seat_answer())
		seat_turn(&fuzz_seat);
	seat_turn(&fuzz_seat);
	for (unsigned i = 0; i < fuzz_client_count; i++)
		close(fuzz_clients[i]);
	seat_turn(&fuzz_seat);
	seat_close(&fuzz_seat);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int lowest = fuzz_lowest_free();
	unsigned count = fuzz_count_fds();
	bool plays_giver;

	if (size < 1 || size > 4096)
		return 0;
	plays_giver = (data[0] & 1) == 0;
	fuzz_open(plays_giver);
	data++;
	size--;
	for (int i = 0; i < FUZZ_PACKETS && size >= 2; i++) {
		size_t length = data[1] < size - 2 ? data[1] : size - 2;

		fuzz_step(data[0], data + 2, length);
		data += 2 + length;
		size -= 2 + length;
		fuzz_hear(!plays_giver);
	}
	fuzz_close();
	seat_must(
	    fuzz_lowest_free() == lowest && fuzz_count_fds() == count, "no descriptor is lost");
	return 0;
}
