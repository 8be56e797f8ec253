/*
 * Words: quoting, every way to get it wrong, and that joined words come apart into the same again.
 */
#include "common/words.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Splits `text` and compares with the words, which end with NULL. */
static void
check_words_split(const char *text, const char *const *expected)
{
	char why[256] = "";
	char **words = words_split(text, why, sizeof(why));
	unsigned i = 0;

	ck_assert_msg(words != NULL, "<%s>: %s", text, why);
	for (; expected[i] != NULL; i++) {
		ck_assert_msg(words[i] != NULL, "<%s>: only %u words", text, i);
		ck_assert_str_eq(words[i], expected[i]);
	}
	ck_assert_msg(words[i] == NULL, "<%s>: one word more: <%s>", text, words[i]);
	words_free(words);
}

#define CHECK_SPLIT(text, ...) check_words_split(text, (const char *const[]){__VA_ARGS__, NULL})

static void
check_words_refused(const char *text, const char *part)
{
	char why[256] = "";
	char **words = words_split(text, why, sizeof(why));

	ck_assert_msg(words == NULL, "<%s> was taken", text);
	ck_assert_msg(strstr(why, part) != NULL, "<%s>: %s", text, why);
}

START_TEST(test_plain)
{
	const char *const none[] = {NULL};

	CHECK_SPLIT("python3 upper.py", "python3", "upper.py");
	CHECK_SPLIT(" \t a \r\n b\v\fc ", "a", "b", "c");
	CHECK_SPLIT("a#b c;d $HOME * `x` a|b", "a#b", "c;d", "$HOME", "*", "`x`", "a|b");
	check_words_split("", none);
	check_words_split(" \t ", none);
}
END_TEST

START_TEST(test_quotes)
{
	CHECK_SPLIT("'a  b' \"c  d\"", "a  b", "c  d");
	CHECK_SPLIT("a'b c'd\"e f\"g", "ab cde fg");
	CHECK_SPLIT("'' \"\" x", "", "", "x");
	CHECK_SPLIT("'a\"b\\n' \"it's\"", "a\"b\\n", "it's");
	CHECK_SPLIT("\"a\\\"b\\\\c\\;d\\n\\e\"", "a\"b\\c;d\\n\\e");
	CHECK_SPLIT("'#x' \"#y\" \\#z", "#x", "#y", "#z");
}
END_TEST

START_TEST(test_backslash)
{
	CHECK_SPLIT("a\\ b \\' \\\" \\\\ \\; \\x", "a b", "'", "\"", "\\", ";", "x");
	CHECK_SPLIT("a\\nb \\r\\t", "a\nb", "\r\t");
}
END_TEST

START_TEST(test_refused)
{
	check_words_refused("a 'b c", "a quote (') is never closed");
	check_words_refused("a \"b c\\\"", "a quote (\") is never closed");
	check_words_refused("a\"b", "a quote (\") is never closed");
	check_words_refused("a \\", "nothing follows the last backslash");
	check_words_refused("\"a\\", "never closed");
	check_words_refused("cat # the cat", "begins with #");
	check_words_refused("#", "begins with #");
}
END_TEST

static void
check_words_round(char *const *words)
{
	char *text = words_join(words);

	ck_assert_ptr_null(strchr(text, '\n'));
	ck_assert_ptr_null(strstr(text, " ;"));
	ck_assert_ptr_null(strstr(text, "\t;"));
	check_words_split(text, (const char *const *)words);
	free(text);
}

START_TEST(test_join)
{
	char *const none[] = {NULL};
	char *const words[] = {"sh", "-c", "a ; b", "\t;", ";", "", "#", "a#", "it's", "\"", "\\",
	    "\\n", "a\nb", "\n", " ", "\xc3\xa4 \x01", "end", NULL};
	char *text = words_join(none);

	ck_assert_str_eq(text, "");
	free(text);
	check_words_round(words);
}
END_TEST

/* Every text of up to four bytes from an alphabet of all that is special. */
START_TEST(test_join_all)
{
	static const char alphabet[] = "a \t\n'\"\\;#nrt";
	const unsigned letters = sizeof(alphabet) - 1;
	unsigned texts = 1;

	for (unsigned length = 0; length <= 4; length++, texts *= letters) {
		for (unsigned number = 0; number < texts; number++) {
			char word[5] = "";
			char *const words[] = {word, word, NULL};
			unsigned rest = number;

			for (unsigned i = 0; i < length; i++, rest /= letters)
				word[i] = alphabet[rest % letters];
			check_words_round(words);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("words");
	TCase *tcase = tcase_create("words");

	tcase_add_test(tcase, test_plain);
	tcase_add_test(tcase, test_quotes);
	tcase_add_test(tcase, test_backslash);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_join);
	tcase_add_test(tcase, test_join_all);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
