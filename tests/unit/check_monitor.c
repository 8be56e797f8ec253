/*
 * What a worker tells of the daemon: counters and pools that are made by hand, read and told as
 * metrics, as JSON and as a page.
 */
#include "workers/monitor.h"

#include "common/clock.h"
#include "ipc/pool.h"
#include "tests/unit/conf_help.h"
#include "tests/unit/run_help.h"
#include "workers/worker.h"

#include <jansson.h>

#define WORKERS 3
#define MS      CLOCK_MS

static const char text[] = "[service a]\nlisten=127.0.0.1:0\nprotocol=line\nhandler=program\n"
			   "command=sh\nqueue=2\ninstances=3\nmax_connections=5\n"
			   "[service b]\nlisten=127.0.0.1:0\nprotocol=http\nhandler=status\n";

static struct conf *conf;
static struct stats *stats[2], *sum;
static struct pool *pools[2];
static struct worker_start start;
static struct monitor monitor;

static void
nobody(void *arg)
{
	(void)arg;
}

static void
nobody_wakes(void *arg, unsigned worker)
{
	(void)arg;
	(void)worker;
}

static void
open_all(void)
{
	static const struct pool_hooks hooks = {
	    .wake = nobody_wakes, .wake_master = nobody, .stuck = nobody, .damaged = nobody};
	struct pool_shape shape = {
	    .slots = 4, .queue = 2, .batch = 1, .workers = WORKERS, .lease_time = CLOCK_SECOND};
	struct conf_errors errors;

	conf = help_parse(text, &errors);
	conf_errors_print(&errors, stderr);
	conf_errors_free(&errors);
	ck_assert_ptr_nonnull(conf);
	stats[0] = stats_new(WORKERS);
	stats[1] = stats_new(WORKERS);
	sum = stats_new(WORKERS);
	pools[0] = pool_new(&shape);
	ck_assert_ptr_nonnull(pools[0]);
	pool_attach(pools[0], 0, &hooks);
	start = (struct worker_start){
	    .conf = conf, .max_connections = 9, .pools = pools, .stats = stats, .sum = sum};
}

static void
close_all(void)
{
	monitor_close(&monitor);
	pool_free(pools[0]);
	stats_free(stats[0]);
	stats_free(stats[1]);
	stats_free(sum);
	conf_free(conf);
}

static const struct monitor_service *
look(bool stopping)
{
	monitor_close(&monitor);
	monitor_read(&monitor, &start, stopping);
	return &monitor.services[0];
}

static void
offer(unsigned slot)
{
	pool_offer(pools[0], slot, 1);
	pool_look(pools[0], 1);
}

static void
enter(void)
{
	struct pool_ticket ticket;
	struct pool_grant grant;

	(void)pool_enter(pools[0], 1, &ticket, &grant);
}

static void
ended(unsigned worker, enum counter outcome, uint64_t queue, uint64_t run)
{
	const uint64_t spans[STATS_SPANS] = {
	    [STATS_queue] = queue, [STATS_run] = run, [STATS_whole] = queue + run};

	stats_count(stats_row(stats[0], worker), COUNTER_requests);
	stats_record(stats_row(stats[0], worker), stats_times(stats[0], worker), outcome, spans);
}

/* ---- reading ---- */

START_TEST(counts_of_all_workers)
{
	const struct monitor_service *a;

	for (unsigned worker = 0; worker < WORKERS; worker++) {
		ended(worker, COUNTER_replies, 1, 2);
		stats_count(stats_row(stats[0], worker), COUNTER_accepted);
		atomic_store(&stats_row(stats[0], worker)->open, worker + 1);
	}
	ended(1, COUNTER_timeout, 1, 2);
	stats_count(stats_row(stats[0], 2), COUNTER_requests);
	atomic_store(&stats_row(sum, 0)->open, 7);
	stats_set_serving(sum, 2);
	a = look(false);
	ck_assert_uint_eq(monitor.service_count, 2);
	ck_assert_uint_eq(monitor.workers, 2);
	ck_assert_uint_eq(monitor.connections, 7);
	ck_assert_uint_eq(monitor.max_connections, 9);
	ck_assert_uint_ge(monitor.time, monitor.began);
	ck_assert_uint_gt(monitor.began, 0);
	ck_assert_uint_gt(monitor.began_date, UINT64_C(1600000000) * CLOCK_SECOND);
	ck_assert_uint_eq(a->counters[COUNTER_requests], 5);
	ck_assert_uint_eq(a->counters[COUNTER_replies], 3);
	ck_assert_uint_eq(a->counters[COUNTER_timeout], 1);
	ck_assert_uint_eq(a->counters[COUNTER_accepted], 3);
	ck_assert_uint_eq(a->connections, 6);
	ck_assert_uint_eq(a->under_way, 1);
	ck_assert(a->has_instances && !monitor.services[1].has_instances);
	ck_assert_ptr_eq(monitor_find(&monitor, "b?", 1), &monitor.services[1]);
	ck_assert_ptr_null(monitor_find(&monitor, "b?", 2));
	ck_assert_ptr_null(monitor_find(&monitor, "a", 0));
}
END_TEST

