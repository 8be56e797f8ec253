/* Lines, several lines and frames: every border of the rules in codec.h, given whole and byte by
 * byte. */
#include "common/codec.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX 5 /* the largest message in the table */

struct line_case {
	const char *input;
	enum codec_found found;
	size_t length, used;
	bool had_cr;
};

static const struct line_case line_cases[] = {
    {"", CODEC_MORE, 0, 0, false},
    {"\n", CODEC_MESSAGE, 0, 1, false},
    {"\r\n", CODEC_MESSAGE, 0, 2, true},
    {"\r\r\n", CODEC_MESSAGE, 1, 3, true},
    {"a", CODEC_MORE, 0, 0, false},
    {"a\nb\n", CODEC_MESSAGE, 1, 2, false},
    {"a\rb\n", CODEC_MESSAGE, 3, 4, false},
    {"\n\n", CODEC_MESSAGE, 0, 1, false},
    {"12345", CODEC_MORE, 0, 0, false},
    {"12345\r", CODEC_MORE, 0, 0, false},
    {"12345\n", CODEC_MESSAGE, 5, 6, false},
    {"12345\r\n", CODEC_MESSAGE, 5, 7, true},
    {"1234\r\r\n", CODEC_MESSAGE, 5, 7, true},
    {"123456", CODEC_TOO_LARGE, 0, 0, false},
    {"123456\n", CODEC_TOO_LARGE, 0, 0, false},
    {"123456\r\n", CODEC_TOO_LARGE, 0, 0, false},
    {"12345\r6", CODEC_TOO_LARGE, 0, 0, false},
    {"12345\r\r", CODEC_TOO_LARGE, 0, 0, false},
    {"12345\r\r\n", CODEC_TOO_LARGE, 0, 0, false},
    {"1234567890\n", CODEC_TOO_LARGE, 0, 0, false},
};
#define LINE_CASES (int)(sizeof(line_cases) / sizeof(line_cases[0]))

static void
line_expect(const struct line_case *c, enum codec_found found, const struct codec_message *message)
{
	ck_assert_msg(
	    found == c->found, "\"%s\": found %d, expected %d", c->input, found, c->found);
	if (found != CODEC_MESSAGE)
		return;
	ck_assert_uint_eq(message->length, c->length);
	ck_assert_uint_eq(message->used, c->used);
	ck_assert_int_eq(message->tag, c->had_cr);
}

START_TEST(line_whole)
{
	const struct line_case *c = &line_cases[_i];
	struct codec_message message;

	line_expect(
	    c, codec_find(CODEC_LINE, c->input, strlen(c->input), MAX, NULL, &message), &message);
	if (c->found == CODEC_MESSAGE)
		ck_assert_ptr_eq(message.data, c->input);
}
END_TEST

/* The answer comes with the very byte that decides it, and never before. */
START_TEST(line_byte_by_byte)
{
	const struct line_case *c = &line_cases[_i];
	size_t length = strlen(c->input);
	enum codec_found found = CODEC_MORE;
	struct codec_message message;
	size_t scanned = 0;

	for (size_t i = 0; i <= length && found == CODEC_MORE; i++) {
		char *exact = malloc(i ? i : 1); /* so that a sanitizer sees a byte too many */

		memcpy(exact, c->input, i);
		found = codec_find(CODEC_LINE, exact, i, MAX, &scanned, &message);
		if (found == CODEC_MORE)
			ck_assert_uint_eq(scanned, i);
		free(exact);
	}
	line_expect(c, found, &message);
}
END_TEST

START_TEST(line_too_large_at_once)
{
	struct codec_message message;
	size_t scanned = 0;

	ck_assert(codec_find(CODEC_LINE, "12345x", 6, MAX, &scanned, &message) == CODEC_TOO_LARGE);
	scanned = 0;
	ck_assert(codec_find(CODEC_LINE, "12345\r", 6, MAX, &scanned, &message) == CODEC_MORE);
	ck_assert(
	    codec_find(CODEC_LINE, "12345\rx", 7, MAX, &scanned, &message) == CODEC_TOO_LARGE);
	scanned = 0;
	ck_assert(codec_find(CODEC_LINE, "x", 1, 0, &scanned, &message) == CODEC_TOO_LARGE);
}
END_TEST

