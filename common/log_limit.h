/*
 * Repeated lines of our own: how many of a kind may be written in a second, and how the rest is
 * told. A kind is a format string of printf(3) together with the service that the line begins with.
 * Pure; the caller tells the time, of clock_now(). Shared by the files log*.c.
 */
#ifndef COMMON_LOG_LIMIT_H
#define COMMON_LOG_LIMIT_H

#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LIMIT_GRAVE    50   /* errors and warnings of one kind in a second */
#define LOG_LIMIT_INFO     2000 /* other lines: more than ever start or end in a second */
#define LOG_LIMIT_KINDS    128  /* that are told apart; the others share a limit */
#define LOG_LIMIT_TEXT_MAX 400  /* bytes of a notice with its NUL */

/* What is to be written in place of lines that were held back. */
struct log_limit_notice {
	enum log_level level;
	char text[LOG_LIMIT_TEXT_MAX];
	size_t length;
};

/*
 * Whether the line may be written now; if not it is counted, and a notice will tell of it. Debug
 * lines always may: who asks for them wants them all.
 */
bool log_limit_allows(
    const char *format, enum log_level level, const char *text, size_t length, uint64_t now);
/* Takes the notice of a kind whose second is over. False when there is none. */
bool log_limit_tell(uint64_t now, struct log_limit_notice *notice);
/* Forgets everything: what was held back is another process's to tell. */
void log_limit_forget(void);

#endif
