/* The table of messages: what chan.c checks and people read in the log. */
#include "ipc/msg.h"

#include "common/hash.h"

#include <stddef.h>

#define MSG_LENGTH(payload) (offsetof(struct msg, empty) + sizeof(struct payload))

static const struct msg_info msg_table[] = {
#define X(constant, value, from, payload, count)                                                   \
	{.name = #constant,                                                                        \
	    .type = MSG_##constant,                                                                \
	    .sender = from,                                                                        \
	    .length = MSG_LENGTH(payload),                                                         \
	    .fds = count},
    MESSAGES(X)
#undef X
};

const struct msg_info *
msg_info(uint32_t type)
{
	for (size_t i = 0; i < sizeof(msg_table) / sizeof(msg_table[0]); i++)
		if (msg_table[i].type == type)
			return &msg_table[i];
	return NULL;
}

uint64_t
msg_layout(void)
{
	uint64_t sum = HASH_START;

	for (size_t i = 0; i < sizeof(msg_table) / sizeof(msg_table[0]); i++) {
		const struct msg_info *info = &msg_table[i];

		sum = hash_number(hash_number(sum, info->type), info->sender);
		sum = hash_number(hash_number(sum, info->length), info->fds);
	}
	return sum;
}