START_TEST(line_scanned_saves_the_search)
{
	struct codec_message message;
	size_t scanned = 3;

	/* An LF within what is said to be searched is not seen: nothing is looked at twice. */
	ck_assert(codec_find(CODEC_LINE, "a\nb\n", 4, MAX, &scanned, &message) == CODEC_MESSAGE);
	ck_assert_uint_eq(message.used, 4);
	ck_assert_uint_eq(scanned, 0);
	/* More than there is does no harm. */
	scanned = 1000;
	ck_assert(codec_find(CODEC_LINE, "ab", 2, MAX, &scanned, &message) == CODEC_MORE);
}
END_TEST

START_TEST(line_any_length_allowed)
{
	struct codec_message message;

	ck_assert(codec_find(CODEC_LINE, "abc\r\n", 5, SIZE_MAX, NULL, &message) == CODEC_MESSAGE);
	ck_assert_uint_eq(message.length, 3);
	ck_assert(codec_find(CODEC_LINE, "abc", 3, SIZE_MAX, NULL, &message) == CODEC_MORE);
	ck_assert(codec_find(CODEC_LINE, NULL, 0, SIZE_MAX, NULL, &message) == CODEC_MORE);
}
END_TEST

START_TEST(frame_rules)
{
	struct codec_message message;

	ck_assert(codec_find(CODEC_FRAME, NULL, 0, 3, NULL, &message) == CODEC_MORE);
	ck_assert(codec_find(CODEC_FRAME, "\0\0\0", 3, 3, NULL, &message) == CODEC_MORE);
	ck_assert(codec_find(CODEC_FRAME, "\0\0\0\0", 4, 3, NULL, &message) == CODEC_MESSAGE);
	ck_assert_uint_eq(message.length, 0);
	ck_assert_uint_eq(message.used, 4);
	ck_assert(codec_find(CODEC_FRAME, "\0\0\0\3ab", 6, 3, NULL, &message) == CODEC_MORE);
	ck_assert(codec_find(CODEC_FRAME, "\0\0\0\3a\ncd", 8, 3, NULL, &message) == CODEC_MESSAGE);
	ck_assert_uint_eq(message.length, 3);
	ck_assert_uint_eq(message.used, 7);
	ck_assert_mem_eq(message.data, "a\nc", 3);
	ck_assert_int_eq(message.tag, false);
	ck_assert(codec_find(CODEC_FRAME, "\0\0\0\4", 4, 3, NULL, &message) == CODEC_TOO_LARGE);
	ck_assert(
	    codec_find(CODEC_FRAME, "\xff\xff\xff\xff", 4, 3, NULL, &message) == CODEC_TOO_LARGE);
	ck_assert(codec_find(CODEC_FRAME, "\xff\xff\xff\xff", 4, UINT32_MAX, NULL, &message) ==
		  CODEC_MORE);
	ck_assert(
	    codec_find(CODEC_FRAME, "\1\2\3\4", 4, 0x1020303, NULL, &message) == CODEC_TOO_LARGE);
	ck_assert(codec_find(CODEC_FRAME, "\1\2\3\4", 4, 0x1020304, NULL, &message) == CODEC_MORE);
}
END_TEST

static enum codec_found
ids_find(const char *data, size_t length, struct codec_message *message)
{
	*message = (struct codec_message){.tag = 99};
	return codec_find(CODEC_IDS, data, length, MAX, NULL, message);
}

