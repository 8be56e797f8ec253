/* Tests of the load generator's messages: all different, and known again to the last bit. */
#include "ctl/load_message.h"
#include "tests/unit/run_help.h"

#include "common/mem.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SEED          UINT64_C(42)
#define SEQUENCE_LAST UINT64_C(9999999999999999)

static struct load_message message;

static void
leave(void)
{
	load_message_close(&message);
}

/* The bytes were found, and belong to this request. */
static void
assert_found(const char *data, unsigned connection, uint64_t sequence)
{
	unsigned whose = 77;
	uint64_t which = 77;

	ck_assert(load_message_find(&message, data, message.size, &whose, &which));
	ck_assert_uint_eq(whose, connection);
	ck_assert_uint_eq(which, sequence);
}

static void
assert_unknown(const char *data, size_t length)
{
	unsigned whose;
	uint64_t which;

	ck_assert_msg(!load_message_find(&message, data, length, &whose, &which), "'%.*s' is known",
	    (int)length, data);
}

START_TEST(echo_comes_back)
{
	static const size_t sizes[] = {LOAD_MESSAGE_MIN, 33, 64, 1000, 200000};
	static const unsigned connections[] = {0, 1, 9, 10, 12345, LOAD_MESSAGE_CONNECTION_MAX};
	static const uint64_t sequences[] = {0, 7, 10, 99999, UINT64_C(5000000000), SEQUENCE_LAST};
	char *data = malloc(200000);

	for (size_t size = 0; size < 5; size++) {
		load_message_open(&message, sizes[size], false, SEED);
		for (size_t i = 0; i < 36; i++) {
			load_message_write(&message, connections[i / 6], sequences[i % 6], data);
			assert_found(data, connections[i / 6], sequences[i % 6]);
		}
		load_message_close(&message);
	}
	free(data);
}
END_TEST

START_TEST(capitals_come_back)
{
	char data[64];

	load_message_open(&message, sizeof(data), true, SEED);
	load_message_write(&message, 3, 14, data);
	assert_unknown(data, sizeof(data)); /* an echo is not what was expected */
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)toupper((unsigned char)data[i]);
	assert_found(data, 3, 14);
}
END_TEST

START_TEST(only_letters_digits_and_hyphens)
{
	char data[500];
	unsigned letters = 0;

	load_message_open(&message, sizeof(data), false, SEED);
	load_message_write(&message, 1, 2, data);
	for (size_t i = 0; i < sizeof(data); i++) {
		ck_assert(islower((unsigned char)data[i]) || isdigit((unsigned char)data[i]) ||
			  data[i] == '-');
		letters += islower((unsigned char)data[i]) != 0;
	}
	ck_assert_uint_gt(letters, 250); /* so that an upper-casing server shows */
}
END_TEST

START_TEST(every_changed_bit_is_noticed)
{
	char data[64];

	load_message_open(&message, sizeof(data), false, SEED);
	load_message_write(&message, 12, 345, data);
	for (size_t bit = 0; bit < sizeof(data) * 8; bit++) {
		unsigned whose;
		uint64_t which;

		data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
		ck_assert(!load_message_find(&message, data, sizeof(data), &whose, &which));
		data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
	}
	assert_found(data, 12, 345);
}
END_TEST

START_TEST(other_lengths_are_noticed)
{
	char data[80];

	load_message_open(&message, 64, false, SEED);
	load_message_write(&message, 12, 345, data);
	memset(data + 64, 'a', 16);
	for (size_t length = 0; length < sizeof(data); length++) {
		if (length != 64)
			assert_unknown(data, length);
	}
}
END_TEST

START_TEST(heads_that_only_look_like_one)
{
	static const char *const heads[] = {
	    "",                               /* the run's letters and nothing else */
	    "-1-",                            /* no connection */
	    "1--",                            /* no sequence */
	    "01-1-",                          /* a zero in front */
	    "1-01-",                          /* the same */
	    "1000000-1-",                     /* no such connection */
	    "1-10000000000000000-",           /* more digits than are ever written */
	    "99999999999999999999-1-",        /* more than 64 bits */
	    "1-1",                            /* no end */
	    "111111111111111111111111111111", /* all digits */
	};
	char data[64];

	load_message_open(&message, sizeof(data), false, SEED);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		load_message_write(&message, 1, 1, data);
		memcpy(data + LOAD_MESSAGE_RUN + 1, heads[i], strlen(heads[i]));
		memset(data + LOAD_MESSAGE_RUN + 1 + strlen(heads[i]), '1',
		    sizeof(data) - LOAD_MESSAGE_RUN - 1 - strlen(heads[i]));
		assert_unknown(data, sizeof(data));
	}
}
END_TEST

