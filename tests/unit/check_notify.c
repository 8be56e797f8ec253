/*
 * What systemd is told: whole datagrams as they arrive at a socket of the test's own, by path and
 * in the abstract space, with a full queue, with nobody there, and with nonsense in the
 * environment.
 */
#include "daemon/notify.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <sys/socket.h>
#include <sys/un.h>

static int ear = -1; /* where systemd would listen */
static char *folder, *path;

static void
listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	ear = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(ear, 0);
	ck_assert_int_eq(bind(ear, (struct sockaddr *)&address, length), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

/* What was said, the next datagram; an empty text when nothing was. */
static const char *
heard(void)
{
	static char text[8192];
	ssize_t n = recv(ear, text, sizeof(text) - 1, 0);

	ck_assert_msg(n < 4096, "systemd takes no more than 4096 bytes");
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static const char *
ready(const char *status)
{
	static char text[4096];

	snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld\nSTATUS=%s", (long)getpid(), status);
	return text;
}

static void
setup(void)
{
	folder = help_folder();
	ck_assert_int_gt(asprintf(&path, "%s/notify", folder), 0);
	listen_at(path);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
}

static void
teardown(void)
{
	notify_close();
	close(ear);
	unlink(path);
	rmdir(folder);
	free(path);
	free(folder);
}

START_TEST(a_whole_life)
{
	uint64_t before, usec;
	const char *text;

	ck_assert(!notify_is_on());
	notify_open();
	ck_assert(notify_is_on());
	ck_assert_str_eq(heard(), "STATUS=starting");
	notify_figures("2 workers");
	ck_assert_str_eq(heard(), ""); /* not before it is ready */
	notify_ready();
	ck_assert_str_eq(heard(), ready("2 workers"));
	notify_figures("2 workers");
	notify_figures("%d workers", 3);
	ck_assert_str_eq(heard(), "STATUS=3 workers");
	ck_assert_str_eq(heard(), "");

	before = clock_now() / 1000;
	notify_reloading();
	text = heard();
	ck_assert_msg(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0, "%s", text);
	usec = strtoull(text + 27, NULL, 10);
	ck_assert_uint_ge(usec, before);
	ck_assert_uint_le(usec, clock_now() / 1000);
	ck_assert_ptr_nonnull(strstr(text, "\nSTATUS=reloading"));
	notify_status("reload failed: %s", "a.conf:3");
	ck_assert_str_eq(heard(), "STATUS=reload failed: a.conf:3");
	notify_reloaded();
	ck_assert_str_eq(heard(), ready("reload failed: a.conf:3; 3 workers"));
	notify_reloading(); /* which forgets the failure */
	heard();
	notify_reloaded();
	ck_assert_str_eq(heard(), ready("3 workers"));

	notify_stopping(7 * CLOCK_SECOND, "draining");
	ck_assert_str_eq(heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=7000000\nSTATUS=draining");
	notify_status("killing");
	ck_assert_str_eq(heard(), "STATUS=killing");
	notify_ready(); /* nothing comes after the end */
	notify_reloading();
	notify_reloaded();
	ck_assert_int_eq(notify_get_state(), NOTIFY_STOPPING);
	ck_assert_str_eq(heard(), "");
}
END_TEST

/* An order to reload may come before the first generation is ready. */
START_TEST(a_reload_makes_nothing_ready)
{
	notify_open();
	heard();
	notify_reloading();
	notify_status("reload failed: x");
	notify_reloaded();
	ck_assert_str_eq(heard(), "STATUS=reload failed: x");
	ck_assert_str_eq(heard(), "");
	notify_ready();
	ck_assert_str_eq(heard(), ready("reload failed: x"));
	notify_ready(); /* once is enough */
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(an_abstract_name)
{
	char name[64];

	close(ear);
	snprintf(name, sizeof(name), "@hostler-check-%ld", (long)getpid());
	listen_at(name);
	notify_open();
	ck_assert_str_eq(heard(), "STATUS=starting");
}
END_TEST

START_TEST(nothing_is_left_for_children)
{
	setenv("WATCHDOG_PID", "1", 1);
	setenv("WATCHDOG_USEC", "1000000", 1);
	notify_open();
	ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
	ck_assert_ptr_null(getenv("WATCHDOG_PID"));
	ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
}
END_TEST

START_TEST(without_a_socket)
{
	int count;

	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "1000000", 1);
	count = help_count_fds();
	notify_open();
	ck_assert_int_eq(help_count_fds(), count);
	ck_assert(!notify_is_on());
	notify_ready();
	notify_reloading();
	notify_status("x");
	notify_figures("x");
	notify_stopping(0, "x");
	ck_assert_uint_eq(notify_turn(clock_now()), UINT64_MAX);
	ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
}
END_TEST

static const char *const nonsense[] = {"", "x", "/", "@", "vsock:2:1", NULL /* too long */};

START_TEST(an_address_that_is_none)
{
	char name[256];

	help_catch_log();
	snprintf(name, sizeof(name), "/%0200d", 0);
	setenv("NOTIFY_SOCKET", nonsense[_i] != NULL ? nonsense[_i] : name, 1);
	notify_open();
	ck_assert(!notify_is_on());
	notify_ready();
}
END_TEST

/* ---- the watchdog ---- */

START_TEST(it_beats_at_half_of_its_time)
{
	uint64_t now = clock_now();
	char pid[32];

	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (_i == 1)
		setenv("WATCHDOG_PID", pid, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	notify_open();
	heard();
	ck_assert_uint_eq(notify_turn(now), now + 1500 * CLOCK_MS);
	ck_assert_str_eq(heard(), "WATCHDOG=1");
	ck_assert_uint_eq(notify_turn(now + CLOCK_SECOND), now + 1500 * CLOCK_MS);
	ck_assert_str_eq(heard(), "");
	now += 1600 * CLOCK_MS; /* a busy turn was late */
	ck_assert_uint_eq(notify_turn(now), now + 1500 * CLOCK_MS);
	ck_assert_str_eq(heard(), "WATCHDOG=1");
}
END_TEST

static const struct {
	const char *pid, *usec;
} no_watchdogs[] = {
    {NULL, NULL},
    {NULL, "0"},
    {NULL, "-5"},
    {NULL, "3s"},
    {NULL, ""},
    {NULL, "99999999999999999999999"},
    {NULL, "18446744073709551615"},
    {"1", "3000000"},
    {"", "3000000"},
    {"0", "3000000"},
};

START_TEST(no_watchdog_that_is_ours)
{
	if (no_watchdogs[_i].pid != NULL)
		setenv("WATCHDOG_PID", no_watchdogs[_i].pid, 1);
	if (no_watchdogs[_i].usec != NULL)
		setenv("WATCHDOG_USEC", no_watchdogs[_i].usec, 1);
	notify_open();
	heard();
	ck_assert_uint_eq(notify_turn(clock_now()), UINT64_MAX);
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(a_time_too_short_for_anybody)
{
	uint64_t now = clock_now();

	setenv("WATCHDOG_USEC", "1", 1);
	notify_open();
	ck_assert_uint_ge(notify_turn(now), now + CLOCK_MS);
}
END_TEST

/* ---- what goes wrong ---- */

/* Says things until nothing more goes in; returns how many times it tried. */
static unsigned
fill(void)
{
	unsigned count = 0;

	while (notify_turn(clock_now()) > clock_now() + CLOCK_SECOND) {
		ck_assert_uint_lt(count, 100000);
		notify_status("%u", count++);
	}
	return count;
}

START_TEST(a_full_queue_delays_the_newest_truth)
{
	uint64_t start = clock_now();
	unsigned count;

	notify_open();
	ck_assert_str_eq(heard(), "STATUS=starting");
	count = fill();
	notify_status("%s", "");
	notify_ready();
	notify_figures("old");
	notify_reloading();
	notify_reloaded();
	notify_figures("new");
	ck_assert_uint_lt(clock_now() - start, 5 * CLOCK_SECOND); /* nobody waited */
	for (unsigned i = 0; i + 1 < count; i++)
		ck_assert_int_eq(strncmp(heard(), "STATUS=", 7), 0);
	ck_assert_str_eq(heard(), "");
	/* Its time to try again comes, and it says so itself. */
	help_wait_for(notify_turn(clock_now()) == UINT64_MAX);
	ck_assert_str_eq(heard(), ready("new"));
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(a_beat_that_found_no_way_is_due_still)
{
	uint64_t due;

	setenv("WATCHDOG_USEC", "60000000", 1);
	notify_open();
	fill();
	due = clock_now() + 30 * CLOCK_SECOND;
	ck_assert_uint_le(notify_turn(due), clock_now() + CLOCK_SECOND);
	while (heard()[0] != '\0')
		continue;
	ck_assert_uint_eq(notify_turn(due), due + 30 * CLOCK_SECOND);
	ck_assert_int_eq(strncmp(heard(), "STATUS=", 7), 0);
	ck_assert_str_eq(heard(), "WATCHDOG=1");
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(nobody_there_is_one_line_in_the_log)
{
	int file = help_catch_log();
	char *log;

	close(ear);
	unlink(path);
	notify_open();
	notify_ready();
	for (int i = 0; i < 5; i++)
		notify_status("%d", i);
	log = help_log(file);
	ck_assert_ptr_nonnull(strstr(log, "$NOTIFY_SOCKET"));
	ck_assert_ptr_eq(strchr(log, '\n'), strrchr(log, '\n'));
	free(log);
	listen_at(path); /* as after a restart of systemd */
	help_wait_for(notify_turn(clock_now()) == UINT64_MAX);
	ck_assert_str_eq(heard(), ready("4"));
}
END_TEST

START_TEST(a_text_of_bytes)
{
	char longest[3 * NOTIFY_TEXT_MAX], expected[64];

	notify_open();
	heard();
	notify_status("a\nREADY=1\x1b\xff");
	ck_assert_str_eq(heard(), "STATUS=a\\x0aREADY=1\\x1b\\xff");
	memset(longest, '\x01', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	notify_ready();
	heard();
	notify_status("%s", longest);
	heard();
	notify_figures("%s", longest); /* the most that there can be */
	snprintf(expected, sizeof(expected), "STATUS=\\x01\\x01");
	ck_assert_int_eq(strncmp(heard(), expected, strlen(expected)), 0);
}
END_TEST

static Suite *
notify_suite(void)
{
	Suite *suite = suite_create("notify");
	TCase *talk = tcase_create("talk"), *watchdog = tcase_create("watchdog"),
	      *trouble = tcase_create("trouble");

	tcase_add_checked_fixture(talk, setup, teardown);
	tcase_add_test(talk, a_whole_life);
	tcase_add_test(talk, a_reload_makes_nothing_ready);
	tcase_add_test(talk, an_abstract_name);
	tcase_add_test(talk, nothing_is_left_for_children);
	tcase_add_test(talk, without_a_socket);
	tcase_add_loop_test(
	    talk, an_address_that_is_none, 0, (int)(sizeof(nonsense) / sizeof(nonsense[0])));
	suite_add_tcase(suite, talk);
	tcase_add_checked_fixture(watchdog, setup, teardown);
	tcase_add_loop_test(watchdog, it_beats_at_half_of_its_time, 0, 2);
	tcase_add_loop_test(watchdog, no_watchdog_that_is_ours, 0,
	    (int)(sizeof(no_watchdogs) / sizeof(no_watchdogs[0])));
	tcase_add_test(watchdog, a_time_too_short_for_anybody);
	suite_add_tcase(suite, watchdog);
	tcase_add_checked_fixture(trouble, setup, teardown);
	tcase_add_test(trouble, a_full_queue_delays_the_newest_truth);
	tcase_add_test(trouble, a_beat_that_found_no_way_is_due_still);
	tcase_add_test(trouble, nobody_there_is_one_line_in_the_log);
	tcase_add_test(trouble, a_text_of_bytes);
	suite_add_tcase(suite, trouble);
	return suite;
}

int
main(void)
{
	return help_run(notify_suite());
}
