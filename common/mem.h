/* Allocation that does not fail: out of memory is fatal, so that no caller needs a second path. */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>

/* Zeroed memory; the caller frees it with free(3). */
void *mem_alloc(size_t count, size_t size);
void *mem_resize(void *old, size_t count, size_t size);
/*
 * memset(3) to zero of some hundred bytes, for what is used again and again: where a compiler knows
 * the size it writes out a loop that is slower than the library's.
 */
void mem_zero(void *memory, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t length);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
