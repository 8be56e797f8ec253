/* Packed messages: the standard's examples, what is too much, what is none, and both ways. */
#include "common/buf.h"
#include "tests/unit/run_help.h"
#include "workers/ws_deflate.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void
check_inflate(const char *data, size_t length, const char *expected)
{
	struct buf to = {0};
	size_t size = strlen(expected);

	ck_assert_int_eq(ws_inflate(&to, data, length, 1000), WS_INFLATE_DONE);
	ck_assert_uint_eq(buf_length(&to), size);
	if (size > 0)
		ck_assert_mem_eq(buf_bytes(&to), expected, size);
	buf_free(&to);
}

START_TEST(the_examples_of_the_standard)
{
	struct buf to = {0};

	/* RFC 7692: 7.2.3.1 to 7.2.3.6 */
	check_inflate("\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello");
	check_inflate("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11, "Hello");
	check_inflate("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, "Hello");
	check_inflate("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13, "Hello");
	check_inflate("\x00", 1, "");
	check_inflate("\x02\x00", 2, "");
	/* 7.2.3.2 is what needs a window that was kept: there is none. */
	ck_assert_int_eq(ws_inflate(&to, "\xf2\x00\x11\x00\x00", 5, 1000), WS_INFLATE_BAD);
	ck_assert_ptr_null(to.data);
}
END_TEST

START_TEST(what_is_no_packed_message)
{
	static const struct {
		const char *data;
		size_t length;
	} bad[] = {
	    {"", 0},
	    {"\x07", 1},                 /* a kind of block that there is not */
	    {"Hello", 5},                /* not packed at all */
	    {"\xf2\x48\xcd\xc9\xc9", 5}, /* cut off in a block */
	    {"\xf2\x48\xcd", 3},
	    {"\x00\x05\x00\xfa\xff\x48\x65", 7},                  /* cut off in a stored one */
	    {"\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00", 11}, /* its two lengths differ */
	    {"\xff\xff\xff\xff", 4},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct buf to = {0};

		ck_assert_msg(ws_inflate(&to, bad[i].data, bad[i].length, 1000) == WS_INFLATE_BAD,
		    "case %zu", i);
		ck_assert_ptr_null(to.data);
	}
	/* The next one knows nothing of them. */
	check_inflate("\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello");
}
END_TEST

/* Text that can be packed, and bytes that cannot. */
static char *
make_message(size_t length, bool is_text)
{
	char *message = calloc(1, length + 1);
	uint32_t number = 1;

	for (size_t i = 0; i < length; i++) {
		number = number * 1664525 + 1013904223;
		message[i] = is_text ? "the quick brown fox "[i % 20] : (char)(number >> 24);
	}
	return message;
}

static void
check_both_ways(size_t length, bool is_text, unsigned bits)
{
	char *message = make_message(length, is_text);
	struct buf packed = {0}, back = {0};

	if (ws_deflate(&packed, message, length, bits)) {
		ck_assert_uint_lt(buf_length(&packed), length);
		ck_assert_int_eq(ws_inflate(&back, buf_bytes(&packed), buf_length(&packed), length),
		    WS_INFLATE_DONE);
		ck_assert_uint_eq(buf_length(&back), length);
		ck_assert_mem_eq(buf_bytes(&back), message, length);
	} else {
		ck_assert(length < 60 || !is_text);
		ck_assert_uint_eq(buf_length(&packed), 0);
	}
	buf_free(&packed);
	buf_free(&back);
	free(message);
}

START_TEST(both_ways)
{
	static const size_t lengths[] = {
	    0, 1, 2, 3, 4, 5, 19, 60, 100, 1000, 4095, 4096, 4097, 65535, 65536, 300000};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		for (unsigned bits = WS_DEFLATE_BITS_MIN; bits <= WS_DEFLATE_BITS_MAX; bits++) {
			check_both_ways(lengths[i], true, bits);
			check_both_ways(lengths[i], false, bits);
		}
}
END_TEST

/* A window that was asked for is kept: an unpacker with no larger one understands all. */
START_TEST(a_small_window_is_kept_to)
{
	char *message = make_message(5000, true);

	for (unsigned bits = WS_DEFLATE_BITS_MIN; bits <= WS_DEFLATE_BITS_MAX; bits++) {
		struct buf packed = {0};
		z_stream stream = {0};
		char back[5000];

		for (size_t i = 0; i < 5000; i += 1 + (i & 15))
			message[i] = (char)i; /* so that far-away repeats are worth while */
		ck_assert(ws_deflate(&packed, message, 5000, bits));
		buf_append(&packed, "\0\0\xff\xff", 4);
		ck_assert_int_eq(inflateInit2(&stream, -(int)bits), Z_OK);
		stream.next_in = (Bytef *)buf_bytes(&packed);
		stream.avail_in = (uInt)buf_length(&packed);
		/* In pieces: where all has room at once no window is needed. */
		for (size_t at = 0; at < sizeof(back); at += 100) {
			stream.next_out = (Bytef *)back + at;
			stream.avail_out = 100;
			ck_assert_int_eq(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
			ck_assert_uint_eq(stream.avail_out, 0);
		}
		ck_assert_mem_eq(back, message, 5000);
		inflateEnd(&stream);
		buf_free(&packed);
	}
	free(message);
}
END_TEST

/* 100 MB of nothing in 100 KB: what is made of it is `max` bytes and one. */
START_TEST(a_bomb_costs_no_more_than_the_limit)
{
	size_t size = 1 << 20;
	char *nothing = calloc(1, size);
	struct buf bomb = {0}, to = {0};
	z_stream stream = {0};

	ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	for (int i = 0; i < 100; i++) {
		stream.next_in = (Bytef *)nothing;
		stream.avail_in = (uInt)size;
		do {
			stream.next_out = (Bytef *)buf_reserve(&bomb, 4096);
			stream.avail_out = 4096;
			deflate(&stream, i == 99 ? Z_SYNC_FLUSH : Z_NO_FLUSH);
			buf_added(&bomb, 4096 - stream.avail_out);
		} while (stream.avail_out == 0);
	}
	deflateEnd(&stream);
	free(nothing);
	ck_assert_uint_lt(buf_length(&bomb), 200000);
	for (size_t max = 0; max <= 100000; max = max * 7 + 1) {
		ck_assert_int_eq(ws_inflate(&to, buf_bytes(&bomb), buf_length(&bomb) - 4, max),
		    WS_INFLATE_TOO_LARGE);
		ck_assert_ptr_null(to.data);
	}
	ck_assert_int_eq(
	    ws_inflate(&to, buf_bytes(&bomb), buf_length(&bomb) - 4, 100 * size), WS_INFLATE_DONE);
	ck_assert_uint_eq(buf_length(&to), 100 * size);
	buf_free(&to);
	buf_free(&bomb);
}
END_TEST

/* Exactly as many as there may be, and one more. */
START_TEST(the_limit_is_exact)
{
	static const size_t lengths[] = {1, 100, 4095, 4096, 4097, 8191, 8192, 8193, 50000};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		size_t length = lengths[i];
		char *message = make_message(length, true);
		struct buf packed = {0}, to = {0};
		z_stream stream = {0};

		ck_assert_int_eq(
		    deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
		stream.next_in = (Bytef *)message;
		stream.avail_in = (uInt)length;
		stream.next_out = (Bytef *)buf_reserve(&packed, length + 100);
		stream.avail_out = (uInt)length + 100;
		deflate(&stream, Z_SYNC_FLUSH);
		buf_added(&packed, length + 100 - stream.avail_out - 4);
		deflateEnd(&stream);
		ck_assert_int_eq(
		    ws_inflate(&to, buf_bytes(&packed), buf_length(&packed), length - 1),
		    WS_INFLATE_TOO_LARGE);
		ck_assert_int_eq(ws_inflate(&to, buf_bytes(&packed), buf_length(&packed), length),
		    WS_INFLATE_DONE);
		ck_assert_uint_eq(buf_length(&to), length);
		buf_free(&to);
		buf_free(&packed);
		free(message);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ws_deflate");
	TCase *tc = tcase_create("ws_deflate");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_examples_of_the_standard);
	tcase_add_test(tc, what_is_no_packed_message);
	tcase_add_test(tc, both_ways);
	tcase_add_test(tc, a_small_window_is_kept_to);
	tcase_add_test(tc, a_bomb_costs_no_more_than_the_limit);
	tcase_add_test(tc, the_limit_is_exact);
	suite_add_tcase(suite, tc);
	return help_run(suite);
}
