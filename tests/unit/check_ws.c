/*
 * What is a WebSocket message and what is none: each case whole, byte by byte, split at every byte,
 * and frozen and thawed between any two bytes; what is found is always the same.
 */
#include "common/buf.h"
#include "tests/unit/run_help.h"
#include "workers/ws.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 1000

static const struct ws_limits plain = {.message = MESSAGE_MAX};
static const struct ws_limits large = {.message = 100000};
static const struct ws_limits packed = {.message = MESSAGE_MAX, .compression = true};

/* ---- frames from a short notation ---- */

/* Appends a masked frame: the first byte of its head, then its payload. */
static void
add_frame(struct buf *to, unsigned first, const char *payload, size_t length)
{
	uint8_t key[WS_KEY] = {0x37, 0xfa, 0x21, (uint8_t)length};
	char head[] = {(char)first, (char)(0x80 | length)};
	char *masked = malloc(length + 1);

	ck_assert_uint_lt(length, 126);
	buf_append(to, head, sizeof(head));
	buf_append(to, key, sizeof(key));
	ws_frame_unmask(masked, payload, length, key);
	buf_append(to, masked, length);
	free(masked);
}

/* "01:he 80:llo": two frames. */
static void
add_frames(struct buf *to, const char *text)
{
	while (*text != '\0') {
		size_t length = strcspn(text, " ");

		add_frame(to, (unsigned)strtoul(text, NULL, 16), text + 3, length - 3);
		text += length + strspn(text + length, " ");
	}
}

/* ---- what is found, as text ---- */

static void
tell(struct buf *said, enum ws_kind kind, const struct ws_found *found)
{
	static const char letters[] = {[WS_FOUND_PING] = 'P', [WS_FOUND_PONG] = 'O'};
	char text[32];

	if (kind == WS_FOUND_BAD || kind == WS_FOUND_CLOSE) {
		snprintf(text, sizeof(text), "%c%u", kind == WS_FOUND_BAD ? 'X' : 'C', found->code);
		buf_append(said, text, strlen(text));
		return;
	}
	text[0] = kind != WS_FOUND_MESSAGE ? letters[kind]
		  : found->is_compressed   ? 'Z'
		  : found->is_text         ? 'T'
					   : 'B';
	buf_append(said, text, 1);
	buf_append(said, "(", 1);
	buf_append(said, found->data, found->length);
	buf_append(said, ")", 1);
}

/* Freezes and thaws, as on a way between two workers. */
static void
move(struct ws *ws)
{
	struct buf state = {0};

	ws_freeze(ws, &state);
	ck_assert_int_eq(buf_length(&state) > 0, ws_is_unfinished(ws));
	ws_reset(ws);
	ck_assert(ws_thaw(ws, buf_bytes(&state), buf_length(&state)));
	buf_free(&state);
}

/* What is found in bytes of which `step` more are there every time. */
static void
find(struct buf *said, const struct ws_limits *limits, const char *data, size_t length,
    size_t first, size_t step, bool moves)
{
	struct ws ws = {0};
	struct ws_found found;
	size_t at = 0, there = first, used;
	enum ws_kind kind = WS_FOUND_NOTHING;

	for (; kind != WS_FOUND_BAD && kind != WS_FOUND_CLOSE; there += step) {
		there = there > length ? length : there;
		do {
			kind = ws_take(&ws, limits, data + at, there - at, &used, &found);
			ck_assert_uint_le(used, there - at);
			at += used;
			if (kind != WS_FOUND_NOTHING)
				tell(said, kind, &found);
			if (kind == WS_FOUND_MESSAGE) {
				ws_reset(&ws);
				ck_assert(!ws_is_unfinished(&ws));
			}
		} while (kind != WS_FOUND_NOTHING && kind < WS_FOUND_CLOSE && at < there);
		if (moves)
			move(&ws);
		if (there == length)
			break;
	}
	buf_append(said, "", 1);
	ws_reset(&ws);
}

static void
check_one(const struct ws_limits *limits, const char *data, size_t length, size_t first,
    size_t step, bool moves, const char *expected)
{
	struct buf said = {0};
	char *copy = malloc(length); /* so that a byte too far is noticed */

	memcpy(copy, data, length);
	find(&said, limits, copy, length, first, step, moves);
	ck_assert_str_eq(buf_bytes(&said), expected);
	buf_free(&said);
	free(copy);
}

