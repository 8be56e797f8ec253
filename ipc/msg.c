/* The table of messages: what chan.c checks and people read in the log. */
#include "ipc/msg.h"

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

static uint64_t
msg_mix(uint64_t sum, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		sum = (sum ^ (value >> 8 * i & 0xff)) * UINT64_C(0x100000001b3);
	return sum;
}

uint64_t
msg_layout(void)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < sizeof(msg_table) / sizeof(msg_table[0]); i++) {
		const struct msg_info *info = &msg_table[i];

		sum = msg_mix(msg_mix(sum, info->type), info->sender);
		sum = msg_mix(msg_mix(sum, info->length), info->fds);
	}
	return sum;
}
