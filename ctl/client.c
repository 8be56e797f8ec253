/*
 * The client's end of the control protocol. Owns one connection for the time of one question, and
 * the bytes of the reply until they are parsed. Never trusts what comes back: time, size and form
 * are bounded, and nothing here prints or exits.
 */
#include "ctl/client.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENT_READ 65536 /* bytes asked for at once */

/* One question under way. */
struct client {
	const struct client_question *question; /* borrows */
	const char *path;                       /* borrows */
	int fd;                                 /* owns */
	uint64_t timeout;                       /* ns; for the message */
	uint64_t deadline;                      /* absolute */
	uint64_t slow_at; /* when the asker is told that it is slow; UINT64_MAX: it was */
	struct buf reply;
	char **why; /* borrows; where the sentence goes */
};

static enum client_result
client_is_late(struct client *client)
{
	*client->why = mem_printf("%s: no whole reply within %.3g seconds", client->path,
	    (double)client->timeout / CLOCK_SECOND);
	return CLIENT_TIMEOUT;
}

static enum client_result
client_is_unreachable(struct client *client, const char *reason)
{
	*client->why = mem_printf("cannot reach %s: %s", client->path, reason);
	return CLIENT_UNREACHABLE;
}

static enum client_result
client_got_nonsense(struct client *client, const char *what)
{
	*client->why = mem_printf("%s: the reply is not understood: %s", client->path, what);
	return CLIENT_NONSENSE;
}

/* Connecting waits as long as the listener's backlog is full; the send timeout bounds that. */
static enum client_result
client_connect(struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit;

	if (strlen(client->path) >= sizeof(address.sun_path))
		return client_is_unreachable(client, strerror(ENAMETOOLONG));
	memcpy(address.sun_path, client->path, strlen(client->path) + 1);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd == -1)
		return client_is_unreachable(client, strerror(errno));
	limit.tv_sec = (time_t)(client->timeout / CLOCK_SECOND);
	limit.tv_usec = (suseconds_t)(client->timeout % CLOCK_SECOND / 1000);
	if (setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == -1)
		return client_is_unreachable(client, strerror(errno));
	if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return CLIENT_OK;
	if (errno == EAGAIN)
		return client_is_late(client);
	return client_is_unreachable(client, strerror(errno));
}

/* Waits until the connection can be read or written; false when the time is over. */
static bool
client_wait(struct client *client, short events)
{
	struct pollfd pollfd = {.fd = client->fd, .events = events};
	uint64_t now, until;
	int ready;

	do {
		now = clock_now();
		if (now >= client->deadline)
			return false;
		if (now >= client->slow_at) {
			client->slow_at = UINT64_MAX;
			client->question->on_slow(client->question);
		}
		until = client->slow_at < client->deadline ? client->slow_at : client->deadline;
		ready = poll(&pollfd, 1, (int)((until - now) / CLOCK_MS) + 1);
	} while (ready == 0 || (ready == -1 && errno == EINTR));
	return true;
}

/*
 * A daemon may refuse and close before it has read the question, so an error here is no end: the
 * reply may be waiting.
 */
static enum client_result
client_send(struct client *client, const char *text, size_t length)
{
	ssize_t sent;

	while (length > 0) {
		if (!client_wait(client, POLLOUT))
			return client_is_late(client);
		sent = send(client->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent == -1 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (sent == -1)
			break;
		text += sent;
		length -= (size_t)sent;
	}
	return CLIENT_OK;
}

/* The connection ended, by EOF or by an error, before a line did. */
static enum client_result
client_was_closed(struct client *client, const char *reason)
{
	if (buf_length(&client->reply) > 0)
		return client_got_nonsense(client, "it ends in the middle of a line");
	return client_is_unreachable(client, reason);
}

/* Reads up to the first LF; *length is that of the line without it. */
static enum client_result
client_receive(struct client *client, size_t *length)
{
	const char *end = NULL;
	size_t room;
	ssize_t got;

	while (end == NULL) {
		if (buf_length(&client->reply) >= CLIENT_REPLY_MAX)
			return client_got_nonsense(client, "it is longer than 16 MiB");
		if (!client_wait(client, POLLIN))
			return client_is_late(client);
		room = CLIENT_REPLY_MAX - buf_length(&client->reply);
		if (room > CLIENT_READ)
			room = CLIENT_READ;
		got = recv(client->fd, buf_reserve(&client->reply, room), room, MSG_DONTWAIT);
		if (got == -1 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			return client_was_closed(
			    client, got == 0 ? "it closed the connection without a reply"
					     : strerror(errno));
		buf_added(&client->reply, (size_t)got);
		end = memchr(buf_bytes(&client->reply) + buf_length(&client->reply) - got, '\n',
		    (size_t)got);
	}
	*length = (size_t)(end - buf_bytes(&client->reply));
	return CLIENT_OK;
}

static enum client_result
client_parse(struct client *client, size_t length, json_t **reply)
{
	json_error_t error;
	enum client_result result;

	*reply = json_loadb(buf_bytes(&client->reply), length, JSON_REJECT_DUPLICATES, &error);
	if (*reply == NULL)
		return client_got_nonsense(client, error.text);
	if (json_is_object(*reply))
		return CLIENT_OK;
	result = client_got_nonsense(client, "it is no JSON object");
	json_decref(*reply);
	*reply = NULL;
	return result;
}

static enum client_result
client_exchange(struct client *client, const char *line, json_t **reply)
{
	enum client_result result;
	size_t length = 0;

	result = client_connect(client);
	if (result == CLIENT_OK)
		result = client_send(client, line, strlen(line));
	if (result == CLIENT_OK)
		result = client_receive(client, &length);
	if (result == CLIENT_OK)
		result = client_parse(client, length, reply);
	return result;
}

enum client_result
client_ask(const struct client_question *question, json_t **reply, char **why)
{
	struct client client = {.question = question,
	    .path = question->path,
	    .fd = -1,
	    .timeout = question->timeout,
	    .slow_at = UINT64_MAX,
	    .why = why};
	char *text = json_dumps(question->request, JSON_COMPACT);
	enum client_result result;
	char *line;

	if (text == NULL)
		return client_got_nonsense(&client, "the request cannot be written as JSON");
	line = mem_printf("%s\n", text);
	client.deadline = clock_now() + question->timeout;
	if (question->on_slow != NULL)
		client.slow_at = clock_now() + question->patience;
	result = client_exchange(&client, line, reply);
	if (client.fd != -1)
		close(client.fd);
	buf_free(&client.reply);
	free(line);
	free(text);
	return result;
}
