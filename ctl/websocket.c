/*
 * The parts of RFC 6455 that need no stream (websocket.h). Owns nothing, reads no frame: what a
 * frame may be is judged by load_websocket.c.
 */
#include "ctl/websocket.h"

#include <string.h>

size_t
websocket_head_length(size_t payload)
{
	return payload < 126 ? 2 : payload <= UINT16_MAX ? 4 : WEBSOCKET_HEAD_MAX;
}

size_t
websocket_head(
    enum websocket_opcode opcode, size_t payload, bool masked, char head[WEBSOCKET_HEAD_MAX])
{
	size_t length = websocket_head_length(payload);
	unsigned mark = length == 2 ? (unsigned)payload : length == 4 ? 126 : 127;

	head[0] = (char)(0x80 | opcode);
	head[1] = (char)((masked ? 0x80u : 0) | mark);
	for (size_t i = length; i-- > 2; payload >>= 8)
		head[i] = (char)(payload & 0xff);
	return length;
}

void
websocket_mask(char *data, size_t length, const char mask[WEBSOCKET_MASK])
{
	uint64_t wide, part;
	size_t i = 0;

	memcpy(&wide, mask, WEBSOCKET_MASK);
	memcpy((char *)&wide + WEBSOCKET_MASK, mask, WEBSOCKET_MASK);
	for (; length - i >= sizeof(wide); i += sizeof(wide)) {
		memcpy(&part, data + i, sizeof(part));
		part ^= wide;
		memcpy(data + i, &part, sizeof(part));
	}
	for (; i < length; i++)
		data[i] ^= mask[i % WEBSOCKET_MASK];
}

bool
websocket_is_code(unsigned code)
{
	if (code >= 3000)
		return code <= 4999;
	return code >= WEBSOCKET_NORMAL && code <= 1014 && code != 1004 &&
	       code != WEBSOCKET_NO_CODE && code != 1006;
}
