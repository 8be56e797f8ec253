/*
 * The clients of the control socket as another image of the master shall know them: what they have
 * asked in part, and what of their reply is still to go out.
 */
#include "common/mem.h"
#include "daemon/control.h"
#include "daemon/control_client.h"

#include <stdlib.h>
#include <string.h>

#define CONTROL_SAVE_REPLY (64 << 20) /* bytes of a reply */

struct control_saved {
	int fd;
	bool is_ours, is_last, is_asking;
	uint64_t heard;
};

static const struct record_field control_fields[] = {
    RECORD_FIELD(struct control_saved, fd, FD, 0),
    RECORD_FIELD(struct control_saved, is_ours, BOOL, 0),
    RECORD_FIELD(struct control_saved, is_last, BOOL, 0),
    RECORD_FIELD(struct control_saved, is_asking, BOOL, 0),
    RECORD_FIELD(struct control_saved, heard, NUMBER, 0),
    RECORD_END,
};

static json_t *
control_client_save(const struct control_client *client)
{
	struct control_saved facts = {.fd = client->fd,
	    .is_ours = client->is_ours,
	    .is_last = client->is_last,
	    .is_asking = client->ask != NULL,
	    .heard = client->heard};
	json_t *saved = json_object();

	record_put(saved, control_fields, &facts);
	json_object_set_new(
	    saved, "in", record_bytes(buf_bytes(&client->in), buf_length(&client->in)));
	if (client->reply != NULL)
		json_object_set_new(saved, "reply",
		    record_bytes(
			client->reply + client->sent, client->reply_length - client->sent));
	return saved;
}

json_t *
control_clients_save(const struct control_clients *clients)
{
	const struct control_client *client;
	json_t *list = json_array();

	TAILQ_FOREACH (client, &clients->list, entry)
		json_array_append_new(list, control_client_save(client));
	return list;
}

/* What it has asked in part. False when that is more than it may. */
static bool
control_client_load_input(struct control_client *client, const json_t *saved)
{
	size_t length = 0;
	char *bytes = record_read_bytes(saved, &length);
	bool good = bytes != NULL && length <= CONTROL_REQUEST_MAX;

	if (good && length > 0) {
		memcpy(buf_reserve(&client->in, length), bytes, length);
		buf_added(&client->in, length);
	}
	free(bytes);
	return good;
}

static bool
control_client_load(struct control_clients *clients, const json_t *saved,
    struct record_reader *reader, void (*on_ask)(void *arg, struct control_ask *ask), void *arg)
{
	struct control_saved facts = {.fd = -1};
	const json_t *reply = json_object_get(saved, "reply");
	struct control_client *client;

	if (!record_take(reader, saved, control_fields, &facts))
		return false;
	if (facts.fd < 0 || (facts.is_asking && reply != NULL))
		return record_fail(reader, "a control client makes no sense");
	client = control_client_resume(clients, facts.fd, facts.is_ours, facts.is_asking);
	client->is_last = facts.is_last;
	client->heard = facts.heard;
	if (facts.is_asking)
		on_ask(arg, client->ask);
	if (reply != NULL)
		client->reply = record_read_bytes(reply, &client->reply_length);
	if (!control_client_load_input(client, json_object_get(saved, "in")) ||
	    (reply != NULL && (client->reply == NULL || client->reply_length == 0 ||
				  client->reply_length > CONTROL_SAVE_REPLY)))
		return record_fail(reader, "the words of a control client make no sense");
	return control_client_go_on(client) ||
	       record_fail(reader, "a control client cannot be watched");
}

bool
control_clients_load(struct control_clients *clients, const json_t *saved,
    struct record_reader *reader, void (*on_ask)(void *arg, struct control_ask *ask), void *arg)
{
	if (json_array_size(saved) > CONTROL_CLIENTS_MAX)
		return record_fail(reader, "there are too many control clients");
	for (size_t i = 0; i < json_array_size(saved); i++)
		if (!control_client_load(clients, json_array_get(saved, i), reader, on_ask, arg))
			return false;
	return true;
}
