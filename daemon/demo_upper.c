/*
 * The program of `hostlerd run` without a command: replies to each line with the line in upper
 * case. A model of every such program: read a line, write a line, flush.
 */
#include <stdio.h>

static int
upper(int c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

int
main(void)
{
	int c;

	while ((c = getchar()) != EOF) {
		putchar(upper(c));
		/* Standard output is a pipe: what is not flushed, nobody sees. */
		if (c == '\n' && fflush(stdout) != 0)
			return 1;
	}
	return fflush(stdout) != 0;
}