START_TEST(instances_and_readiness)
{
	const struct monitor_service *a = look(false);

	ck_assert_str_eq(a->state, "starting");
	ck_assert_int_eq(a->verdict, MONITOR_NO_INSTANCE);
	ck_assert_int_eq(monitor.services[1].verdict, MONITOR_READY);
	ck_assert_int_eq(monitor.verdict, MONITOR_NO_INSTANCE);
	stats_set_staff(stats[0], STAFF_looping, 1);
	ck_assert_str_eq(look(false)->state, "backing off");
	stats_set_staff(stats[0], STAFF_looping, 0);

	offer(0);
	offer(2);
	a = look(false);
	ck_assert_str_eq(a->state, "ready");
	ck_assert_uint_eq(a->idle, 2);
	ck_assert_int_eq(monitor.verdict, MONITOR_READY);
	for (unsigned i = 0; i < 3; i++)
		enter();
	a = look(false); /* all are busy and one waits: there is room for one more */
	ck_assert_uint_eq(a->busy, 2);
	ck_assert_uint_eq(a->idle, 0);
	ck_assert_uint_eq(a->waiting, 1);
	ck_assert_int_eq(a->verdict, MONITOR_READY);
	enter();
	ck_assert_int_eq(look(false)->verdict, MONITOR_LINE_IS_FULL);
	ck_assert_int_eq(look(true)->verdict, MONITOR_STOPPING);
	ck_assert_int_eq(monitor.services[1].verdict, MONITOR_STOPPING);
}
END_TEST

START_TEST(connections_and_readiness)
{
	offer(0);
	atomic_store(&stats_row(stats[0], 1)->open, 4);
	ck_assert_int_eq(look(false)->verdict, MONITOR_READY);
	atomic_store(&stats_row(stats[0], 1)->open, 5);
	ck_assert_int_eq(look(false)->verdict, MONITOR_CONNECTIONS);
	ck_assert_int_eq(monitor.services[1].verdict, MONITOR_READY);
	ck_assert_int_eq(monitor.verdict, MONITOR_CONNECTIONS);
	atomic_store(&stats_row(sum, 1)->open, 9);
	(void)look(false);
	ck_assert_int_eq(monitor.services[1].verdict, MONITOR_ALL_CONNECTIONS);
}
END_TEST

/* ---- metrics ---- */

static char *
metrics(void)
{
	struct buf out = {0};
	char *copy;

	(void)look(false);
	monitor_write_metrics(&out, &monitor);
	buf_append(&out, "", 1);
	copy = strdup(buf_bytes(&out));
	ck_assert_ptr_nonnull(copy);
	buf_free(&out);
	return copy;
}

static void
has_line(const char *told, const char *line)
{
	const char *at = strstr(told, line);

	ck_assert_msg(at != NULL && (at == told || at[-1] == '\n') && at[strlen(line)] == '\n',
	    "no line %s in:\n%s", line, told);
}