START_TEST(ids_rules)
{
	static const char whole[] = "\0\0\0\7\x81\2\3\4a\nbc";
	struct codec_message message;

	for (size_t i = 0; i < 11; i++)
		ck_assert_msg(ids_find(whole, i, &message) == CODEC_MORE, "%zu bytes", i);
	ck_assert(ids_find(whole, 12, &message) == CODEC_MESSAGE);
	ck_assert_uint_eq(message.tag, 0x81020304);
	ck_assert_uint_eq(message.length, 3);
	ck_assert_uint_eq(message.used, 11);
	ck_assert_ptr_eq(message.data, whole + 8);
	/* No payload at all, and the largest: the id does not count. */
	ck_assert(ids_find("\0\0\0\4\0\0\0\1", 8, &message) == CODEC_MESSAGE);
	ck_assert_uint_eq(message.length, 0);
	ck_assert(ids_find("\0\0\0\11\0\0\0\1abcde", 13, &message) == CODEC_MESSAGE);
	ck_assert_uint_eq(message.length, MAX);
}
END_TEST

START_TEST(ids_refused)
{
	struct codec_message message;

	/* Too large: told with its id, and so not before that has come. */
	ck_assert(ids_find("\0\0\0\12\0\0\0", 7, &message) == CODEC_MORE);
	ck_assert(ids_find("\0\0\0\12\0\0\0\7", 8, &message) == CODEC_TOO_LARGE);
	ck_assert_uint_eq(message.tag, 7);
	ck_assert(ids_find("\xff\xff\xff\xff\0\0\0\7", 8, &message) == CODEC_TOO_LARGE);
	/* No room for an id: what is behind is whole again. */
	for (char i = 0; i < 4; i++) {
		const char input[8] = {0, 0, 0, i};

		ck_assert(i == 0 || ids_find(input, 3 + (size_t)i, &message) == CODEC_MORE);
		ck_assert(ids_find(input, 8, &message) == CODEC_BAD);
		ck_assert_uint_eq(message.used, 4 + (size_t)i);
		ck_assert_uint_eq(message.tag, 0);
	}
	ck_assert(codec_find(CODEC_IDS, "\xff\xff\xff\xff\0\0\0\7", 8, SIZE_MAX, NULL, &message) ==
		  CODEC_MORE);
}
END_TEST

/* ---- several lines ---- */

struct several_case {
	const char *end, *input;
	enum codec_found found;
	const char *message; /* NULL: there is not one line */
	size_t used;
};

static const struct several_case several_cases[] = {
    {"END", "", CODEC_MORE, NULL, 0},
    {"END", "END", CODEC_MORE, NULL, 0},
    {"END", "END\r", CODEC_MORE, NULL, 0},
    {"END", "END\n", CODEC_MESSAGE, NULL, 4},
    {"END", "END\r\nEND\n", CODEC_MESSAGE, NULL, 5},
    {"END", "\nEND\n", CODEC_MESSAGE, "", 5},
    {"END", "\r\nEND\n", CODEC_MESSAGE, "", 6},
    {"END", "\n\nEND\n", CODEC_MESSAGE, "\n", 6},
    {"END", "a\nb\nEND\nc\n", CODEC_MESSAGE, "a\nb", 8},
    {"END", "a\r\nb\r\nEND\r\n", CODEC_MESSAGE, "a\r\nb", 11},
    {"END", "a\r\r\nEND\n", CODEC_MESSAGE, "a\r", 8},
    {"END", "xEND\nEND\n", CODEC_MESSAGE, "xEND", 9},
    {"END", "ENDx\nEND\n", CODEC_MESSAGE, "ENDx", 9},
    {"END", "END \nEND\n", CODEC_MESSAGE, "END ", 9},
    {"END", "E\nEN\nEND\n", CODEC_MESSAGE, "E\nEN", 9},
    {"END", "END\r\r\nEND\n", CODEC_MESSAGE, "END\r", 10},
    {"END", "12345\nEND\n", CODEC_MESSAGE, "12345", 10},
    {"END", "12345\r\nEND\r\n", CODEC_MESSAGE, "12345", 12},
    {"END", "123456\nEND\n", CODEC_TOO_LARGE, NULL, 0},
    {"END", "1234\n5\nEND\n", CODEC_TOO_LARGE, NULL, 0},
    {"END", "12345\r\r\nEND\n", CODEC_TOO_LARGE, NULL, 0},
    {"END", "12345678901", CODEC_MORE, NULL, 0},
    {"END", "123456789012", CODEC_TOO_LARGE, NULL, 0},
    {"", "\n", CODEC_MESSAGE, NULL, 1},
    {"", "\r\n", CODEC_MESSAGE, NULL, 2},
    {"", "a\n\n", CODEC_MESSAGE, "a", 3},
    {".", "..\n.\n", CODEC_MESSAGE, "..", 5},
};
#define SEVERAL_CASES (int)(sizeof(several_cases) / sizeof(several_cases[0]))

