/*
 * What a worker can tell of the whole daemon without asking anybody: every worker's counters and
 * the words of every pool are in its memory too. Nothing is locked, so figures of one moment may
 * differ by a few.
 *
 * Words and figures are those of the control protocol's `status` and `stats`. No command, path,
 * address or process id is among them.
 */
#ifndef WORKERS_MONITOR_H
#define WORKERS_MONITOR_H

#include "common/buf.h"
#include "common/conf.h"
#include "common/stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker_start;

/* X(CONSTANT, "why no more requests should be sent just now") */
#define MONITOR_VERDICTS(X)                                                                        \
	X(READY, "ready")                                                                          \
	X(STOPPING, "hostlerd stops")                                                              \
	X(NO_INSTANCE, "none of its instances can serve")                                          \
	X(LINE_IS_FULL, "queue requests wait already")                                             \
	X(CONNECTIONS, "max_connections are open")                                                 \
	X(ALL_CONNECTIONS, "max_connections of all services are open")

enum monitor_verdict {
#define X(constant, text) MONITOR_##constant,
	MONITOR_VERDICTS(X)
#undef X
};

const char *monitor_verdict_text(enum monitor_verdict verdict);

struct monitor_service {
	const struct conf_service *conf; /* borrows */
	const struct stats *stats;       /* borrows; for its times */
	uint64_t counters[COUNTER_COUNT];
	uint64_t connections, under_way, waiting, violations;
	bool has_instances; /* else the rest has no meaning */
	uint64_t busy, idle;
	uint64_t staff[STAFF_COUNT];
	const char *state; /* "ready", "starting" or "backing off" */
	enum monitor_verdict verdict;
};

struct monitor {
	uint64_t time, began; /* clock_now(); began: when counting did */
	uint64_t began_date;  /* ns since 1970 */
	uint64_t workers;     /* that share the connections */
	uint64_t connections, max_connections;
	enum monitor_verdict verdict;     /* of the worst service */
	struct monitor_service *services; /* owns */
	unsigned service_count;
};

/* Looks around; `stopping` is whether this worker was told that the daemon ends. */
void monitor_read(struct monitor *monitor, const struct worker_start *start, bool stopping);
void monitor_close(struct monitor *monitor);
/* The service of that name, or NULL. */
const struct monitor_service *monitor_find(
    const struct monitor *monitor, const char *name, size_t length);

/* ---- told in one way or another; each appends to `out` ---- */

#define MONITOR_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The text format of Prometheus, 0.0.4. */
void monitor_write_metrics(struct buf *out, const struct monitor *monitor);
/* One JSON object, with a line end. */
void monitor_write_json(struct buf *out, const struct monitor *monitor);

#define MONITOR_NONCE_MAX 32

/*
 * The page, as HTML; `nonce` (letters and digits) is what its style and script must be allowed by.
 */
void monitor_write_page(struct buf *out, const struct monitor *monitor, const char *nonce);

/* ---- between its own files ---- */

/* Appends text; what is written at once is shorter than 1024 bytes. */
void monitor_print(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Made of monitor.html by the Makefile. */
extern const unsigned char monitor_html[];
extern const size_t monitor_html_size;

#endif
