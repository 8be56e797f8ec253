/* Addresses: every accepted form and back to text, every kind of mistake and its sentence. */
#include "common/addr.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *text, *formatted;
	unsigned port;
} good[] = {
    {"127.0.0.1:80", "127.0.0.1:80", 80},
    {"192.168.1.2:65535", "192.168.1.2:65535", 65535},
    {"0.0.0.0:1", "0.0.0.0:1", 1},
    {"*:80", "0.0.0.0:80", 80},
    {"localhost:8080", "127.0.0.1:8080", 8080},
    {":81", "127.0.0.1:81", 81},
    {"82", "127.0.0.1:82", 82},
    {"0", "127.0.0.1:0", 0},
    {"127.0.0.1:0", "127.0.0.1:0", 0},
    {"127.0.0.1:00080", "127.0.0.1:80", 80},
    {"[::1]:80", "[::1]:80", 80},
    {"[::]:0", "[::]:0", 0},
    {"[2001:DB8::1]:443", "[2001:db8::1]:443", 443},
    {"[::ffff:10.0.0.1]:5", "[::ffff:10.0.0.1]:5", 5},
    {"unix:/run/x.sock", "unix:/run/x.sock", 0},
    {"/run/a b:c.sock", "unix:/run/a b:c.sock", 0},
};

static const struct {
	const char *text, *why; /* the sentence holds this */
} bad[] = {
    {"", "empty"},
    {"hello", "no address"},
    {"127.0.0.1", "no address"},
    {"127.0.0.1:", "no port"},
    {":", "no port"},
    {"127.0.0.1:65536", "range"},
    {"127.0.0.1:99999999999999999999999", "range"},
    {"127.0.0.1:4294967376", "range"}, /* 80 in 32 bits */
    {"65536", "range"},
    {"127.0.0.1:-1", "no port"},
    {"127.0.0.1:+1", "no port"},
    {"127.0.0.1: 80", "no port"},
    {"127.0.0.1:80 ", "no port"},
    {"127.0.0.1:0x50", "no port"},
    {"127.0.0.1:http", "no port"},
    {" 127.0.0.1:80", "no numeric address"},
    {"127.1:80", "no numeric address"},
    {"127.0.0.256:80", "no numeric address"},
    {"127.0.0.1.1:80", "no numeric address"},
    {"example.org:80", "names are not looked up"},
    {"LOCALHOST:80", "names are not looked up"},
    {"a-very-long-host-name-that-fits-nowhere:80", "no numeric address"},
    {"http://127.0.0.1:80", "is a URL"},
    {"::1:80", "brackets"},
    {"::1", "brackets"},
    {"1:2:3", "brackets"},
    {"[::1]", "lacks a port"},
    {"[::1]80", "lacks a port"},
    {"[::1]:", "no port"},
    {"[::1:80", "closing bracket"},
    {"[]:80", "no IPv6 address"},
    {"[127.0.0.1]:80", "no IPv6 address"},
    {"[::g]:80", "no IPv6 address"},
    {"[fe80::1%lo]:80", "no IPv6 address"},
    {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80", "no IPv6 address"},
    {"unix:", "absolute"},
    {"unix:x.sock", "absolute"},
    {"./x.sock", "no address"},
};

START_TEST(good_texts)
{
	char why[200] = "", text[ADDR_TEXT_MAX];
	struct addr addr, again;

	ck_assert_msg(
	    addr_parse(&addr, good[_i].text, why, sizeof(why)), "%s: %s", good[_i].text, why);
	ck_assert_str_eq(addr_format(&addr, text), good[_i].formatted);
	ck_assert_uint_eq(addr_port(&addr), good[_i].port);
	ck_assert_int_eq(addr_is_unix(&addr), good[_i].formatted[0] == 'u');
	/* What is written can be read, and means the same. */
	ck_assert(addr_parse(&again, text, why, sizeof(why)));
	ck_assert(addr_equal(&addr, &again));
	ck_assert_uint_eq(addr.length, again.length);
}
END_TEST

START_TEST(bad_texts)
{
	char why[200] = "";
	struct addr addr;

	ck_assert_msg(
	    !addr_parse(&addr, bad[_i].text, why, sizeof(why)), "'%s' was accepted", bad[_i].text);
	ck_assert_msg(strstr(why, bad[_i].why), "'%s': %s", bad[_i].text, why);
	ck_assert_int_ne(why[strlen(why) - 1], '.');
}
END_TEST

START_TEST(a_small_why_is_enough)
{
	char why[8] = "1234567";
	struct addr addr;

	ck_assert(!addr_parse(&addr, "hello", why, 5));
	ck_assert_uint_eq(strlen(why), 4);
	ck_assert_str_eq(why + 5, "67");
}
END_TEST

START_TEST(unix_paths_fit_exactly)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	char why[200] = "", text[ADDR_TEXT_MAX];
	struct addr addr;

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 2] = '\0';
	ck_assert_msg(addr_parse(&addr, path, why, sizeof(why)), "%s", why);
	ck_assert_str_eq(addr_path(&addr), path);
	ck_assert_str_eq(addr_format(&addr, text) + strlen("unix:"), path);
	path[sizeof(path) - 2] = 'x';
	path[sizeof(path) - 1] = '\0';
	ck_assert(!addr_parse(&addr, path, why, sizeof(why)));
	ck_assert_ptr_nonnull(strstr(why, "at most 107 bytes, this one has 108"));
}
END_TEST