static void
check_bytes(const struct ws_limits *limits, const char *data, size_t length, const char *expected)
{
	check_one(limits, data, length, length, 1, false, expected);
	check_one(limits, data, length, 1, 1, false, expected);
	check_one(limits, data, length, 1, 1, true, expected);
	for (size_t i = 1; i < length; i++)
		check_one(limits, data, length, i, length, i % 2, expected);
}

static void
check_frames(const struct ws_limits *limits, const char *frames, const char *expected)
{
	struct buf bytes = {0};

	add_frames(&bytes, frames);
	check_bytes(limits, buf_bytes(&bytes), buf_length(&bytes), expected);
	buf_free(&bytes);
}

/* ---- the cases ---- */

START_TEST(the_examples_of_the_standard)
{
	check_bytes(&plain, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "T(Hello)");
	check_bytes(&plain, "\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "P(Hello)");
	check_bytes(&plain, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "O(Hello)");
	/* RFC 7692, 7.2.3.1, masked with nothing. */
	check_bytes(&packed, "\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00", 13,
	    "Z(\xf2\x48\xcd\xc9\xc9\x07");
	/* Unmasked, as only a server may. */
	check_bytes(&plain, "\x81\x05\x48\x65\x6c\x6c\x6f", 7, "X1002");
}
END_TEST

static const char *const cases[][2] = {
    /* messages, control frames between their parts */
    {"81:", "T()"},
    {"82:", "B()"},
    {"81:a 82:b 81:c", "T(a)B(b)T(c)"},
    {"01:he 80:llo", "T(hello)"},
    {"02:he 00: 00:ll 80:o", "B(hello)"},
    {"01: 00: 80:", "T()"},
    {"01:he 89:p 00:ll 8A:q 80:o 81:x", "P(p)O(q)T(hello)T(x)"},
    {"89: 8A:", "P()O()"},
    /* closing */
    {"88:", "C0"},
    {"88:\x03\xe8", "C1000"},
    {"01:he 88:\x03\xe9why", "C1001"},
    {"88:\x03\xe8\xc3\xa9 81:x", "C1000"},
    {"88:x", "X1002"},
    {"82:\x03\xe8 88:\x03", "B(\x03\xe8)X1002"},
    {"88:\x03\xe8\xc3", "X1007"},
    /* what may not follow */
    {"80:x", "X1002"},
    {"00:x", "X1002"},
    {"81:a 80:x", "T(a)X1002"},
    {"01:a 81:x", "X1002"},
    {"01:a 02:x", "X1002"},
    /* opcodes and bits that mean nothing */
    {"83:x", "X1002"},
    {"84:x", "X1002"},
    {"85:x", "X1002"},
    {"86:x", "X1002"},
    {"87:x", "X1002"},
    {"8B:x", "X1002"},
    {"8C:x", "X1002"},
    {"8D:x", "X1002"},
    {"8E:x", "X1002"},
    {"8F:x", "X1002"},
    {"C1:x", "X1002"},
    {"A1:x", "X1002"},
    {"91:x", "X1002"},
    {"C9:x", "X1002"},
    {"01:a C0:x", "X1002"},
    /* control frames in parts */
    {"09:x", "X1002"},
    {"08:", "X1002"},
    {"0A:", "X1002"},
    /* text */
    {"81:\xc3\xa9", "T(\xc3\xa9)"},
    {"01:\xc3 80:\xa9", "T(\xc3\xa9)"},
    {"01:\xf0\x9f 00:\x98 80:\x80", "T(\xf0\x9f\x98\x80)"},
    {"01:\xf0 89:p 00:\x9f 00: 00:\x98 80:\x80", "P(p)T(\xf0\x9f\x98\x80)"},
    {"81:\xc3", "X1007"},
    {"01:\xc3 80:", "X1007"},
    {"01:\xf4 00:\x90", "X1007"},
    {"01:\xed 00:\xa0", "X1007"},
    {"01:ok 00:\xff", "X1007"},
    {"81:\xc0\x80", "X1007"},
    {"82:\xc0\x80", "B(\xc0\x80)"},
    {"02:\xff 80:\xc0", "B(\xff\xc0)"},
    /* one text after another: nothing of the first is left */
    {"01:\xc3 80:\xa9 01:\xc3 80:\xa9", "T(\xc3\xa9)T(\xc3\xa9)"},
};

START_TEST(every_case)
{
	check_frames(&plain, cases[_i][0], cases[_i][1]);
}
END_TEST

START_TEST(compressed_messages_are_told_as_they_came)
{
	check_frames(&packed, "C1:\xff", "Z(\xff)");
	check_frames(&packed, "41:\xff 80:x C2:y 81:z", "Z(\xffx)Z(y)T(z)");
	check_frames(&packed, "41:a C0:x", "X1002");
	check_frames(&packed, "C8:", "X1002");
	check_frames(&packed, "A1:", "X1002");
	/* The one that follows is looked at again. */
	check_frames(&packed, "41:a 80:b 81:\xff", "Z(ab)X1007");
}
END_TEST

START_TEST(codes_of_a_close)
{
	for (unsigned code = 0; code <= UINT16_MAX; code++) {
		char payload[] = {(char)(code >> 8), (char)code};
		bool is_good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
			       (code >= 3000 && code <= 4999);
		struct ws ws = {0};
		struct ws_found found;
		struct buf bytes = {0};
		size_t used;
		enum ws_kind kind;

		add_frame(&bytes, 0x88, payload, 2);
		kind = ws_take(&ws, &plain, buf_bytes(&bytes), buf_length(&bytes), &used, &found);
		ck_assert_int_eq(kind, is_good ? WS_FOUND_CLOSE : WS_FOUND_BAD);
		ck_assert_uint_eq(found.code, is_good ? code : WS_CODE_PROTOCOL);
		buf_free(&bytes);
	}
}
END_TEST

/* ---- lengths ---- */

/* A head alone: its first byte, the byte with the length, the longer length in so many bytes. */
static void
add_head(struct buf *to, unsigned first, unsigned second, uint64_t length, size_t bytes)
{
	char head[2] = {(char)first, (char)second};

	buf_append(to, head, 2);
	while (bytes-- > 0) {
		char byte = (char)(length >> 8 * bytes);

		buf_append(to, &byte, 1);
	}
	if (second & 0x80)
		buf_append(to, "\0\0\0", WS_KEY);
}

static void
check_head(const struct ws_limits *limits, unsigned first, unsigned second, uint64_t length,
    size_t bytes, const char *expected)
{
	struct buf head = {0};

	add_head(&head, first, second, length, bytes);
	check_bytes(limits, buf_bytes(&head), buf_length(&head), expected);
	buf_free(&head);
}

/* A head is refused without one byte of what it declares. */
START_TEST(a_head_is_refused_at_once)
{
	check_head(&plain, 0x82, 0xff, UINT64_C(1) << 63, 8, "X1002");
	check_head(&plain, 0x82, 0xff, UINT64_MAX, 8, "X1002");
	check_head(&plain, 0x82, 0xff, (UINT64_C(1) << 63) - 1, 8, "X1009");
	check_head(&plain, 0x82, 0xff, UINT64_C(1) << 62, 8, "X1009");
	check_head(&plain, 0x82, 0xff, 65536, 8, "X1009");
	check_head(&plain, 0x82, 0xff, 65535, 8, "X1002");
	check_head(&plain, 0x82, 0xff, 5, 8, "X1002");
	check_head(&plain, 0x82, 0xfe, 125, 2, "X1002");
	check_head(&plain, 0x82, 0xfe, 0, 2, "X1002");
	check_head(&plain, 0x82, 0xfe, MESSAGE_MAX + 1, 2, "X1009");
	check_head(&plain, 0x82, 0xfe, MESSAGE_MAX, 2, "");
	check_head(&plain, 0x82, 0xfe, 126, 2, "");
	check_head(&plain, 0x89, 0xfe, 126, 2, "X1002");
	check_head(&plain, 0x89, 0xff, 65536, 8, "X1002");
	check_head(&plain, 0x83, 0x85, 0, 0, "X1002");
	check_head(&plain, 0x80, 0x85, 0, 0, "X1002");
	check_head(&plain, 0x82, 0x05, 0, 0, "X1002");
	check_head(&plain, 0x82, 0x7e, 126, 2, "X1002");
	check_head(&plain, 0xc1, 0x85, 0, 0, "X1002");
}
END_TEST

/* A message of so many bytes, in frames of so many. */
static void
check_length(const struct ws_limits *limits, unsigned first, size_t length, size_t part, bool fits)
{
	struct buf bytes = {0}, expected = {0};
	char *message = malloc(length);

	for (size_t i = 0; i < length; i++)
		message[i] = (char)('a' + i % 26);
	for (size_t at = 0; at < length; at += part) {
		size_t now = length - at < part ? length - at : part;
		unsigned last = at + now == length ? 0x80 : 0;

		if (now < 126)
			add_head(&bytes, (at == 0 ? first : 0) | last, 0x80 | (unsigned)now, 0, 0);
		else
			add_head(&bytes, (at == 0 ? first : 0) | last, 0xfe, now, 2);
		buf_append(&bytes, message + at, now);
	}
	if (fits) {
		buf_append(&expected, first & 0x40 ? "Z(" : first == 1 ? "T(" : "B(", 2);
		buf_append(&expected, message, length);
		buf_append(&expected, ")", 2);
	} else {
		buf_append(&expected, "X1009", 6);
	}
	check_one(limits, buf_bytes(&bytes), buf_length(&bytes), buf_length(&bytes), 1, false,
	    buf_bytes(&expected));
	check_one(limits, buf_bytes(&bytes), buf_length(&bytes), 1, 1, true, buf_bytes(&expected));
	for (size_t i = 1; i < buf_length(&bytes); i += 37)
		check_one(limits, buf_bytes(&bytes), buf_length(&bytes), i, buf_length(&bytes),
		    false, buf_bytes(&expected));
	buf_free(&bytes);
	buf_free(&expected);
	free(message);
}

START_TEST(a_message_may_be_so_long)
{
	static const size_t parts[] = {1, 7, 125, 126, 256, 257, 999, 1000, 5000};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		for (unsigned first = 1; first <= 2; first++) {
			check_length(&plain, first, MESSAGE_MAX - 1, parts[i], true);
			check_length(&plain, first, MESSAGE_MAX, parts[i], true);
			check_length(&plain, first, MESSAGE_MAX + 1, parts[i], false);
		}
	check_length(&plain, 2, 255, 255, true);
	check_length(&plain, 2, 256, 256, true);
	check_length(&plain, 2, 257, 257, true);
	/* So much is looked at in one piece, so much is not. */
	check_length(&large, 1, 4095, 5000, true);
	check_length(&large, 2, 4096, 5000, true);
	check_length(&large, 2, 4097, 5000, true);
	check_length(&large, 1, 9000, 4500, true);
	/* What could not be packed is a little longer than it was. */
	check_length(&packed, 0x42, MESSAGE_MAX + 10, 5000, true);
	check_length(&packed, 0x42, MESSAGE_MAX + 66, 5000, false);
}
END_TEST

/* Nothing is kept but what has come. */
START_TEST(a_declared_length_costs_nothing)
{
	static const struct ws_limits huge = {.message = (size_t)1 << 40};
	struct ws ws = {0};
	struct ws_found found;
	struct buf bytes = {0};
	size_t used;

	add_head(&bytes, 0x82, 0xff, UINT64_C(1) << 39, 8);
	buf_append(&bytes, "x", 1);
	ck_assert_int_eq(ws_take(&ws, &huge, buf_bytes(&bytes), buf_length(&bytes), &used, &found),
	    WS_FOUND_NOTHING);
	ck_assert_uint_eq(used, buf_length(&bytes));
	ck_assert_uint_le(ws.message.capacity, 256);
	/* A smaller limit, after a reload, counts for what is still to come. */
	ck_assert_int_eq(ws_take(&ws, &plain, "y", 1, &used, &found), WS_FOUND_BAD);
	ck_assert_uint_eq(found.code, WS_CODE_TOO_LARGE);
	buf_free(&bytes);
}
END_TEST

START_TEST(state_that_makes_no_sense_is_refused)
{
	struct ws ws = {.opcode = WS_TEXT, .left = 5}, other = {0};
	struct buf state = {0};
	char *bytes;

	ws_freeze(&ws, &state);
	bytes = buf_bytes(&state);
	ck_assert(!ws_thaw(&other, bytes, buf_length(&state) - 1));
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		bytes[12] = (char)opcode;
		ck_assert_int_eq(ws_thaw(&other, bytes, buf_length(&state)),
		    opcode == WS_TEXT || opcode == WS_BINARY);
	}
	bytes[12] = WS_TEXT;
	bytes[13] = 2;
	ck_assert(!ws_thaw(&other, bytes, buf_length(&state)));
	bytes[13] = 0;
	memset(bytes, 0, 8);
	ck_assert(ws_thaw(&other, bytes, buf_length(&state)));
	bytes[14] = 1; /* the last frame, and nothing of it is to come */
	ck_assert(!ws_thaw(&other, bytes, buf_length(&state)));
	buf_free(&state);
}
END_TEST

