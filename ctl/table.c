/*
 * Lays out and prints tables. Owns the text of every cell from table_cell() to table_free(). Never
 * fails, and never prints a line that is wider than it was told.
 */
#include "ctl/table.h"

#include "common/mem.h"
#include "ctl/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define TABLE_GAP         2 /* spaces between columns */
#define TABLE_NOTE_INDENT 2
#define TABLE_DOTS        "..." /* stands for what was cut */
#define TABLE_SHRUNK_MIN  8     /* columns of text that a shrunk cell keeps */

struct table {
	struct table_column columns[TABLE_COLUMNS_MAX];
	unsigned column_count;
	char **cells; /* owns; row by row */
	size_t cell_count, cell_room;
	char **notes; /* owns */
	size_t note_count;
};

struct table *
table_new(void)
{
	return mem_alloc(1, sizeof(struct table));
}

void
table_column(struct table *table, const char *title, enum table_kind kind)
{
	struct table_column *column;

	if (table->column_count == TABLE_COLUMNS_MAX)
		return;
	column = &table->columns[table->column_count++];
	column->title = title;
	column->kind = kind;
}

void
table_columns(struct table *table, const struct table_column *columns)
{
	for (; columns->title != NULL; columns++)
		table_column(table, columns->title, columns->kind);
}

void
table_cell(struct table *table, const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (table->cell_count == table->cell_room) {
		table->cell_room = table->cell_room > 0 ? table->cell_room * 2 : 64;
		table->cells = mem_resize(table->cells, table->cell_room, sizeof(*table->cells));
	}
	table->cells[table->cell_count++] = text_columns(length >= 0 ? text : "?");
	if (length >= 0)
		free(text);
}

void
table_note(struct table *table, const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		return;
	table->notes = mem_resize(table->notes, table->note_count + 1, sizeof(*table->notes));
	table->notes[table->note_count++] = text_columns(text);
	free(text);
}

/* Every column as wide as its widest cell; returns the length of the longest possible line. */
static size_t
table_measure(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
	size_t total = 0;

	for (unsigned i = 0; i < table->column_count; i++)
		widths[i] = strlen(table->columns[i].title);
	for (size_t i = 0; i < table->cell_count; i++) {
		size_t length = strlen(table->cells[i]);

		if (length > widths[i % table->column_count])
			widths[i % table->column_count] = length;
	}
	for (unsigned i = 0; i < table->column_count; i++)
		total += widths[i] + (i > 0 ? TABLE_GAP : 0);
	return total;
}

/* The widest column that may lose something, or -1. */
static int
table_widest(const struct table *table, const size_t *widths)
{
	int widest = -1;

	for (unsigned i = 0; i < table->column_count; i++) {
		size_t least = strlen(table->columns[i].title);

		if (least < TABLE_SHRUNK_MIN)
			least = TABLE_SHRUNK_MIN;
		if (table->columns[i].kind != TABLE_SHRINK || widths[i] <= least)
			continue;
		if (widest == -1 || widths[i] > widths[widest])
			widest = (int)i;
	}
	return widest;
}

/* Takes from the widest columns first, so that short texts stay whole. */
static void
table_fit(const struct table *table, size_t *widths, size_t total, unsigned width)
{
	int widest;

	/* One very long cell is cut to size at once; the rest goes step by step. */
	for (unsigned i = 0; i < table->column_count; i++) {
		if (table->columns[i].kind == TABLE_SHRINK && widths[i] > width && total > width) {
			total -= widths[i] - width;
			widths[i] = width;
		}
	}
	while (total > width && (widest = table_widest(table, widths)) != -1) {
		widths[widest]--;
		total--;
	}
}

/* Appends `text` to the line, cut and padded to `width` columns. */
static char *
table_put(char *end, const char *text, size_t width, enum table_kind kind)
{
	size_t length = strlen(text);
	size_t dots = strlen(TABLE_DOTS);

	if (length > width) {
		memcpy(end, text, width - dots);
		memcpy(end + width - dots, TABLE_DOTS, dots);
		return end + width;
	}
	memset(end, ' ', width);
	memcpy(kind == TABLE_RIGHT ? end + width - length : end, text, length);
	return end + width;
}

static const char *
table_text(const struct table *table, size_t row, unsigned column)
{
	size_t index;

	if (row == 0)
		return table->columns[column].title;
	index = (row - 1) * table->column_count + column;
	return index < table->cell_count ? table->cells[index] : "";
}

/* Row 0 is the titles. `line` has room for all widths and gaps. */
static void
table_print_row(const struct table *table, size_t row, const size_t *widths, char *line, FILE *out,
    unsigned width)
{
	char *end = line;
	size_t length;

	for (unsigned i = 0; i < table->column_count; i++) {
		if (i > 0) {
			memset(end, ' ', TABLE_GAP);
			end += TABLE_GAP;
		}
		end = table_put(end, table_text(table, row, i), widths[i], table->columns[i].kind);
	}
	while (end > line && end[-1] == ' ')
		end--;
	length = (size_t)(end - line);
	if (length > width) {
		length = width;
		memcpy(line + width - strlen(TABLE_DOTS), TABLE_DOTS, strlen(TABLE_DOTS));
	}
	fprintf(out, "%.*s\n", (int)length, line);
}

void
table_print(const struct table *table, FILE *out, unsigned width)
{
	size_t widths[TABLE_COLUMNS_MAX];
	size_t total, rows;
	char *line;

	if (table->column_count == 0)
		return;
	if (width < TABLE_WIDTH_MIN)
		width = TABLE_WIDTH_MIN;
	total = table_measure(table, widths);
	rows = (table->cell_count + table->column_count - 1) / table->column_count;
	table_fit(table, widths, total, width);
	line = mem_alloc(total + 1, 1);
	for (size_t row = 0; row <= rows; row++)
		table_print_row(table, row, widths, line, out, width);
	free(line);
	for (size_t i = 0; i < table->note_count; i++)
		text_wrap(out, table->notes[i], TABLE_NOTE_INDENT, width);
}

void
table_free(struct table *table)
{
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i]);
	for (size_t i = 0; i < table->note_count; i++)
		free(table->notes[i]);
	free(table->notes);
	free(table->cells);
	free(table);
}

unsigned
table_terminal_width(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == -1 || size.ws_col < TABLE_WIDTH_MIN)
		return TABLE_WIDTH;
	return size.ws_col;
}
