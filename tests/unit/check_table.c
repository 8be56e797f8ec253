/* Tables and texts of hostlerctl: widths, cutting, escaping, durations. */
#include "ctl/table.h"
#include "ctl/text.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the table prints, to be freed. */
static char *
printed(const struct table *table, unsigned width)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	table_print(table, out, width);
	fclose(out);
	return text;
}

static void
expect(const struct table *table, unsigned width, const char *expected)
{
	char *text = printed(table, width);

	ck_assert_str_eq(text, expected);
	free(text);
}

START_TEST(test_aligns_and_trims)
{
	struct table *table = table_new();

	table_column(table, "NAME", TABLE_LEFT);
	table_column(table, "N", TABLE_RIGHT);
	table_column(table, "WHY", TABLE_SHRINK);
	table_cell(table, "%s", "upper");
	table_cell(table, "%d", 12345);
	table_cell(table, "%s", "none");
	table_cell(table, "%s", "x");
	table_cell(table, "%d", 7);
	table_cell(table, "%s", "");
	expect(table, 80,
	    "NAME       N  WHY\n"
	    "upper  12345  none\n"
	    "x          7\n");
	table_free(table);
}
END_TEST

START_TEST(test_no_rows_and_half_a_row)
{
	struct table *table = table_new();

	expect(table, 80, "");
	table_column(table, "A", TABLE_LEFT);
	table_column(table, "B", TABLE_RIGHT);
	expect(table, 80, "A  B\n");
	table_cell(table, "only");
	expect(table, 80, "A     B\nonly\n");
	table_free(table);
}
END_TEST

/* The widest column that may shrink gives; short ones stay whole. */
START_TEST(test_cuts_the_widest)
{
	struct table *table = table_new();

	table_column(table, "SERVICE", TABLE_SHRINK);
	table_column(table, "PID", TABLE_RIGHT);
	table_column(table, "LAST EXIT", TABLE_SHRINK);
	table_cell(table, "short-name");
	table_cell(table, "1234567");
	table_cell(table, "exit status 1; last said: something long");
	expect(table, 40,
	    "SERVICE         PID  LAST EXIT\n"
	    "short-name  1234567  exit status 1; l...\n");
	expect(table, 61,
	    "SERVICE         PID  LAST EXIT\n"
	    "short-name  1234567  exit status 1; last said: something long\n");
	expect(table, 60,
	    "SERVICE         PID  LAST EXIT\n"
	    "short-name  1234567  exit status 1; last said: something ...\n");
	table_free(table);
}
END_TEST

START_TEST(test_cuts_what_may_not_shrink)
{
	struct table *table = table_new();

	table_column(table, "A", TABLE_LEFT);
	table_cell(table, "0123456789012345678901234567890123456789x");
	expect(table, 40, "A\n0123456789012345678901234567890123456...\n");
	table_free(table);
}
END_TEST

static size_t
longest_line(const char *text)
{
	size_t longest = 0;

	while (*text != '\0') {
		size_t length = strcspn(text, "\n");

		longest = length > longest ? length : longest;
		text += length + (text[length] == '\n');
	}
	return longest;
}

static unsigned
count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text != '\0'; text++)
		lines += *text == '\n';
	return lines;
}

/* Whatever the cells, no line is wider than told, and none is lost. */
START_TEST(test_always_fits)
{
	char cell[301];

	srandom(7);
	for (unsigned round = 0; round < 300; round++) {
		struct table *table = table_new();
		unsigned columns = 1 + (unsigned)random() % TABLE_COLUMNS_MAX;
		unsigned width = TABLE_WIDTH_MIN + (unsigned)random() % 120;
		char *text;

		for (unsigned i = 0; i < columns; i++)
			table_column(table, "TITLE", (enum table_kind)(random() % 3));
		for (unsigned i = 0; i < columns * 5; i++) {
			size_t length = (size_t)random() % (random() % 4 == 0 ? 301 : 12);

			memset(cell, 'x', length);
			cell[length] = '\0';
			table_cell(table, "%s", cell);
		}
		text = printed(table, width);
		ck_assert_uint_le(longest_line(text), width);
		ck_assert_uint_eq(count_lines(text), 6);
		free(text);
		table_free(table);
	}
}
END_TEST

/* A width that no terminal has is not believed. */
START_TEST(test_tiny_width)
{
	struct table *table = table_new();
	char *text;

	table_column(table, "TITLE", TABLE_SHRINK);
	for (unsigned i = 0; i < 100; i++)
		table_cell(table, "%0100u", i);
	for (unsigned width = 0; width < TABLE_WIDTH_MIN; width++) {
		text = printed(table, width);
		ck_assert_uint_eq(longest_line(text), TABLE_WIDTH_MIN);
		free(text);
	}
	table_free(table);
}
END_TEST

START_TEST(test_too_many_columns)
{
	struct table *table = table_new();
	char *text;

	for (unsigned i = 0; i < TABLE_COLUMNS_MAX + 3; i++)
		table_column(table, "C", TABLE_LEFT);
	text = printed(table, 80);
	ck_assert_uint_eq(strlen(text), TABLE_COLUMNS_MAX * 3 - 2 + 1);
	free(text);
	table_free(table);
}
END_TEST

