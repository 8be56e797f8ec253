/*
 * Allocation that does not fail. A process that has no memory left for a few bytes cannot serve
 * anybody; it ends with one plain line and is replaced. Owns nothing; never returns NULL.
 */
#include "common/mem.h"

#include "common/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *
mem_alloc(size_t count, size_t size)
{
	/* calloc(3) may answer NULL to a request for nothing, which is no failure. */
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (!memory)
		fatal("cannot allocate %zu x %zu bytes", count, size);
	return memory;
}

void *
mem_resize(void *old, size_t count, size_t size)
{
	void *memory;

	/* reallocarray(3) of nothing frees; we never do. */
	memory = reallocarray(old, count ? count : 1, size ? size : 1);
	if (!memory)
		fatal("cannot allocate %zu x %zu bytes", count, size);
	return memory;
}

void
mem_zero(void *memory, size_t size)
{
	memset(memory, 0, size);
}

char *
mem_strdup(const char *text)
{
	return mem_strndup(text, strlen(text));
}

char *
mem_strndup(const char *text, size_t length)
{
	size_t used = strnlen(text, length);
	char *copy = mem_alloc(used + 1, 1);

	memcpy(copy, text, used);
	return copy;
}

char *
mem_printf(const char *format, ...)
{
	char *text;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		fatal("cannot format a text");
	return text;
}
