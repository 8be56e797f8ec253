/*
 * The page: monitor.html with its {{words}} replaced. What it shows without a script is written
 * here; with one it asks for the figures by itself. Names of services need no escapes:
 * hostler.conf(5) says what they are made of.
 */
#include "workers/monitor.h"

#include "common/clock.h"
#include "common/log.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

struct monitor_page {
	struct buf *out;
	const struct monitor *monitor;
	const char *nonce;
};

static void
monitor_page_nonce(const struct monitor_page *page)
{
	monitor_print(page->out, "%s", page->nonce);
}

static void
monitor_page_mood(const struct monitor_page *page)
{
	monitor_print(page->out, "%s", page->monitor->verdict == MONITOR_READY ? "" : "bad");
}

static void
monitor_page_state(const struct monitor_page *page)
{
	enum monitor_verdict verdict = page->monitor->verdict;

	monitor_print(page->out, "%s",
	    verdict == MONITOR_READY      ? "ready"
	    : verdict == MONITOR_STOPPING ? "stopping"
					  : "not ready");
}

static void
monitor_page_version(const struct monitor_page *page)
{
	monitor_print(page->out, "%s", PACKAGE_VERSION);
}

static void
monitor_page_uptime(const struct monitor_page *page)
{
	monitor_print(
	    page->out, "%" PRIu64 "s", (page->monitor->time - page->monitor->began) / CLOCK_SECOND);
}

static void
monitor_page_workers(const struct monitor_page *page)
{
	monitor_print(page->out, "%" PRIu64, page->monitor->workers);
}

static void
monitor_page_connections(const struct monitor_page *page)
{
	monitor_print(page->out, "%" PRIu64 " of %" PRIu64, page->monitor->connections,
	    page->monitor->max_connections);
}

static void
monitor_page_number(const struct monitor_page *page, bool is_known, uint64_t number)
{
	if (is_known)
		monitor_print(page->out, "<td class=\"number\">%" PRIu64, number);
	else
		monitor_print(page->out, "<td class=\"number\">");
}

static void
monitor_page_row(const struct monitor_page *page, const struct monitor_service *service)
{
	const struct conf_service *conf = service->conf;
	bool has = service->has_instances, is_ready = service->verdict == MONITOR_READY;

	monitor_print(page->out, "<tr><td>%s<td>%s<td>%s", conf->name,
	    protocol_name(conf->protocol), handler_name(conf->handler));
	monitor_page_number(page, true, service->connections);
	monitor_page_number(page, has, service->waiting);
	monitor_page_number(page, has, service->busy);
	monitor_page_number(page, has, service->staff[STAFF_wanted]);
	monitor_page_number(page, true, service->counters[COUNTER_requests]);
	monitor_page_number(page, true, service->counters[COUNTER_replies]);
	monitor_page_number(page, true, service->under_way);
	monitor_print(page->out, "<td>%s%s%s\n", service->state, is_ready ? "" : ": ",
	    is_ready ? "" : monitor_verdict_text(service->verdict));
}

static void
monitor_page_rows(const struct monitor_page *page)
{
	for (unsigned i = 0; i < page->monitor->service_count; i++)
		monitor_page_row(page, &page->monitor->services[i]);
}

static const struct {
	const char *word;
	void (*write)(const struct monitor_page *page);
} monitor_page_words[] = {
    {"nonce", monitor_page_nonce},
    {"mood", monitor_page_mood},
    {"state", monitor_page_state},
    {"version", monitor_page_version},
    {"uptime", monitor_page_uptime},
    {"workers", monitor_page_workers},
    {"connections", monitor_page_connections},
    {"rows", monitor_page_rows},
};

static void
monitor_page_word(const struct monitor_page *page, const char *word, size_t length)
{
	for (size_t i = 0; i < sizeof(monitor_page_words) / sizeof(monitor_page_words[0]); i++)
		if (strlen(monitor_page_words[i].word) == length &&
		    memcmp(monitor_page_words[i].word, word, length) == 0) {
			monitor_page_words[i].write(page);
			return;
		}
	fatalx("monitor.html has a word that nobody knows");
}

void
monitor_write_page(struct buf *out, const struct monitor *monitor, const char *nonce)
{
	const struct monitor_page page = {out, monitor, nonce};
	const char *at = (const char *)monitor_html, *end = at + monitor_html_size;
	const char *open, *shut;

	while ((open = memmem(at, (size_t)(end - at), "{{", 2)) != NULL &&
	       (shut = memmem(open, (size_t)(end - open), "}}", 2)) != NULL) {
		buf_append(out, at, (size_t)(open - at));
		monitor_page_word(&page, open + 2, (size_t)(shut - open - 2));
		at = shut + 2;
	}
	buf_append(out, at, (size_t)(end - at));
}