/* ---- writing ---- */

START_TEST(frames_are_written_with_the_shortest_length)
{
	static const struct {
		size_t length, head;
		const char *bytes;
	} heads[] = {
	    {0, 2, "\x81\0"},
	    {125, 2, "\x81\x7d"},
	    {126, 4, "\x81\x7e\0\x7e"},
	    {65535, 4, "\x81\x7e\xff\xff"},
	    {65536, 10, "\x81\x7f\0\0\0\0\0\1\0\0"},
	};
	static char message[65536];

	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		struct buf out = {0};

		ws_frame_write(&out, WS_TEXT, false, message, heads[i].length);
		ck_assert_uint_eq(buf_length(&out), heads[i].head + heads[i].length);
		ck_assert_mem_eq(buf_bytes(&out), heads[i].bytes, heads[i].head);
		buf_free(&out);
	}
}
END_TEST

START_TEST(other_frames_are_written)
{
	struct buf out = {0};

	ws_frame_write(&out, WS_BINARY, true, "x", 1);
	ws_frame_write(&out, WS_PONG, false, NULL, 0);
	ws_frame_write_close(&out, 1000, "");
	ws_frame_write_close(&out, WS_CODE_NONE, "");
	ws_frame_write_close(&out, 1011, "late");
	ck_assert_uint_eq(buf_length(&out), 19);
	ck_assert_mem_eq(
	    buf_bytes(&out), "\xc2\1x\x8a\0\x88\2\x03\xe8\x88\0\x88\6\x03\xf3late", 19);
	buf_free(&out);
}
END_TEST

