/* The byte queue beside a plain array that does the same slowly; and the texts of mem.c. */
#include "common/buf.h"
#include "common/mem.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_MAX   (1024 * 1024)
#define QUEUES      100
#define QUEUE_BYTES 200

/* Every byte appended has a number of its own, so that a lost or moved one shows. */
static char
model_byte(size_t number)
{
	return (char)(number * 31 + (number >> 8));
}

static void
model_append(struct buf *b, size_t *end, size_t length, int in_place)
{
	char *room = in_place ? buf_reserve(b, length) : malloc(length ? length : 1);

	for (size_t i = 0; i < length; i++)
		room[i] = model_byte(*end + i);
	if (in_place) {
		buf_added(b, length);
	} else {
		buf_append(b, room, length);
		free(room);
	}
	*end += length;
}

static void
model_compare(const struct buf *b, size_t start, size_t end)
{
	size_t i = start;

	ck_assert_uint_eq(buf_length(b), end - start);
	ck_assert(b->start <= b->end && b->end <= b->capacity);
	/* One check for all bytes: each one of Check's costs a system call. */
	while (i < end && buf_bytes(b)[i - start] == model_byte(i))
		i++;
	ck_assert_msg(i == end, "byte %zu differs", i);
}

START_TEST(like_a_plain_array)
{
	struct buf b = {0};
	size_t start = 0, end = 0;

	srandom(7);
	for (int round = 0; round < 3000; round++) {
		size_t length = (size_t)(random() % (random() % 8 ? 300 : 20000));

		if (random() % 2) {
			model_append(&b, &end, length, random() % 2 && length > 0);
		} else {
			length = 2 * length > end - start ? end - start : 2 * length;
			start += length;
			buf_consume(&b, length);
		}
		model_compare(&b, start, end);
	}
	buf_free(&b);
}
END_TEST

START_TEST(empty_holds_no_memory)
{
	struct buf b = {0};

	buf_append(&b, "", 0);
	buf_consume(&b, 0);
	ck_assert_ptr_null(b.data);
	ck_assert_ptr_null(buf_bytes(&b));
	buf_append(&b, "abc", 3);
	buf_consume(&b, 2);
	ck_assert_ptr_nonnull(b.data);
	buf_consume(&b, 1);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.capacity, 0);
	ck_assert_ptr_nonnull(buf_reserve(&b, 10));
	buf_consume(&b, 0);
	ck_assert_ptr_null(b.data);
	buf_free(&b);
}
END_TEST

/* A queue that is filled and emptied at the same pace must not grow for ever. */
START_TEST(a_steady_queue_stays_small)
{
	static const char piece[100];
	struct buf b = {0};
	size_t largest = 0;

	buf_append(&b, piece, 50);
	for (int i = 0; i < 100000; i++) {
		buf_append(&b, piece, sizeof(piece));
		buf_consume(&b, sizeof(piece));
		largest = b.capacity > largest ? b.capacity : largest;
	}
	ck_assert_uint_le(largest, 1024);
	buf_free(&b);
}
END_TEST

/*
 * A long queue that loses a byte and gets a byte: moving it all each time would cost a thousand
 * times what is written. `_i` bytes are in it, so that it is full to the brim or just not.
 */
START_TEST(a_long_queue_is_seldom_moved)
{
	static const char content[65536];
	struct buf b = {0};
	size_t moved = 0, added = 0;

	buf_append(&b, content, sizeof(content) - (size_t)_i);
	while (added < 1000000) {
		const char *data = b.data;
		size_t end = b.end;

		buf_consume(&b, 1);
		buf_append(&b, "x", 1);
		added++;
		if (b.data != data || b.end != end + 1)
			moved += buf_length(&b);
	}
	ck_assert_uint_le(moved, 2 * added);
	ck_assert_uint_le(b.capacity, 4 * sizeof(content));
	buf_free(&b);
}
END_TEST

/* Growing by doubling: a megabyte byte by byte needs a dozen allocations, not a million. */
START_TEST(grows_by_doubling)
{
	struct buf b = {0};
	size_t capacity = 0;
	int grown = 0;

	for (int i = 0; i < MODEL_MAX; i++) {
		buf_append(&b, "x", 1);
		grown += b.capacity != capacity;
		capacity = b.capacity;
	}
	ck_assert_int_le(grown, 16);
	buf_free(&b);
}
END_TEST

START_TEST(reserve_gives_that_much)
{
	struct buf b = {0};

	for (size_t length = 1; length < MODEL_MAX; length = length * 3 + 1) {
		buf_append(&b, "ab", 2);
		buf_consume(&b, 1);
		memset(buf_reserve(&b, length), 1, length);
		ck_assert_uint_ge(b.capacity - b.end, length);
	}
	buf_free(&b);
}
END_TEST