START_TEST(metrics_of_everything)
{
	char *told;

	offer(1);
	enter();
	stats_set_staff(stats[0], STAFF_wanted, 3);
	stats_set_staff(stats[0], STAFF_starting, 2);
	for (int i = 0; i < 4; i++)
		stats_count_staff(stats[0], STAFF_failures);
	ended(0, COUNTER_replies, 0, 3 * MS);
	ended(1, COUNTER_replies, 70 * 1000 * MS, 40 * MS);
	ended(1, COUNTER_busy, 0, 0);
	stats_add(&stats_row(stats[0], 2)->counters[COUNTER_lost], 6);
	told = metrics();
	has_line(told, "hostler_build_info{version=\"" PACKAGE_VERSION "\"} 1");
	has_line(told, "hostler_ready 1");
	has_line(
	    told, "hostler_service_info{service=\"a\",protocol=\"line\",handler=\"program\"} 1");
	has_line(told, "hostler_max_connections{service=\"a\"} 5");
	has_line(told, "# TYPE hostler_instances gauge");
	has_line(told, "hostler_instances{service=\"a\",state=\"busy\"} 1");
	has_line(told, "hostler_instances{service=\"a\",state=\"idle\"} 0");
	has_line(told, "hostler_instances{service=\"a\",state=\"starting\"} 2");
	has_line(told, "hostler_instances_wanted{service=\"a\"} 3");
	has_line(told, "hostler_instance_failures_total{service=\"a\"} 4");
	has_line(told, "# TYPE hostler_requests_total counter");
	has_line(told, "hostler_requests_total{service=\"a\"} 3");
	has_line(told, "hostler_outcomes_total{service=\"a\",outcome=\"replies\"} 2");
	has_line(told, "hostler_outcomes_total{service=\"a\",outcome=\"lost\"} 6");
	has_line(told, "hostler_outcomes_total{service=\"b\",outcome=\"failed\"} 0");
	has_line(told, "# TYPE hostler_whole_seconds histogram");
#define RUN(le) "hostler_run_seconds_bucket{service=\"a\",outcome=\"replies\",le=\"" le "\"} "
	has_line(told, RUN("0.0025") "0");
	has_line(told, RUN("0.005") "1");
	has_line(told, RUN("0.025") "1");
	has_line(told, RUN("0.05") "2");
	has_line(told, RUN("+Inf") "2");
	has_line(told, "hostler_run_seconds_sum{service=\"a\",outcome=\"replies\"} 0.043000000");
	has_line(told, "hostler_run_seconds_count{service=\"a\",outcome=\"replies\"} 2");
#define QUEUE(le) "hostler_queue_seconds_bucket{service=\"a\",outcome=\"replies\",le=\"" le "\"} "
	has_line(told, QUEUE("0.0001") "1");
	has_line(told, QUEUE("60") "1");
	has_line(told, QUEUE("+Inf") "2");
	has_line(told, "hostler_queue_seconds_sum{service=\"a\",outcome=\"replies\"} 70.000000000");
	ck_assert_ptr_null(strstr(told, "hostler_waiting{service=\"b\"}"));
	ck_assert_ptr_null(strstr(told, "outcome=\"failed\",le"));
	free(told);
}
END_TEST