START_TEST(equality)
{
	static const char *const texts[] = {"127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80",
	    "[::1]:80", "[::2]:80", "/a", "/ab", "/b"};
	struct addr a, b;
	char why[200];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
			ck_assert(addr_parse(&a, texts[i], why, sizeof(why)));
			ck_assert(addr_parse(&b, texts[k], why, sizeof(why)));
			ck_assert_msg(addr_equal(&a, &b) == (i == k), "%s %s", texts[i], texts[k]);
		}
	}
}
END_TEST

/* What the kernel accepts, and what it says of an unnamed socket. */
START_TEST(the_kernel_agrees)
{
	char why[200], text[ADDR_TEXT_MAX];
	struct addr addr, real = {.length = sizeof(real.storage)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert(addr_parse(&addr, "127.0.0.1:0", why, sizeof(why)));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr.storage, addr.length), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&real.storage, &real.length), 0);
	ck_assert_uint_gt(addr_port(&real), 0);
	ck_assert(!addr_equal(&addr, &real));
	ck_assert(addr_parse(&addr, addr_format(&real, text), why, sizeof(why)));
	ck_assert(addr_equal(&addr, &real));
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memset(&real, 0, sizeof(real));
	real.length = sizeof(real.storage);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&real.storage, &real.length), 0);
	ck_assert(addr_is_unix(&real));
	ck_assert_ptr_null(addr_path(&real));
	ck_assert_str_eq(addr_format(&real, text), "unix:");
	ck_assert(!addr_equal(&real, &real));
	close(fd);
}
END_TEST

/* A path that fills sun_path to the last byte has no NUL: the length says where it ends. */
START_TEST(a_full_path_without_nul)
{
	struct addr addr = {.length = sizeof(struct sockaddr_un) + 1}; /* as the kernel counts */
	struct sockaddr_un *un = (struct sockaddr_un *)&addr.storage;
	char text[ADDR_TEXT_MAX];

	memset(&addr.storage, 'y', sizeof(addr.storage));
	un->sun_family = AF_UNIX;
	ck_assert_uint_eq(strlen(addr_format(&addr, text)), strlen("unix:") + sizeof(un->sun_path));
	ck_assert(addr_equal(&addr, &addr));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("addr");
	TCase *tcase = tcase_create("addr");

	tcase_add_loop_test(tcase, good_texts, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(tcase, bad_texts, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, a_small_why_is_enough);
	tcase_add_test(tcase, unix_paths_fit_exactly);
	tcase_add_test(tcase, equality);
	tcase_add_test(tcase, the_kernel_agrees);
	tcase_add_test(tcase, a_full_path_without_nul);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