START_TEST(zeros_in_front_are_noticed)
{
	static const size_t places[] = {LOAD_MESSAGE_RUN + 1, LOAD_MESSAGE_RUN + 3};
	char data[65];

	load_message_open(&message, 64, false, SEED);
	for (size_t i = 0; i < 2; i++) {
		load_message_write(&message, 5, 7, data);
		memmove(data + places[i] + 1, data + places[i], 64 - places[i]);
		data[places[i]] = '0'; /* 05-7- and 5-07-, all else as it was */
		assert_unknown(data, 64);
	}
}
END_TEST

/* The body of one message behind the head of another is neither. */
START_TEST(heads_and_bodies_belong_together)
{
	char one[64], other[64];

	load_message_open(&message, sizeof(one), false, SEED);
	load_message_write(&message, 5, 100, one);
	load_message_write(&message, 5, 101, other);
	memcpy(other + 20, one + 20, sizeof(one) - 20);
	assert_unknown(other, sizeof(other));
}
END_TEST

START_TEST(runs_differ)
{
	struct load_message another;
	char data[64];

	load_message_open(&another, sizeof(data), false, SEED + 1);
	load_message_open(&message, sizeof(data), false, SEED);
	load_message_write(&another, 0, 0, data);
	assert_unknown(data, sizeof(data));
	load_message_close(&another);
}
END_TEST

START_TEST(sizes_vary_and_belong_to_the_message)
{
	bool seen[101] = {false};
	unsigned whose, sizes = 0;
	uint64_t sequence;
	char data[101];

	load_message_open(&message, 100, false, SEED);
	load_message_vary(&message, 32);
	for (uint64_t i = 0; i < 2000; i++) {
		size_t length = load_message_write(&message, 3, i, data);

		ck_assert_uint_eq(length, load_message_length(&message, 3, i));
		ck_assert(length >= 32 && length <= 100);
		sizes += !seen[length];
		seen[length] = true;
		ck_assert(load_message_find(&message, data, length, &whose, &sequence));
		ck_assert(whose == 3 && sequence == i);
		ck_assert(load_message_is(&message, 3, i, data, length));
		ck_assert(!load_message_is(&message, 3, i + 1, data, length));
		ck_assert(!load_message_is(&message, 2, i, data, length));
		ck_assert(!load_message_find(&message, data, length - 1, &whose, &sequence));
	}
	ck_assert_uint_eq(sizes, 69);
}
END_TEST

START_TEST(texts_go_round_from_places_of_their_own)
{
	struct load_texts texts;
	char data[16];

	load_texts_take(&texts, mem_strdup("a\nbb\r\n\ndddd\n"), 12, 4);
	load_texts_capitals(&texts);
	load_message_open(&message, 64, false, SEED);
	load_message_use(&message, &texts, 2);
	ck_assert_uint_eq(load_message_length(&message, 0, 5), 2);
	ck_assert_uint_eq(load_message_write(&message, 0, 1, data), 2);
	ck_assert(memcmp(data, "bb", 2) == 0);
	ck_assert(load_message_is(&message, 0, 1, "BB", 2));
	ck_assert(!load_message_is(&message, 0, 1, "bb", 2));
	ck_assert(!load_message_is(&message, 0, 1, "BBB", 3));
	ck_assert(load_message_is(&message, 0, 2, "", 0));
	ck_assert_uint_eq(load_message_length(&message, 1, 1), 4); /* it began with the third */
	ck_assert_uint_eq(texts.longest, 4);
	load_texts_free(&texts);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("load_message");
	TCase *test = tcase_create("message");

	tcase_add_checked_fixture(test, NULL, leave);
	tcase_add_test(test, echo_comes_back);
	tcase_add_test(test, capitals_come_back);
	tcase_add_test(test, only_letters_digits_and_hyphens);
	tcase_add_test(test, every_changed_bit_is_noticed);
	tcase_add_test(test, other_lengths_are_noticed);
	tcase_add_test(test, heads_that_only_look_like_one);
	tcase_add_test(test, zeros_in_front_are_noticed);
	tcase_add_test(test, heads_and_bodies_belong_together);
	tcase_add_test(test, runs_differ);
	tcase_add_test(test, sizes_vary_and_belong_to_the_message);
	tcase_add_test(test, texts_go_round_from_places_of_their_own);
	suite_add_tcase(suite, test);
	return help_run(suite);
}
