/*
 * The lists behind orders that take a while: of a reload, of an upgrade, of a state that goes from
 * one image to the next. Owns the asks; knows nothing of what they wait for.
 */
#include "daemon/asks.h"

#include "common/mem.h"
#include "daemon/control_line.h"

#include <stdlib.h>

void
asks_add(struct asks *asks, struct control_ask *ask)
{
	if (ask == NULL)
		return;
	asks->list = mem_resize(asks->list, asks->count + 1, sizeof(struct control_ask *));
	asks->list[asks->count++] = ask;
}

void
asks_reply(struct asks *asks, json_t *reply)
{
	struct asks answered = *asks;

	/* Who is answered may ask again at once. */
	*asks = (struct asks){0};
	for (unsigned i = 0; i < answered.count; i++)
		control_ask_reply(answered.list[i], json_deep_copy(reply));
	free(answered.list);
	json_decref(reply);
}
