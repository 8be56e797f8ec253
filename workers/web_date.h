/* Times as HTTP writes them (RFC 9110, 5.6.7), always of UTC. Pure. */
#ifndef WORKERS_WEB_DATE_H
#define WORKERS_WEB_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define WEB_DATE_MAX 32 /* bytes of one with its NUL */

/* "Sun, 06 Nov 1994 08:49:37 GMT". Returns `text`. */
const char *web_date_write(char text[WEB_DATE_MAX], time_t time);
/*
 * Reads that form and the two old ones, "Sunday, 06-Nov-94 08:49:37 GMT" and "Sun Nov  6 08:49:37
 * 1994". False for anything else, and for a time that there is not.
 */
bool web_date_read(const char *text, size_t length, time_t *time);

#endif
