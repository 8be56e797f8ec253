/*
 * Tests of what a WebSocket server says: which frames are messages and control frames, however they
 * are cut; what is none; the handshake before them; and how our own frames are written.
 */
#include "ctl/load_handshake.h"
#include "ctl/load_http.h"
#include "ctl/load_websocket.h"
#include "ctl/websocket.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX 300 /* bytes of a message */

#define BYTES(text) (text), sizeof(text) - 1

/* A stream and what is in it: M text, B binary, P ping, O pong, C Close with what it carries. */
static const struct {
	const char *data;
	size_t length;
	const char *found;
} good[] = {
    {BYTES("\x81\x05hello"), "M:hello"},
    {BYTES("\x82\x00\x81\x01\x61"), "B: M:a"},
    {BYTES("\x89\x02hi\x8a\x00\x82\x01z"), "P:hi O: B:z"},
    {BYTES("\x01\x02he\x80\x03llo\x81\x01!"), "M:hello M:!"},
    {BYTES("\x02\x00\x00\x02to\x00\x00\x80\x00"), "B:to"},
    {BYTES("\x01\x01\x61\x89\x01p\x00\x01\x62\x8a\x00\x89\x00\x80\x01\x63\x82\x01x"),
	"P:p O: P: M:abc B:x"},
    {BYTES("\x88\x00"), "C1005:"},
    {BYTES("\x81\x01\x61\x88\x02\x03\xe8"), "M:a C1000:"},
    {BYTES("\x88\x06\x03\xf5"
	   "busy"),
	"C1013:busy"},
    {BYTES("\x01\x01\x61\x88\x04\x0f\xa0\xc3\xa9"), "C4000:\xc3\xa9"},
};

