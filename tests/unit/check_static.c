/* What handler static is made of: which paths open what, what a client wants, types and dates. */
#include "tests/unit/run_help.h"
#include "workers/http.h"
#include "workers/req_web.h"
#include "workers/static_open.h"
#include "workers/static_type.h"
#include "workers/static_want.h"
#include "workers/web_date.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANGED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define NOW     (CHANGED + 10)
#define TAG     "\"a-2ebc98a1.7-3e8\""

/* ---- paths ---- */

static char folder[32];

static void
put(const char *path)
{
	int fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* root/ is what may be seen; secret is beside it. */
static int
build(void)
{
	snprintf(folder, sizeof(folder), "/tmp/check-static-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	ck_assert_int_eq(mkdir("root", 0755) | mkdir("root/d", 0755), 0);
	put("secret");
	put("root/a");
	put("root/d/b");
	ck_assert_int_eq(symlink("../a", "root/d/inside"), 0);
	ck_assert_int_eq(symlink("../secret", "root/outside"), 0);
	ck_assert_int_eq(symlink("../..", "root/d/up"), 0);
	ck_assert_int_eq(symlink("/etc/passwd", "root/absolute"), 0);
	ck_assert_int_eq(symlink("/proc/self/root/etc/passwd", "root/magic"), 0);
	ck_assert_int_eq(symlink("loop", "root/loop"), 0);
	ck_assert_int_eq(mkfifo("root/fifo", 0644), 0);
	return open("root", O_PATH | O_CLOEXEC);
}

static void
clear(int root)
{
	char command[64];
	const char *const files[] = {
	    "a", "d/b", "d/inside", "d/up", "outside", "absolute", "magic", "loop", "fifo"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		ck_assert_int_eq(unlinkat(root, files[i], 0), 0);
	snprintf(command, sizeof(command), "%s/secret", folder);
	unlink(command);
	ck_assert_int_eq(rmdir("root/d") | rmdir("root") | chdir("/") | rmdir(folder), 0);
	close(root);
}

static bool
opens(int (*opener)(int, const char *), int root, const char *path)
{
	int fd = opener(root, path);

	if (fd < 0)
		ck_assert_uint_eq(static_open_status(errno), 404);
	else
		ck_assert((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

START_TEST(nothing_outside_is_opened)
{
	static const char *const good[] = {"a", "/a", "//a", "d/b", "/d//b", "", "/", "d", "fifo"};
	static const char *const bad[] = {"../secret", "d/../../secret", "/d/up/secret", "outside",
	    "absolute", "magic", "loop", "none", "a/b", "a/", "d/none"};
	int root = build();

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(opens(static_open, root, good[i]), "%s", good[i]);
		ck_assert_msg(opens(static_open_by_steps, root, good[i]), "%s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!opens(static_open, root, bad[i]), "%s", bad[i]);
	/* The others, with dots, are refused before: see below. */
	for (size_t i = 3; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!opens(static_open_by_steps, root, bad[i]), "%s", bad[i]);
	ck_assert(opens(static_open, root, "d/inside"));
	ck_assert_msg(!opens(static_open_by_steps, root, "d/inside"), "no link at all");
	ck_assert(!opens(static_open_by_steps, root, "d/up/secret"));
	clear(root);
}
END_TEST

START_TEST(a_long_name_is_none)
{
	char path[600] = "/d/";
	int root = build();

	memset(path + 3, 'x', 500);
	ck_assert(!opens(static_open, root, path));
	ck_assert(!opens(static_open_by_steps, root, path));
	path[1] = 'x';
	ck_assert(!opens(static_open_by_steps, root, path));
	clear(root);
}
END_TEST

START_TEST(some_paths_are_not_even_tried)
{
	static const char *const bad[] = {
	    "/..", "/../a", "/a/..", "/a/../b", "/.git/config", "/.", "/a/.b", "."};
	static const char *const good[] = {"", "/", "/a", "/a.b", "/a..b", "/a./b", "//a/"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!static_open_may(bad[i], strlen(bad[i])), "%s", bad[i]);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(static_open_may(good[i], strlen(good[i])), "%s", good[i]);
	ck_assert(!static_open_may("/a\0.txt", 7));
}
END_TEST

START_TEST(failures_have_a_status)
{
	ck_assert_uint_eq(static_open_status(EACCES), 403);
	ck_assert_uint_eq(static_open_status(EMFILE), 503);
	ck_assert_uint_eq(static_open_status(EIO), 500);
	ck_assert_uint_eq(static_open_status(EXDEV), 404);
}
END_TEST

/* ---- wants ---- */

static struct static_want
want(const char *method, const char *fields, uint64_t size)
{
	static const struct http_limits limits = {.target = 100, .head = 4096, .body = 0};
	struct stat st = {.st_ino = 10, .st_size = (off_t)size};
	struct http_request request;
	struct static_kept kept;
	struct static_want wanted;
	struct req_web web = {0};
	char text[1024];
	int length =
	    snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

	http_open(&request, &limits);
	ck_assert_int_eq(http_feed(&request, text, (size_t)length), HTTP_HAS_HEAD);
	ck_assert_int_eq(http_feed(&request, text, (size_t)length), HTTP_HAS_ALL);
	web.is_get = request.is_get;
	web.is_head = request.is_head;
	web.request = &request;
	web.data = text;
	st.st_mtim = (struct timespec){CHANGED, 7};
	static_want_describe(&kept, &st, NOW);
	ck_assert(size != 1000 || strcmp(kept.tag, TAG) == 0);
	static_want_read(&wanted, &web, &kept, NOW);
	http_close(&request);
	return wanted;
}

static void
range(const char *text, unsigned status, uint64_t size, uint64_t from, uint64_t length)
{
	char fields[200];
	struct static_want wanted;

	snprintf(fields, sizeof(fields), "Range: %s\r\n", text);
	wanted = want("GET", fields, size);
	ck_assert_msg(wanted.status == status, "%s: %u", text, wanted.status);
	if (status == 416)
		return;
	ck_assert_uint_eq(wanted.from, from);
	ck_assert_uint_eq(wanted.length, length);
}

START_TEST(ranges)
{
	range("bytes=0-0", 206, 1000, 0, 1);
	range("bytes=0-999", 206, 1000, 0, 1000);
	range("bytes=0-1000", 206, 1000, 0, 1000);
	range("Bytes=999-", 206, 1000, 999, 1);
	range("bytes=1000-", 416, 1000, 0, 0);
	range("bytes=1000-2000", 416, 1000, 0, 0);
	range("bytes=-1", 206, 1000, 999, 1);
	range("bytes=-1000", 206, 1000, 0, 1000);
	range("bytes=-1001", 206, 1000, 0, 1000);
	range("bytes=-0", 416, 1000, 0, 0);
	range("bytes=0-99999999999999999999999999999", 206, 1000, 0, 1000);
	range("bytes=99999999999999999999999999999-", 416, 1000, 0, 0);
	range("bytes=0-", 416, 0, 0, 0);
	range("bytes=-5", 416, 0, 0, 0);
	/* These are none, or more than one: all of it. */
	range("bytes=2-1", 200, 1000, 0, 1000);
	range("bytes=-", 200, 1000, 0, 1000);
	range("bytes=", 200, 1000, 0, 1000);
	range("bytes=1", 200, 1000, 0, 1000);
	range("bytes=a-b", 200, 1000, 0, 1000);
	range("bytes=0-1,5-6", 200, 1000, 0, 1000);
	range("bytes=--1", 200, 1000, 0, 1000);
	range("lines=0-1", 200, 1000, 0, 1000);
	range("bytes=0-1\r\nRange: bytes=2-3", 200, 1000, 0, 1000);
	ck_assert_uint_eq(want("HEAD", "Range: bytes=0-1\r\n", 1000).status, 200);
}
END_TEST

static const struct {
	const char *fields;
	unsigned status;
} conditions[] = {
    {"If-None-Match: " TAG "\r\n", 304},
    {"If-None-Match: W/" TAG "\r\n", 304},
    {"If-None-Match: *\r\n", 304},
    {"If-None-Match: \"x,\", \"\" ,, " TAG "\r\n", 304},
    {"If-None-Match: \"x\"\r\n", 200},
    {"If-None-Match: nonsense\r\n", 200},
    {"If-None-Match: \"open\r\n", 200},
    {"If-None-Match:\r\n", 200},
    {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304},
    {"If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
    {"If-Modified-Since: Mon, 07 Nov 1994 08:49:37 GMT\r\n", 304},
    {"If-Modified-Since: yesterday\r\n", 200},
    {"If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200},
    {"If-Match: " TAG "\r\n", 200},
    {"If-Match: *\r\n", 200},
    {"If-Match: W/" TAG "\r\n", 412},
    {"If-Match: \"x\"\r\n", 412},
    {"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200},
    {"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 412},
    {"If-Unmodified-Since: never\r\n", 200},
    {"If-Match: " TAG "\r\nIf-None-Match: " TAG "\r\n", 304},
    {"Range: bytes=0-1\r\nIf-None-Match: " TAG "\r\n", 304},
    {"Range: bytes=0-1\r\nIf-Range: " TAG "\r\n", 206},
    {"Range: bytes=0-1\r\nIf-Range: W/" TAG "\r\n", 200},
    {"Range: bytes=0-1\r\nIf-Range: \"x\"\r\n", 200},
    {"Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 206},
    {"Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n", 200},
    {"Range: bytes=0-1\r\nIf-Range:\r\n", 200},
};

START_TEST(what_holds)
{
	ck_assert_msg(want("GET", conditions[_i].fields, 1000).status == conditions[_i].status,
	    "%s", conditions[_i].fields);
}
END_TEST

START_TEST(no_file_is_of_the_future)
{
	struct stat st = {.st_mtim = {NOW + 100, 0}};
	struct static_kept kept;

	static_want_describe(&kept, &st, NOW);
	ck_assert_int_eq(kept.changed, NOW);
}
END_TEST

/* ---- types and dates ---- */

START_TEST(types)
{
	ck_assert_str_eq(static_type("/a/b.html"), "text/html; charset=utf-8");
	ck_assert_str_eq(static_type("x.tar.GZ"), "application/gzip");
	ck_assert_str_eq(static_type("7z.7z"), "application/x-7z-compressed");
	ck_assert_str_eq(static_type("a.zst"), "application/zstd");
	ck_assert_str_eq(static_type("a.html/b"), "application/octet-stream");
	ck_assert_str_eq(static_type("html"), "application/octet-stream");
	ck_assert_str_eq(static_type("a."), "application/octet-stream");
	ck_assert_str_eq(static_type(""), "application/octet-stream");
}
END_TEST

START_TEST(dates)
{
	static const char *const good[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
	    "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};
	static const char *const bad[] = {"", "Sun, 06 Nov 1994 08:49:37 CET",
	    "Sun, 06 Nov 1994 08:49:37", "Sun, 31 Feb 1994 08:49:37 GMT",
	    "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
	    "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, x6 Nov 1994 08:49:37 GMT",
	    "Sun, 06 Nov 1994 08:49:37 GMT ", "Sunday, 06-Nov-1994 08:49:37 GMT", "784111777"};
	char text[WEB_DATE_MAX];
	time_t time;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		time = 0;
		ck_assert_msg(web_date_read(good[i], strlen(good[i]), &time), "%s", good[i]);
		ck_assert_int_eq(time, CHANGED);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!web_date_read(bad[i], strlen(bad[i]), &time), "%s", bad[i]);
	ck_assert_str_eq(web_date_write(text, CHANGED), good[0]);
	for (time_t t = 951696000; t < 951696000 + 400 * 86400; t += 86399) {
		web_date_write(text, t);
		ck_assert(web_date_read(text, strlen(text), &time) && time == t);
	}
	web_date_write(text, INT64_MAX / 4);
	ck_assert_str_eq(text, "Thu, 01 Jan 1970 00:00:00 GMT");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("static");
	TCase *tcase = tcase_create("static");

	tcase_add_test(tcase, nothing_outside_is_opened);
	tcase_add_test(tcase, a_long_name_is_none);
	tcase_add_test(tcase, some_paths_are_not_even_tried);
	tcase_add_test(tcase, failures_have_a_status);
	tcase_add_test(tcase, ranges);
	tcase_add_loop_test(tcase, what_holds, 0, sizeof(conditions) / sizeof(conditions[0]));
	tcase_add_test(tcase, no_file_is_of_the_future);
	tcase_add_test(tcase, types);
	tcase_add_test(tcase, dates);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