START_TEST(test_cells_cannot_steer_the_terminal)
{
	struct table *table = table_new();

	table_column(table, "A", TABLE_LEFT);
	table_cell(table, "%s", "a\033[2Jb\nc\177\302\233d\tgr\303\274n");
	expect(table, 80, "A\na\\x1b[2Jb\\x0ac\\x7f\\xc2\\x9bd\\x09gr\\xc3\\xbcn\n");
	table_free(table);
}
END_TEST

START_TEST(test_clean_text)
{
	char *text = text_clean("/tmp/gr\303\274n\033[2J\n\302\233\377");

	ck_assert_str_eq(text, "/tmp/gr\303\274n\\x1b[2J\\x0a\\xc2\\x9b\\xff");
	free(text);
	text = text_clean("");
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

static const struct {
	double seconds;
	const char *text;
} durations[] = {
    {0, "0s"},
    {0.04, "0.1s"},
    {0.5, "0.5s"},
    {0.96, "0.9s"},
    {1, "1s"},
    {59.9, "59s"},
    {60, "1m 0s"},
    {123.4, "2m 3s"},
    {3599, "59m 59s"},
    {3600, "1h 0m"},
    {86399, "23h 59m"},
    {86400, "1d 0h"},
    {100 * 86400.0 + 7200, "100d 2h"},
    {1e300, "99999d 0h"},
    {-5, "0s"},
};

START_TEST(test_durations)
{
	char text[TEXT_DURATION_MAX];

	ck_assert_str_eq(text_duration(durations[_i].seconds, text), durations[_i].text);
}
END_TEST

START_TEST(test_width_without_terminal)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_uint_eq(table_terminal_width(fd), TABLE_WIDTH);
	ck_assert_uint_eq(table_terminal_width(-1), TABLE_WIDTH);
	close(fd);
}
END_TEST

/* Below the table, wrapped and whole, and clean as a cell is. */
START_TEST(test_notes)
{
	struct table *table = table_new();

	table_column(table, "NAME", TABLE_LEFT);
	table_cell(table, "%s", "upper");
	table_note(table, "upper %d ended: %s", 1, "exit status 1: sorry, there is no such file");
	table_note(table, "%s", "\x1b[2J");
	expect(table, 40,
	    "NAME\n"
	    "upper\n"
	    "  upper 1 ended: exit status 1: sorry,\n"
	    "  there is no such file\n"
	    "  \\x1b[2J\n");
	table_free(table);
}
END_TEST

static const struct {
	const char *text;
	unsigned indent, width;
	const char *expected;
} wraps[] = {
    {"", 0, 40, "\n"},
    {"one", 2, 40, "  one\n"},
    {"exactly twenty bytes", 0, 20, "exactly twenty bytes\n"},
    {"exactly twenty bytes and more", 0, 20, "exactly twenty bytes\nand more\n"},
    {"a-word-that-is-longer-than-the-line", 0, 20, "a-word-that-is-longe\nr-than-the-line\n"},
    {"and a-word-that-is-longer-than-it", 0, 20, "and\na-word-that-is-longe\nr-than-it\n"},
    {"two  spaces  go  where  it  breaks", 0, 20, "two  spaces  go\nwhere  it  breaks\n"},
    {"too narrow to be true, this one", 30, 10,
	"                              too narrow to be\n"
	"                              true, this one\n"},
};

START_TEST(test_wraps)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	text_wrap(out, wraps[_i].text, wraps[_i].indent, wraps[_i].width);
	fclose(out);
	ck_assert_str_eq(text, wraps[_i].expected);
	free(text);
}
END_TEST

static const struct {
	uint64_t bytes;
	const char *text;
} sizes[] = {{0, "0"}, {999, "999"}, {1000, "1.0K"}, {1536, "1.5K"}, {102297, "99.9K"},
    {102400, "100K"}, {1023487, "999K"}, {1023488, "1.0M"}, {11206656, "10.7M"},
    {UINT64_C(1) << 40, "1.0T"}, {UINT64_MAX, "16.0E"}};

START_TEST(test_sizes)
{
	char text[TEXT_SIZE_MAX];

	ck_assert_str_eq(text_size(sizes[_i].bytes, text), sizes[_i].text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("table");
	TCase *tables = tcase_create("table");
	TCase *texts = tcase_create("text");

	tcase_add_test(tables, test_aligns_and_trims);
	tcase_add_test(tables, test_no_rows_and_half_a_row);
	tcase_add_test(tables, test_cuts_the_widest);
	tcase_add_test(tables, test_cuts_what_may_not_shrink);
	tcase_add_test(tables, test_always_fits);
	tcase_add_test(tables, test_tiny_width);
	tcase_add_test(tables, test_too_many_columns);
	tcase_add_test(tables, test_cells_cannot_steer_the_terminal);
	tcase_add_test(tables, test_width_without_terminal);
	tcase_add_test(tables, test_notes);
	tcase_add_test(texts, test_clean_text);
	tcase_add_loop_test(texts, test_sizes, 0, (int)(sizeof(sizes) / sizeof(sizes[0])));
	tcase_add_loop_test(texts, test_wraps, 0, (int)(sizeof(wraps) / sizeof(wraps[0])));
	tcase_add_loop_test(
	    texts, test_durations, 0, (int)(sizeof(durations) / sizeof(durations[0])));
	suite_add_tcase(suite, tables);
	suite_add_tcase(suite, texts);
	return help_run(suite);
}