static const struct {
	const char *data;
	size_t length;
	const char *why;
} bad[] = {
    {BYTES("\xc1\x05"), "a reserved bit that means nothing"},
    {BYTES("\xa1\x05"), "a reserved bit that means nothing"},
    {BYTES("\x91\x05"), "a reserved bit that means nothing"},
    {BYTES("\x81\x85"), "a masked frame"},
    {BYTES("\x83\x01"), "an opcode that cannot be"},
    {BYTES("\x8b\x01"), "an opcode that cannot be"},
    {BYTES("\x8f\x01"), "an opcode that cannot be"},
    {BYTES("\x09\x01"), "a control frame in parts"},
    {BYTES("\x08\x00"), "a control frame in parts"},
    {BYTES("\x89\x7e"), "a control frame too long"},
    {BYTES("\x8a\x7f"), "a control frame too long"},
    {BYTES("\x80\x01"), "the rest of no message"},
    {BYTES("\x00\x00"), "the rest of no message"},
    {BYTES("\x01\x01\x61\x81\x01"), "a message within another"},
    {BYTES("\x01\x01\x61\x02\x01"), "a message within another"},
    {BYTES("\x81\x7e\x00\x7d"), "a length in more bytes than needed"},
    {BYTES("\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), "a length in more bytes than needed"},
    {BYTES("\x81\x7e\x01\x2d"), "larger than any can be"},
    {BYTES("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), "larger than any can be"},
    {BYTES("\x01\x01\x61\x80\x7e\x01\x2c"), "larger than any can be"},
    {BYTES("\x88\x01\x03"), "half a close code"},
    {BYTES("\x88\x02\x03\xe7"), "a close code that cannot be"},
    {BYTES("\x88\x02\x03\xed"), "a close code that cannot be"},
    {BYTES("\x88\x02\x03\xee"), "a close code that cannot be"},
    {BYTES("\x88\x02\x0b\xb7"), "a close code that cannot be"},
    {BYTES("\x88\x02\x13\x88"), "a close code that cannot be"},
    {BYTES("\x88\x03\x03\xe8\xff"), "a reason that is no UTF-8"},
};

static void
tell(char *told, const struct load_websocket_part *part, enum load_websocket_found found)
{
	static const char letters[] = {[WEBSOCKET_TEXT] = 'M',
	    [WEBSOCKET_BINARY] = 'B',
	    [WEBSOCKET_CLOSE] = 'C',
	    [WEBSOCKET_PING] = 'P',
	    [WEBSOCKET_PONG] = 'O'};
	char code[16] = "";

	ck_assert_int_eq(found == LOAD_WEBSOCKET_CONTROL, part->opcode >= WEBSOCKET_CLOSE);
	if (part->opcode == WEBSOCKET_CLOSE)
		snprintf(code, sizeof(code), "%u", part->code);
	sprintf(told + strlen(told), "%s%c%s:%.*s", told[0] != '\0' ? " " : "",
	    letters[part->opcode], code, (int)part->length, part->data);
}

/*
 * The stream came `step` bytes at a time, in memory without a byte behind it. Returns what is wrong
 * with it, or NULL.
 */
static const char *
arrive(const char *stream, size_t length, size_t step, char *told)
{
	enum load_websocket_found found = LOAD_WEBSOCKET_MORE;
	struct load_websocket state = {0};
	struct load_websocket_part part = {0};
	size_t used = 0, there = 0;

	told[0] = '\0';
	while (there < length) {
		there = there + step < length ? there + step : length;
		for (;;) {
			char *data = malloc(there - used + (there == used));

			memcpy(data, stream + used, there - used);
			found = load_websocket_find(&state, data, there - used, MAX, &part);
			if (found != LOAD_WEBSOCKET_MORE && found != LOAD_WEBSOCKET_BAD)
				tell(told, &part, found);
			free(data);
			if (found == LOAD_WEBSOCKET_BAD)
				return part.why;
			if (found == LOAD_WEBSOCKET_MORE)
				break;
			used += part.used;
		}
	}
	return used == length || state.begun ? NULL : "something is left";
}

START_TEST(good_streams)
{
	char told[256];

	for (size_t step = 1; step <= good[_i].length; step++) {
		ck_assert_ptr_null(arrive(good[_i].data, good[_i].length, step, told));
		ck_assert_str_eq(told, good[_i].found);
	}
}
END_TEST

START_TEST(bad_streams)
{
	const char *why;
	char told[256];

	for (size_t step = 1; step <= bad[_i].length; step++) {
		why = arrive(bad[_i].data, bad[_i].length, step, told);
		ck_assert_ptr_nonnull(why);
		ck_assert_str_eq(why, bad[_i].why);
	}
}
END_TEST

/* Every length where the head changes; exactly the largest message is taken. */
START_TEST(lengths)
{
	static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
	struct load_websocket state = {0};
	struct load_websocket_part part;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t length = sizes[i], head;
		char *data = calloc(WEBSOCKET_HEAD_MAX + length, 1);

		head = websocket_head(WEBSOCKET_BINARY, length, false, data);
		ck_assert_uint_eq(head, length < 126 ? 2 : length < 65536 ? 4 : 10);
		ck_assert_uint_eq(head, websocket_head_length(length));
		ck_assert_int_eq(load_websocket_find(&state, data, head + length, length, &part),
		    LOAD_WEBSOCKET_MESSAGE);
		ck_assert_uint_eq(part.length, length);
		ck_assert_uint_eq(part.used, head + length);
		if (length > 0) {
			ck_assert_int_eq(
			    load_websocket_find(&state, data, head + length - 1, length, &part),
			    LOAD_WEBSOCKET_MORE);
			ck_assert_int_eq(load_websocket_find(&state, data, head, length - 1, &part),
			    LOAD_WEBSOCKET_BAD);
		}
		free(data);
	}
}
END_TEST

/* A message that never ends although nothing is in it. */
START_TEST(everything_is_bounded)
{
	size_t length = 16u << 20, there = 0;
	char *data = calloc(length, 1);
	struct load_websocket state = {0};
	struct load_websocket_part part;
	enum load_websocket_found found = LOAD_WEBSOCKET_MORE;

	data[0] = WEBSOCKET_TEXT;
	while (found == LOAD_WEBSOCKET_MORE && there < length) {
		there += 65536;
		found = load_websocket_find(&state, data, there, MAX, &part);
	}
	ck_assert_int_eq(found, LOAD_WEBSOCKET_BAD);
	ck_assert_str_eq(part.why, "a message in too many parts");
	ck_assert_uint_le(there, 5u << 20);
	free(data);
}
END_TEST

/* ---- our own frames ---- */

START_TEST(masks)
{
	char text[40], mask[] = {'\x37', '\xfa', '\x21', '\x3d'};
	char hello[] = "Hello";

	websocket_mask(hello, 5, mask); /* RFC 6455, 5.7 */
	ck_assert_mem_eq(hello, "\x7f\x9f\x4d\x51\x58", 5);
	for (size_t length = 0; length < sizeof(text); length++) {
		memset(text, 'x', sizeof(text));
		websocket_mask(text, length, mask);
		for (size_t i = 0; i < sizeof(text); i++)
			ck_assert_int_eq(text[i], i < length ? 'x' ^ mask[i % 4] : 'x');
	}
}
END_TEST

START_TEST(frames)
{
	struct buf out = {0};
	unsigned char *bytes;
	char payload[200];

	memset(payload, 'y', sizeof(payload));
	load_handshake_frame(&out, WEBSOCKET_TEXT, payload, sizeof(payload));
	bytes = (unsigned char *)buf_bytes(&out);
	ck_assert_uint_eq(buf_length(&out), 4 + 4 + sizeof(payload));
	ck_assert_mem_eq(bytes, "\x81\xfe\x00\xc8", 4);
	websocket_mask((char *)bytes + 8, sizeof(payload), (char *)bytes + 4);
	ck_assert_mem_eq(bytes + 8, payload, sizeof(payload));
	buf_free(&out);
	load_handshake_close(&out, WEBSOCKET_NORMAL);
	bytes = (unsigned char *)buf_bytes(&out);
	ck_assert_uint_eq(buf_length(&out), 8);
	ck_assert_mem_eq(bytes, "\x88\x82", 2);
	websocket_mask((char *)bytes + 6, 2, (char *)bytes + 2);
	ck_assert_mem_eq(bytes + 6, "\x03\xe8", 2);
	buf_free(&out);
	load_handshake_close(&out, WEBSOCKET_NO_CODE);
	ck_assert_uint_eq(buf_length(&out), 6);
	buf_free(&out);
}
END_TEST

START_TEST(closes)
{
	static const struct {
		unsigned code;
		const char *reason;
		int error; /* -1: none */
	} table[] = {
	    {1000, "", -1},
	    {1001, "busy", -1},
	    {1005, "", -1},
	    {1012, "", -1},
	    {4000, "", -1},
	    {1002, "", LOAD_ERROR_OTHER},
	    {1003, "", LOAD_ERROR_OTHER},
	    {1007, "", LOAD_ERROR_BAD},
	    {1008, "", LOAD_ERROR_OTHER},
	    {1009, "", LOAD_ERROR_TOO_LARGE},
	    {1011, "", LOAD_ERROR_FAILED},
	    {1011, "timeouts", LOAD_ERROR_FAILED},
	    {1011, "timeout", LOAD_ERROR_TIMEOUT},
	    {1013, "timeout", LOAD_ERROR_BUSY},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		enum load_error error = LOAD_ERROR_COUNT;
		const char *reason = table[i].reason;

		ck_assert_int_eq(
		    load_handshake_error(table[i].code, reason, strlen(reason), &error),
		    table[i].error >= 0);
		if (table[i].error >= 0)
			ck_assert_int_eq(error, table[i].error);
	}
}
END_TEST

/* ---- the handshake ---- */

#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* RFC 6455, 1.3 */
#define HEAD   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static const struct {
	const char *text;
	unsigned status;
	const char *why;
} handshakes[] = {
    {HEAD "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 101, NULL},
    {"HTTP/1.1 101\r\nSEC-WEBSOCKET-ACCEPT:" ACCEPT "\r\nServer: x\r\nupgrade: WebSocket\r\n"
     "connection: keep-alive, UPGRADE\r\n\r\n",
	101, NULL},
    {"HTTP/1.1 100 Continue\r\n\r\n" HEAD "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 101, NULL},
    {"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 403, NULL},
    {"HTTP/1.1 200 OK\r\nSec-WebSocket-Accept: x\r\nContent-Length: 0\r\n\r\n", 200, NULL},
    {HEAD "\r\n", 0, "a 101 without Sec-WebSocket-Accept"},
    {HEAD "Sec-WebSocket-Accept: t3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 0,
	"a Sec-WebSocket-Accept that is not the key's"},
    {HEAD "Sec-WebSocket-Accept: " ACCEPT "x\r\n", 0,
	"a Sec-WebSocket-Accept that is not the key's"},
    {HEAD "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n", 0,
	"a Sec-WebSocket-Accept that is not the key's"},
    {HEAD "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: chat\r\n", 0,
	"an extension or subprotocol that was not offered"},
    {HEAD "Sec-WebSocket-Extensions: permessage-deflate\r\n", 0,
	"an extension or subprotocol that was not offered"},
    {HEAD "Sec-WebSocket-Accept: " ACCEPT "\r\nContent-Length: 0\r\n\r\n", 0, "a 101 with a body"},
    {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 0,
	"a 101 that upgrades to no WebSocket"},
    {"HTTP/1.1 101 x\r\nConnection: upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 0,
	"a 101 that upgrades to no WebSocket"},
    {"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: " ACCEPT
     "\r\n\r\n",
	0, "a 101 that upgrades to no WebSocket"},
    {"HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
     "\r\n\r\n",
	0, "a 101 in HTTP/1.0"},
};

START_TEST(answers)
{
	const char *text = handshakes[_i].text;

	for (size_t step = 1; step < 400; step += 1 + step / 2) {
		enum load_http_found found = LOAD_HTTP_MORE;
		struct load_http state = {.accept = ACCEPT};
		struct load_http_reply reply = {0};
		char *data = strdup(text);

		for (size_t there = 0; found == LOAD_HTTP_MORE && there < strlen(text);) {
			there = there + step < strlen(text) ? there + step : strlen(text);
			found = load_http_find(&state, data, there, MAX, &reply);
		}
		if (handshakes[_i].why) {
			ck_assert_int_eq(found, LOAD_HTTP_BAD);
			ck_assert_str_eq(reply.why, handshakes[_i].why);
		} else {
			ck_assert_int_eq(found, LOAD_HTTP_REPLY);
			ck_assert_uint_eq(reply.status, handshakes[_i].status);
			ck_assert_uint_eq(reply.used, strlen(text));
		}
		free(data);
	}
}
END_TEST

START_TEST(asked)
{
	char accept[WEBSOCKET_ACCEPT], again[WEBSOCKET_ACCEPT], why[256], text[512];
	struct addr address;
	struct buf out = {0};

	websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
	ck_assert_mem_eq(accept, ACCEPT, WEBSOCKET_ACCEPT);
	ck_assert(addr_parse(&address, "[::1]:81", why, sizeof(why)));
	load_handshake_make(&out, websocket_accept, &address, "/a?b", accept);
	snprintf(text, sizeof(text), "%.*s", (int)buf_length(&out), buf_bytes(&out));
	ck_assert_ptr_eq(
	    strstr(text, "GET /a?b HTTP/1.1\r\nHost: [::1]:81\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Key: "),
	    text);
	websocket_accept(strstr(text, "Key: ") + 5, again);
	ck_assert_mem_eq(accept, again, WEBSOCKET_ACCEPT);
	ck_assert_str_eq(strstr(text, "Key: ") + 5 + WEBSOCKET_KEY_TEXT,
	    "\r\nSec-WebSocket-Version: 13\r\n\r\n");
	buf_free(&out);
	load_handshake_make(&out, websocket_accept, &address, "/a?b", again);
	ck_assert_mem_ne(accept, again, WEBSOCKET_ACCEPT);
	buf_free(&out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_websocket");
	TCase *read = tcase_create("read"), *written = tcase_create("written");
	TCase *handshake = tcase_create("handshake");

	tcase_add_loop_test(read, good_streams, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(read, bad_streams, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(read, lengths);
	tcase_add_test(read, everything_is_bounded);
	suite_add_tcase(suite, read);
	tcase_add_test(written, masks);
	tcase_add_test(written, frames);
	tcase_add_test(written, closes);
	suite_add_tcase(suite, written);
	tcase_add_loop_test(handshake, answers, 0, sizeof(handshakes) / sizeof(handshakes[0]));
	tcase_add_test(handshake, asked);
	suite_add_tcase(suite, handshake);
	return help_run(suite);
}
