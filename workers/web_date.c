/* Writes and reads the times of HTTP, whatever the locale is. Owns nothing. */
#include "workers/web_date.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char web_days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char web_months[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

const char *
web_date_write(char text[WEB_DATE_MAX], time_t time)
{
	struct tm tm;

	gmtime_r(&time, &tm);
	if (tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
		time = 0; /* which nothing is older than */
		gmtime_r(&time, &tm);
	}
	snprintf(text, WEB_DATE_MAX, "%s, %02d %s %04d %02d:%02d:%02d GMT", web_days[tm.tm_wday],
	    tm.tm_mday, web_months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return text;
}

/* ---- reading ---- */

/* A space may stand for the first of two digits. */
static bool
web_date_digits(const char *text, size_t count, int *number)
{
	*number = 0;
	for (size_t i = 0; i < count; i++) {
		char c = text[i] == ' ' && i == 0 && count == 2 ? '0' : text[i];

		if (!isdigit((unsigned char)c))
			return false;
		*number = *number * 10 + (c - '0');
	}
	return true;
}

static bool
web_date_month(const char *text, int *month)
{
	for (*month = 0; *month < 12; ++*month)
		if (memcmp(text, web_months[*month], 3) == 0)
			return true;
	return false;
}

/* "08:49:37" */
static bool
web_date_clock(const char *text, struct tm *tm)
{
	return web_date_digits(text, 2, &tm->tm_hour) && text[2] == ':' &&
	       web_date_digits(text + 3, 2, &tm->tm_min) && text[5] == ':' &&
	       web_date_digits(text + 6, 2, &tm->tm_sec);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool
web_date_read_new(const char *text, struct tm *tm)
{
	return web_date_digits(text + 5, 2, &tm->tm_mday) && text[7] == ' ' &&
	       web_date_month(text + 8, &tm->tm_mon) && text[11] == ' ' &&
	       web_date_digits(text + 12, 4, &tm->tm_year) && text[16] == ' ' &&
	       web_date_clock(text + 17, tm) && memcmp(text + 25, " GMT", 4) == 0;
}

/* "06-Nov-94 08:49:37 GMT", behind the day; two digits of a year are the nearest, mostly. */
static bool
web_date_read_short(const char *text, struct tm *tm)
{
	if (!web_date_digits(text, 2, &tm->tm_mday) || text[2] != '-' ||
	    !web_date_month(text + 3, &tm->tm_mon) || text[6] != '-' ||
	    !web_date_digits(text + 7, 2, &tm->tm_year) || text[9] != ' ' ||
	    !web_date_clock(text + 10, tm) || memcmp(text + 18, " GMT", 4) != 0)
		return false;
	tm->tm_year += tm->tm_year < 70 ? 2000 : 1900;
	return true;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool
web_date_read_c(const char *text, struct tm *tm)
{
	return web_date_month(text + 4, &tm->tm_mon) && text[7] == ' ' &&
	       web_date_digits(text + 8, 2, &tm->tm_mday) && text[10] == ' ' &&
	       web_date_clock(text + 11, tm) && text[19] == ' ' &&
	       web_date_digits(text + 20, 4, &tm->tm_year);
}

bool
web_date_read(const char *text, size_t length, time_t *time)
{
	const char *comma = memchr(text, ',', length);
	size_t day = comma != NULL ? (size_t)(comma - text) : 0;
	struct tm tm = {0};
	bool is_good = false;
	int month;

	if (length == 29 && day == 3)
		is_good = text[4] == ' ' && web_date_read_new(text, &tm);
	else if (day >= 6 && length == day + 24)
		is_good = text[day + 1] == ' ' && web_date_read_short(text + day + 2, &tm);
	else if (length == 24 && day == 0)
		is_good = web_date_read_c(text, &tm);
	if (!is_good || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
	    tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	month = tm.tm_mon;
	*time = timegm(&tm);
	return tm.tm_mon == month; /* else there is no such day in it */
}
