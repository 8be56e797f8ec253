/* What a run tells: wrong replies while it goes on, the account at its end. */
#ifndef CTL_LOAD_REPORT_H
#define CTL_LOAD_REPORT_H

#include "common/clock.h"
#include "ctl/load_check.h"
#include "ctl/load_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct load_run;

/* Shows a wrong or duplicate reply on standard error; only the first few of a run. */
void load_report_reply(struct load_run *run, unsigned connection, enum load_found found,
    const struct load_wire_reply *reply);

/* Which percentiles are told. */
struct load_report_percentile {
	const char *label, *key;
	double percent;
};

#define LOAD_REPORT_PERCENTILES 4
extern const struct load_report_percentile load_report_percentiles[LOAD_REPORT_PERCENTILES];

/* Requests that have an outcome. */
uint64_t load_report_outcomes(const struct load_run *run);
/* Right replies a second, of measured requests. */
double load_report_rate(const struct load_run *run);
/* Nanoseconds until each place had tried to connect; 0: not all have. */
uint64_t load_report_opening(const struct load_run *run);
/* The part of one CPU that this program used. */
double load_report_cpu(const struct load_run *run);

void load_report_table(const struct load_run *run, FILE *out);
/* One JSON object and a newline. */
void load_report_json(const struct load_run *run, FILE *out);
/* Whether the outcomes add up to the requests. If not, the mistake is ours and no figure is true.
 */
bool load_report_adds_up(const struct load_run *run);
/* The exit status that goes with it: 0, 1 or 3. */
int load_report_status(const struct load_run *run);

/* "850 us", "1.24 ms", "2.50 s". Returns `text`. */
#define LOAD_REPORT_TIME 32 /* bytes of `text` */
const char *load_report_time(uint64_t nanoseconds, char text[LOAD_REPORT_TIME]);

#endif
