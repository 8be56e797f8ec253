/*
 * Who a request is for: paths and hosts by themselves, and services that share an address, as a
 * configuration has them.
 */
#include "tests/unit/conf_help.h"
#include "tests/unit/run_help.h"
#include "tests/unit/seat.h"
#include "workers/conn.h"
#include "workers/http.h"
#include "workers/route.h"

#include <unistd.h>

/* ---- paths ---- */

static const struct {
	const char *path, *prefix;
	bool is_below;
} paths[] = {
    {"/", "/", true},
    {"/a", "/", true},
    {"", "/", true},
    {"", "/a", false},
    {"/a", "/a", true},
    {"/a/", "/a", true},
    {"/a/b", "/a", true},
    {"/ab", "/a", false},
    {"/a", "/ab", false},
    {"/a", "/a/", false},
    {"/a/", "/a/", true},
    {"/a/b", "/a/", true},
    {"/%61", "/a", true},
    {"/%61/b", "/a", true},
    {"/%6", "/a", false},
    {"/%6x", "/a", false},
    {"/%41", "/a", false},
    {"/a%2fb", "/a", false},
    {"/a%2Fb", "/a/b", true},
    {"/A", "/a", false},
    {"//a", "/a", false},
    {"/a/../b", "/b", false},
    {"*", "/", false},
};

START_TEST(a_path_is_below_a_prefix)
{
	const char *path = paths[_i].path;

	ck_assert_msg(route_is_below(path, strlen(path), paths[_i].prefix) == paths[_i].is_below,
	    "%s below %s", path, paths[_i].prefix);
	/* What stands behind it does not count. */
	if (paths[_i].is_below)
		ck_assert(route_is_below("/abcdef", 2, "/a"));
}
END_TEST

/* ---- hosts ---- */

static const struct {
	const char *host, *hosts;
	unsigned rank; /* 1 any, 2 below, 3 exactly */
} hosts[] = {
    {"a.example", NULL, 1},
    {"", NULL, 1},
    {"", "a.example", 0},
    {"a.example", "a.example", 3},
    {"A.Example:80", "a.exAMPLE", 3},
    {"a.example.", "a.example", 3},
    {"a.example.:80", "a.example", 3},
    {"b.a.example", "a.example", 0},
    {"aa.example", "a.example", 0},
    {"b.a.example", "*.a.example", 2},
    {"c.b.a.example", "*.a.example", 2},
    {"a.example", "*.a.example", 0},
    {"ba.example", "*.a.example", 0},
    {"a.example", "b.example, a.example", 3},
    {"b.a.example", "*.a.example b.a.example", 3},
    {"[::1]:80", "[::1]", 3},
    {"[::1]", "[::1]", 3},
    {"[::1", "[::1]", 0},
    {"127.0.0.1:8080", "127.0.0.1", 3},
    {":80", "a.example", 0},
};

START_TEST(a_host_fits_a_list)
{
	unsigned rank = route_host_rank(hosts[_i].host, strlen(hosts[_i].host), hosts[_i].hosts);

	rank = rank >= 1000 ? 3 : rank >= 2 ? 2 : rank;
	ck_assert_msg(
	    rank == hosts[_i].rank, "%s in %s: %u", hosts[_i].host, hosts[_i].hosts, rank);
}
END_TEST

START_TEST(the_longer_of_two_wildcards_wins)
{
	const char *host = "c.b.a.example";

	ck_assert_uint_gt(route_host_rank(host, strlen(host), "*.b.a.example"),
	    route_host_rank(host, strlen(host), "*.a.example"));
}
END_TEST

/* ---- services ---- */

#define SHARED "listen = 127.0.0.1:7\nprotocol = http\nhandler = echo\n"
static const char shared[] =
    "[service front]\n" SHARED "[service api]\n" SHARED "path = /api\nmax_message = 1K\n"
    "[service deep]\n" SHARED "path = /api/deep/\n"
    "[service named]\n" SHARED "host = x.example *.y.example\npath = /api\nmax_message = 128K\n"
    "[service elsewhere]\nlisten = 127.0.0.1:8\nprotocol = http\nhandler = echo\npath = /only\n";