/* Each bound takes in what is no more than it, but for what our own buckets cannot tell apart. */
START_TEST(bounds_of_metrics)
{
	static const struct {
		uint64_t time;
		const char *within, *beyond;
	} cases[] = {
	    {98 * 1000, "0.0001", NULL},
	    {102 * 1000, "0.00025", "0.0001"},
	    {980 * 1000, "0.001", "0.0005"},
	    {1020 * 1000, "0.0025", "0.001"},
	    {980 * MS, "1", "0.5"},
	    {1020 * MS, "2.5", "1"},
	    {59 * 1000 * MS, "60", "30"},
	    {61 * 1000 * MS, "+Inf", "60"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[200], *told;

		open_all();
		ended(0, COUNTER_replies, 0, cases[i].time);
		told = metrics();
		snprintf(line, sizeof(line), RUN("%s") "1", cases[i].within);
		has_line(told, line);
		if (cases[i].beyond != NULL) {
			snprintf(line, sizeof(line), RUN("%s") "0", cases[i].beyond);
			has_line(told, line);
		}
		free(told);
		close_all();
	}
}
END_TEST

/* ---- JSON ---- */

static json_t *
parsed(void)
{
	struct buf out = {0};
	json_error_t error;
	json_t *object;

	(void)look(false);
	monitor_write_json(&out, &monitor);
	object = json_loadb(buf_bytes(&out), buf_length(&out), JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(object != NULL, "%s at %d", error.text, error.position);
	buf_free(&out);
	return object;
}

static json_int_t
number(json_t *object, const char *key)
{
	ck_assert_msg(json_is_integer(json_object_get(object, key)), "no number %s", key);
	return json_integer_value(json_object_get(object, key));
}

START_TEST(json_of_everything)
{
	json_t *all, *a, *replies, *whole, *pair;

	offer(0);
	ended(0, COUNTER_replies, MS, 3 * MS);
	ended(2, COUNTER_replies, 0, 500 * MS);
	ended(2, COUNTER_bad, 0, 0);
	all = parsed();
	ck_assert_str_eq(json_string_value(json_object_get(all, "state")), "running");
	ck_assert(json_is_true(json_object_get(all, "ready")));
	ck_assert_int_ge(number(all, "time"), number(all, "started"));
	a = json_array_get(json_object_get(all, "services"), 0);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		ck_assert_int_eq(
		    number(json_object_get(a, "counters"), stats_counter_name((enum counter)i)),
		    i == COUNTER_requests  ? 3
		    : i == COUNTER_replies ? 2
		    : i == COUNTER_bad     ? 1
					   : 0);
	ck_assert_int_eq(
	    number(json_object_get(json_object_get(a, "now"), "instances"), "idle"), 1);
	ck_assert_int_eq(json_array_size(json_object_get(a, "outcomes")), 2);
	replies = json_array_get(json_object_get(a, "outcomes"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(replies, "outcome")), "replies");
	whole = json_object_get(replies, "whole");
	ck_assert_int_eq(number(whole, "sum"), 504 * (json_int_t)MS);
	ck_assert_int_eq(number(whole, "max"), 500 * (json_int_t)MS);
	ck_assert_int_eq(json_array_size(json_object_get(whole, "buckets")), 2);
	pair = json_array_get(json_object_get(whole, "buckets"), 0);
	ck_assert_int_gt(json_integer_value(json_array_get(pair, 0)), 4 * (json_int_t)MS);
	ck_assert_int_lt(json_integer_value(json_array_get(pair, 0)), 5 * (json_int_t)MS);
	ck_assert_int_eq(json_integer_value(json_array_get(pair, 1)), 1);
	json_decref(all);
}
END_TEST

START_TEST(json_says_why)
{
	json_t *all = parsed();
	json_t *a = json_array_get(json_object_get(all, "services"), 0);

	ck_assert(json_is_false(json_object_get(all, "ready")));
	ck_assert(json_is_false(json_object_get(a, "ready")));
	ck_assert_str_eq(json_string_value(json_object_get(a, "why")),
	    monitor_verdict_text(MONITOR_NO_INSTANCE));
	json_decref(all);
}
END_TEST

/* ---- the page ---- */

static unsigned
occurrences(const char *in, const char *what)
{
	unsigned count = 0;

	while ((in = strstr(in, what)) != NULL) {
		in += strlen(what);
		count++;
	}
	return count;
}

START_TEST(page_of_everything)
{
	struct buf out = {0};
	const char *told;

	(void)look(false);
	monitor_write_page(&out, &monitor, "Nonce");
	buf_append(&out, "", 1);
	told = buf_bytes(&out);
	ck_assert_uint_eq(strlen(told) + 1, buf_length(&out));
	ck_assert_uint_eq(occurrences(told, " nonce=\"Nonce\""), 2);
	ck_assert_uint_eq(occurrences(told, "<style") + occurrences(told, "<script"), 2);
	ck_assert_uint_eq(occurrences(told, "{{") + occurrences(told, "}}"), 0);
	ck_assert_uint_eq(occurrences(told, "<tr><td>"), 2);
	ck_assert_ptr_nonnull(strstr(told, "<tr><td>a<td>line<td>program<td class=\"number\">0"));
	ck_assert_ptr_nonnull(strstr(told, "<td>starting: none of its instances can serve\n"));
	ck_assert_ptr_nonnull(strstr(told, ">not ready<"));
	ck_assert_ptr_nonnull(strstr(told, "<b id=\"connections\">0 of 9</b>"));
	/* Nothing is asked of anybody else, and no style or handler stands in an attribute. */
	ck_assert_ptr_null(strstr(told, " style="));
	ck_assert_ptr_null(strstr(told, " onclick="));
	ck_assert_uint_eq(occurrences(told, "://"), 1); /* the name of SVG */
	ck_assert_uint_eq(occurrences(told, "http://www.w3.org/2000/svg"), 1);
	buf_free(&out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("monitor");
	TCase *tcase = tcase_create("monitor"), *bounds = tcase_create("bounds");

	tcase_add_checked_fixture(tcase, open_all, close_all);
	tcase_add_test(tcase, counts_of_all_workers);
	tcase_add_test(tcase, instances_and_readiness);
	tcase_add_test(tcase, connections_and_readiness);
	tcase_add_test(tcase, metrics_of_everything);
	tcase_add_test(tcase, json_of_everything);
	tcase_add_test(tcase, json_says_why);
	tcase_add_test(tcase, page_of_everything);
	tcase_add_test(bounds, bounds_of_metrics);
	suite_add_tcase(suite, tcase);
	suite_add_tcase(suite, bounds);
	return help_run(suite);
}
