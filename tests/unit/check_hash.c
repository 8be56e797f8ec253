/* The sums that tell layouts and files apart: those of the published vectors, in any portions. */
#include "common/hash.h"
#include "tests/unit/run_help.h"

#include <check.h>

static const struct {
	const char *text;
	size_t length;
	uint64_t sum;
} vectors[] = {
    {"", 0, UINT64_C(0xcbf29ce484222325)},
    {"a", 1, UINT64_C(0xaf63dc4c8601ec8c)},
    {"foobar", 6, UINT64_C(0x85944171f73967e8)},
};

START_TEST(it_is_fnv_1a)
{
	uint64_t sum = HASH_START;

	ck_assert_uint_eq(
	    hash_bytes(HASH_START, vectors[_i].text, vectors[_i].length), vectors[_i].sum);
	for (size_t i = 0; i < vectors[_i].length; i++)
		sum = hash_bytes(sum, vectors[_i].text + i, 1);
	ck_assert_uint_eq(sum, vectors[_i].sum);
}
END_TEST

START_TEST(a_number_is_eight_bytes)
{
	ck_assert_uint_eq(hash_number(HASH_START, UINT64_C(0x6867666564636261)),
	    hash_bytes(HASH_START, "abcdefgh", 8));
	ck_assert_uint_ne(hash_number(HASH_START, 1), hash_number(HASH_START, 2));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hash");
	TCase *tcase = tcase_create("hash");

	tcase_add_loop_test(tcase, it_is_fnv_1a, 0, sizeof(vectors) / sizeof(vectors[0]));
	tcase_add_test(tcase, a_number_is_eight_bytes);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