static const struct {
	unsigned listener;
	const char *target, *host, *service; /* NULL: 404 */
} requests[] = {
    {0, "/", "h", "front"},
    {0, "/other?x=/api", "h", "front"},
    {0, "/api", "h", "api"},
    {0, "/api?q", "h", "api"},
    {0, "/api/x", "h", "api"},
    {0, "/apix", "h", "front"},
    {0, "/api/deep", "h", "api"},
    {0, "/api/deep/", "h", "deep"},
    {0, "/api/deep/er", "h", "deep"},
    {0, "/api/deep/er", "x.example", "named"},
    {0, "/api", "a.y.example:7", "named"},
    {0, "/", "x.example", "front"},
    {0, "http://x.example/api", "h", "named"},
    {0, "http://h", "x.example", "front"},
    {4, "/only", "h", "elsewhere"},
    {4, "/", "h", NULL},
    {4, "/api", "h", NULL},
};

static struct seat seat;

static void
ask(unsigned i)
{
	static const struct http_limits limits = {.target = 1000, .head = 1000, .body = 1000};
	const char *expected = requests[i].service;
	struct http_request request;
	struct service *service;
	struct conn *conn;
	unsigned status = 0;
	char text[256];
	int client;

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", requests[i].target,
	    requests[i].host);
	http_open(&request, &limits);
	ck_assert_int_eq(http_feed(&request, text, strlen(text)), HTTP_HAS_HEAD);
	conn = seat_connect(&seat, requests[i].listener, &client);
	service = route_find(conn, &request, text, &status);
	ck_assert_msg((service == NULL) == (expected == NULL), "%s", text);
	ck_assert_uint_eq(status, service == NULL ? 404 : 0);
	if (service != NULL)
		ck_assert_msg(strcmp(service->conf->name, expected) == 0, "%s%s in place of %s",
		    text, service->conf->name, expected);
	conn_close(conn, "asked");
	close(client);
	http_close(&request);
}

START_TEST(a_request_finds_its_service)
{
	seat_open(&seat, shared, BACKEND_EPOLL, NULL);
	ck_assert_uint_eq(seat_worker(&seat)->routes[0].count, 4);
	ck_assert_uint_eq(seat_worker(&seat)->routes[4].count, 1);
	ck_assert_uint_eq(seat_worker(&seat)->routes[0].max_message, 128 * 1024);
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		ask(i);
	conn_free_closed(seat_worker(&seat));
	seat_close(&seat);
}
END_TEST

/* ---- addresses ---- */

#define SERVICE(name, port) "[service " name "]\nlisten=127.0.0.1:" port "\nhandler=echo\nprotocol="

static const struct {
	const char *text;
	unsigned front; /* of the last service */
} fronts[] = {
    {SERVICE("a", "7") "http\n" SERVICE("b", "7") "http\npath=/b\n", 0},
    {SERVICE("a", "7") "http\nhost=a\n" SERVICE("b", "7") "http\nhost=b\n", 0},
    {SERVICE("a", "7") "http\nhost=a\n" SERVICE("b", "7") "http\n", 0},
    {SERVICE("a", "8") "http\n" SERVICE("b", "7") "http\npath=/b\n", 1},
    /* The kernel chooses two ports for two who could not be told apart. */
    {SERVICE("a", "0") "http\n" SERVICE("b", "0") "http\n", 1},
    {SERVICE("a", "0") "http\n" SERVICE("b", "0") "http\npath=/b\n", 0},
    {SERVICE("a", "0") "http\n" SERVICE("b", "0") "http\n" SERVICE("c", "0") "http\npath=/c\n", 0},
    {SERVICE("a", "0") "line\n" SERVICE("b", "0") "http\npath=/b\n", 1},
};

START_TEST(services_share_an_address)
{
	struct conf *conf = help_good(fronts[_i].text);

	ck_assert_uint_eq(conf_front(conf, conf->service_count - 1, 0), fronts[_i].front);
	conf_free(conf);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("route");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, a_path_is_below_a_prefix, 0, sizeof(paths) / sizeof(paths[0]));
	tcase_add_loop_test(tcase, a_host_fits_a_list, 0, sizeof(hosts) / sizeof(hosts[0]));
	tcase_add_test(tcase, the_longer_of_two_wildcards_wins);
	tcase_add_test(tcase, a_request_finds_its_service);
	tcase_add_loop_test(
	    tcase, services_share_an_address, 0, sizeof(fronts) / sizeof(fronts[0]));
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