/* Small pieces of memory go from queue to queue: never to two at once, and none is forgotten. */
START_TEST(small_queues_share_nothing)
{
	static struct buf queues[QUEUES];
	static char content[QUEUES][QUEUE_BYTES];
	size_t before = 0;

	srandom(7);
	for (int round = 0; round < 40 * QUEUES; round++) {
		size_t one = (size_t)random() % QUEUES;

		/* All at once are more than are kept for the next ones. */
		for (size_t i = 0; i < QUEUES && round % QUEUES == 0; i++)
			buf_free(&queues[i]);
		buf_free(&queues[one]);
		memset(content[one], round % 251, QUEUE_BYTES);
		buf_append(&queues[one], content[one], QUEUE_BYTES);
		for (size_t i = 0; i < QUEUES; i++)
			if (buf_length(&queues[i]) > 0)
				ck_assert_mem_eq(buf_bytes(&queues[i]), content[i], QUEUE_BYTES);
		if (round == 2 * QUEUES)
			before = mallinfo2().uordblks;
	}
	/* Under a sanitizer both are 0, and it looks for what is lost by itself. */
	ck_assert_uint_le(mallinfo2().uordblks, before + 2 * QUEUES * 256);
	for (size_t i = 0; i < QUEUES; i++)
		buf_free(&queues[i]);
}
END_TEST

/* Of many that are freed at once a few pieces are kept, and only of the smallest. */
START_TEST(little_is_kept_of_a_crowd)
{
	static struct buf crowd[50 * QUEUES];
	static const char content[100 * QUEUE_BYTES];
	size_t before = mallinfo2().uordblks;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 50 * QUEUES; i++)
			buf_append(&crowd[i], content, i % 10 == 0 ? sizeof(content) : QUEUE_BYTES);
		for (size_t i = 0; i < 50 * QUEUES; i++)
			buf_free(&crowd[i]);
		ck_assert_uint_le(mallinfo2().uordblks, before + QUEUES * 300);
	}
}
END_TEST

START_TEST(reserve_beyond_memory_ends_plainly)
{
	struct buf b = {0};

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	buf_append(&b, "abc", 3);
	buf_reserve(&b, _i ? SIZE_MAX : SIZE_MAX / 2);
}
END_TEST

START_TEST(consuming_too_much_ends_plainly)
{
	struct buf b = {0};

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	buf_append(&b, "abc", 3);
	buf_consume(&b, 4);
}
END_TEST

START_TEST(mem_texts)
{
	char *text = mem_printf("%s-%d", "a", 7);
	char *copy = mem_strndup("abcdef", 3);
	char *all = mem_strndup("abc", 100);
	unsigned char *zeroed = mem_alloc(3, 100);

	ck_assert_str_eq(text, "a-7");
	ck_assert_str_eq(copy, "abc");
	ck_assert_str_eq(all, "abc");
	for (int i = 0; i < 300; i++)
		ck_assert_uint_eq(zeroed[i], 0);
	zeroed = mem_resize(zeroed, 1000, 10);
	memset(zeroed, 1, 10000);
	zeroed = mem_resize(zeroed, 0, 10);
	ck_assert_ptr_nonnull(zeroed);
	free(text);
	free(copy);
	free(all);
	free(zeroed);
	text = mem_strdup("");
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

/* count * size does not fit into a size_t: a small block would be handed out by a naive product. */
START_TEST(mem_product_overflow_ends_plainly)
{
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	if (_i)
		mem_alloc(SIZE_MAX / 8 + 2, 8);
	else
		mem_resize(NULL, SIZE_MAX / 8 + 2, 8);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("buf");
	TCase *tcase = tcase_create("buf");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, like_a_plain_array);
	tcase_add_test(tcase, empty_holds_no_memory);
	tcase_add_test(tcase, a_steady_queue_stays_small);
	tcase_add_loop_test(tcase, a_long_queue_is_seldom_moved, 0, 2);
	tcase_add_test(tcase, grows_by_doubling);
	tcase_add_test(tcase, reserve_gives_that_much);
	tcase_add_test(tcase, small_queues_share_nothing);
	tcase_add_test(tcase, little_is_kept_of_a_crowd);
	tcase_add_loop_exit_test(tcase, reserve_beyond_memory_ends_plainly, 1, 0, 2);
	tcase_add_exit_test(tcase, consuming_too_much_ends_plainly, 1);
	tcase_add_test(tcase, mem_texts);
	tcase_add_loop_exit_test(tcase, mem_product_overflow_ends_plainly, 1, 0, 2);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
