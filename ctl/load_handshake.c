/*
 * The handshake of a WebSocket and its control frames as bytes (load_handshake.h). Owns nothing;
 * touches no socket. The keys are the kernel's random bytes.
 */
#include "ctl/load_handshake.h"

#include "common/base64.h"
#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const struct {
	unsigned code;
	enum load_error error;
} load_handshake_errors[] = {
    {WEBSOCKET_PROTOCOL_ERROR, LOAD_ERROR_OTHER},
    {WEBSOCKET_UNSUPPORTED, LOAD_ERROR_OTHER},
    {WEBSOCKET_INVALID, LOAD_ERROR_BAD},
    {WEBSOCKET_POLICY, LOAD_ERROR_OTHER},
    {WEBSOCKET_TOO_BIG, LOAD_ERROR_TOO_LARGE},
    {WEBSOCKET_INTERNAL, LOAD_ERROR_FAILED},
    {WEBSOCKET_TRY_AGAIN, LOAD_ERROR_BUSY},
};

static void
load_handshake_random(char *to, size_t length)
{
	uint64_t now = clock_now();

	/* Proxies between us want keys and masks that nobody can guess; nothing secret hangs on
	 * them. */
	if (getrandom(to, length, 0) == (ssize_t)length)
		return;
	for (size_t i = 0; i < length; i++)
		to[i] = (char)(now >> i % 8 * 8);
}

void
load_handshake_make(struct buf *out, websocket_answer *answer, const struct addr *address,
    const char *path, char accept[WEBSOCKET_ACCEPT])
{
	char bytes[WEBSOCKET_KEY], key[WEBSOCKET_KEY_TEXT], host[ADDR_TEXT_MAX] = "localhost";
	char head[ADDR_TEXT_MAX + 256];
	int length;

	load_handshake_random(bytes, sizeof(bytes));
	base64_encode(key, bytes, sizeof(bytes));
	answer(key, accept);
	if (!addr_is_unix(address))
		addr_format(address, host);
	length = snprintf(head, sizeof(head),
	    " HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: %.*s\r\nSec-WebSocket-Version: 13\r\n\r\n",
	    host, WEBSOCKET_KEY_TEXT, key);
	buf_append(out, "GET ", 4);
	buf_append(out, path, strlen(path));
	buf_append(out, head, (size_t)length);
}

void
load_handshake_frame(struct buf *out, enum websocket_opcode opcode, const char *data, size_t length)
{
	char head[WEBSOCKET_HEAD_MAX + WEBSOCKET_MASK];
	size_t head_length = websocket_head(opcode, length, true, head);
	char *mask = head + head_length, *payload;

	load_handshake_random(mask, WEBSOCKET_MASK);
	buf_append(out, head, head_length + WEBSOCKET_MASK);
	if (length == 0)
		return;
	payload = buf_reserve(out, length);
	memcpy(payload, data, length);
	websocket_mask(payload, length, mask);
	buf_added(out, length);
}

void
load_handshake_close(struct buf *out, unsigned code)
{
	char bytes[] = {(char)(code >> 8), (char)(code & 0xff)};

	load_handshake_frame(
	    out, WEBSOCKET_CLOSE, bytes, code == WEBSOCKET_NO_CODE ? 0 : sizeof(bytes));
}

bool
load_handshake_error(unsigned code, const char *reason, size_t length, enum load_error *error)
{
	const char *timeout = load_check_error_text(LOAD_ERROR_TIMEOUT);

	for (size_t i = 0; i < sizeof(load_handshake_errors) / sizeof(load_handshake_errors[0]);
	     i++) {
		if (load_handshake_errors[i].code != code)
			continue;
		*error = load_handshake_errors[i].error;
		/* One code stands for both; hostlerd's reason tells which it was. */
		if (code == WEBSOCKET_INTERNAL && length == strlen(timeout) &&
		    memcmp(reason, timeout, length) == 0)
			*error = LOAD_ERROR_TIMEOUT;
		return true;
	}
	return false;
}