/* The key goes on where it was, whatever the pieces. */
START_TEST(a_mask_is_taken_off_in_pieces)
{
	static const uint8_t first[WS_KEY] = {1, 2, 4, 8};
	char text[64], masked[64];

	for (size_t i = 0; i < sizeof(text); i++) {
		text[i] = (char)(i * 7);
		masked[i] = (char)(text[i] ^ first[i % WS_KEY]);
	}
	for (size_t part = 1; part < sizeof(text); part++) {
		uint8_t key[WS_KEY];
		char got[64];

		memcpy(key, first, WS_KEY);
		for (size_t at = 0; at < sizeof(text); at += part)
			ws_frame_unmask(got + at, masked + at,
			    sizeof(text) - at < part ? sizeof(text) - at : part, key);
		ck_assert_mem_eq(got, text, sizeof(text));
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ws");
	TCase *tc = tcase_create("ws");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_examples_of_the_standard);
	tcase_add_loop_test(tc, every_case, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_test(tc, compressed_messages_are_told_as_they_came);
	tcase_add_test(tc, codes_of_a_close);
	tcase_add_test(tc, a_head_is_refused_at_once);
	tcase_add_test(tc, a_message_may_be_so_long);
	tcase_add_test(tc, a_declared_length_costs_nothing);
	tcase_add_test(tc, state_that_makes_no_sense_is_refused);
	tcase_add_test(tc, frames_are_written_with_the_shortest_length);
	tcase_add_test(tc, other_frames_are_written);
	tcase_add_test(tc, a_mask_is_taken_off_in_pieces);
	suite_add_tcase(suite, tc);
	return help_run(suite);
}