static void
several_expect(
    const struct several_case *c, enum codec_found found, const struct codec_message *message)
{
	ck_assert_msg(
	    found == c->found, "\"%s\": found %d, expected %d", c->input, found, c->found);
	if (found != CODEC_MESSAGE)
		return;
	ck_assert_uint_eq(message->used, c->used);
	ck_assert_uint_eq(message->length, c->message == NULL ? 0 : strlen(c->message));
	ck_assert_int_eq(message->data == NULL, c->message == NULL);
	ck_assert_mem_eq(c->input, c->message == NULL ? "" : c->message, message->length);
}

START_TEST(several_whole)
{
	const struct several_case *c = &several_cases[_i];
	struct codec_lines lines = {.end = c->end, .end_length = strlen(c->end)};
	struct codec_message message;

	several_expect(
	    c, codec_find_lines(&lines, c->input, strlen(c->input), MAX, &message), &message);
	ck_assert(c->found != CODEC_MESSAGE || (lines.scanned == 0 && lines.line == 0));
}
END_TEST

START_TEST(several_byte_by_byte)
{
	const struct several_case *c = &several_cases[_i];
	struct codec_lines lines = {.end = c->end, .end_length = strlen(c->end)};
	size_t length = strlen(c->input);
	enum codec_found found = CODEC_MORE;
	struct codec_message message;

	for (size_t i = 0; i <= length && found == CODEC_MORE; i++) {
		char *exact = malloc(i ? i : 1);

		memcpy(exact, c->input, i);
		found = codec_find_lines(&lines, exact, i, MAX, &message);
		if (found == CODEC_MORE)
			ck_assert_uint_eq(lines.scanned, i); /* nothing is looked at twice */
		free(exact);
	}
	several_expect(c, found, &message);
}
END_TEST

/* The same messages, a line each time, coming in pieces of `step` bytes. */
static void
several_try_lines(const struct several_case *c, size_t step)
{
	struct codec_lines lines = {.end = c->end, .end_length = strlen(c->end)};
	struct codec_message all = {.data = NULL}, message = {.data = NULL};
	size_t length = strlen(c->input), there = 0;
	enum codec_found found;

	for (;;) {
		size_t rest = there - all.used;
		char *exact = malloc(rest ? rest : 1);

		memcpy(exact, c->input + all.used, rest);
		found = codec_find_next_line(&lines, exact, rest, MAX, &message);
		if (found == CODEC_MESSAGE && message.data != NULL) {
			ck_assert_ptr_eq(message.data, exact);
			ck_assert_uint_eq(message.length, message.used);
			all.data = c->input;
		}
		free(exact);
		if (found == CODEC_TOO_LARGE || (found == CODEC_MORE && there == length))
			break;
		if (found == CODEC_MESSAGE) {
			all.length = all.used; /* in front of this line */
			all.used += message.used;
			if (message.data == NULL)
				break;
		} else {
			there = length - there < step ? length : there + step;
		}
	}
	/* The last line end is not counted among the bytes of the message. */
	if (all.data != NULL && all.length > 0)
		all.length -= all.length > 1 && c->input[all.length - 2] == '\r' ? 2 : 1;
	several_expect(c, found, &all);
	ck_assert(found != CODEC_MESSAGE || (lines.scanned == 0 && lines.taken == 0));
}

