/*
 * A plain text table that fits the terminal: every column as wide as its widest cell, columns that
 * may shrink cut with "..." where the line would be too long, and no line longer than the width.
 *
 * Cells are printable ASCII afterwards (see text_columns()), so a byte is a column.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdio.h>

#define TABLE_COLUMNS_MAX 16
#define TABLE_WIDTH       80 /* where there is no terminal */
#define TABLE_WIDTH_MIN   40 /* a terminal that says less is not believed */

enum table_kind {
	TABLE_LEFT,  /* text */
	TABLE_RIGHT, /* numbers */
	TABLE_SHRINK /* text that may be cut first */
};

struct table;

struct table_column {
	const char *title; /* borrows */
	enum table_kind kind;
};

struct table *table_new(void);
/* All columns come before the first cell. `title` is borrowed. */
void table_column(struct table *table, const char *title, enum table_kind kind);
/* All of `columns`, of which the last has no title. */
void table_columns(struct table *table, const struct table_column *columns);
/* The next cell, row by row. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A sentence that is printed below the table, wrapped to its width and never cut. */
void table_note(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A last row that is not complete is printed with empty cells. Never writes a space at an end. */
void table_print(const struct table *table, FILE *out, unsigned width);
void table_free(struct table *table);

/* How many columns the terminal behind `fd` has; TABLE_WIDTH where it is none. */
unsigned table_terminal_width(int fd);

#endif