START_TEST(several_line_by_line)
{
	several_try_lines(&several_cases[_i], SIZE_MAX / 2);
	several_try_lines(&several_cases[_i], 1);
}
END_TEST

START_TEST(several_any_length_allowed)
{
	struct codec_lines lines = {.end = "END", .end_length = 3};
	struct codec_message message;

	ck_assert(codec_find_lines(&lines, "a\nEND", 5, SIZE_MAX, &message) == CODEC_MORE);
	ck_assert(codec_find_lines(&lines, "a\nEND\n", 6, SIZE_MAX, &message) == CODEC_MESSAGE);
	ck_assert(codec_find_lines(&lines, NULL, 0, SIZE_MAX, &message) == CODEC_MORE);
}
END_TEST

START_TEST(what_can_be_carried)
{
	ck_assert(codec_can_carry(CODEC_LINE, "", 0));
	ck_assert(codec_can_carry(CODEC_LINE, NULL, 0));
	ck_assert(codec_can_carry(CODEC_LINE, "a\0b\r", 4));
	ck_assert(!codec_can_carry(CODEC_LINE, "a\n", 2));
	ck_assert(!codec_can_carry(CODEC_LINE, "\nab", 3));
	ck_assert(codec_can_carry(CODEC_FRAME, "\n", 1));
	ck_assert(codec_can_carry(CODEC_FRAME, "", UINT32_MAX));
	ck_assert(!codec_can_carry(CODEC_FRAME, "", (size_t)UINT32_MAX + 1));
	ck_assert(codec_can_carry(CODEC_IDS, "", (size_t)UINT32_MAX - 4));
	ck_assert(!codec_can_carry(CODEC_IDS, "", (size_t)UINT32_MAX - 3));
}
END_TEST

START_TEST(heads_and_tails)
{
	char head[CODEC_IDS_HEAD], tail[CODEC_TAIL_MAX];

	ck_assert_uint_eq(codec_head(CODEC_LINE, 7, head), 0);
	ck_assert_uint_eq(codec_tail(CODEC_LINE, false, tail), 1);
	ck_assert_mem_eq(tail, "\n", 1);
	ck_assert_uint_eq(codec_tail(CODEC_LINE, true, tail), 2);
	ck_assert_mem_eq(tail, "\r\n", 2);
	ck_assert_uint_eq(codec_head(CODEC_FRAME, 0x81c2f304, head), 4);
	ck_assert_mem_eq(head, "\x81\xc2\xf3\x04", 4);
	ck_assert_uint_eq(codec_tail(CODEC_FRAME, true, tail), 0);
	codec_head_ids(0x81c2f304, 0x1020304, head);
	ck_assert_mem_eq(head, "\x01\x02\x03\x08\x81\xc2\xf3\x04", 8);
	ck_assert_uint_eq(codec_number(head + 4), 0x81c2f304);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("codec");
	TCase *line = tcase_create("line");
	TCase *several = tcase_create("several");
	TCase *frame = tcase_create("frame");

	tcase_add_loop_test(line, line_whole, 0, LINE_CASES);
	tcase_add_loop_test(line, line_byte_by_byte, 0, LINE_CASES);
	tcase_add_test(line, line_too_large_at_once);
	tcase_add_test(line, line_scanned_saves_the_search);
	tcase_add_test(line, line_any_length_allowed);
	suite_add_tcase(suite, line);
	tcase_add_loop_test(several, several_whole, 0, SEVERAL_CASES);
	tcase_add_loop_test(several, several_byte_by_byte, 0, SEVERAL_CASES);
	tcase_add_loop_test(several, several_line_by_line, 0, SEVERAL_CASES);
	tcase_add_test(several, several_any_length_allowed);
	suite_add_tcase(suite, several);
	tcase_add_test(frame, frame_rules);
	tcase_add_test(frame, ids_rules);
	tcase_add_test(frame, ids_refused);
	tcase_add_test(frame, what_can_be_carried);
	tcase_add_test(frame, heads_and_tails);
	suite_add_tcase(suite, frame);
	return help_run(suite);
}
