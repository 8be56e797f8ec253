/*
 * Which back end a loop gets: by name, by trial, and by libevent's environment. What a trial has
 * to find out is played: the waits of the C library are defined here.
 */
#include "common/backend.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <event2/event.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

static const enum backend check_all[] = {BACKEND_EPOLL, BACKEND_POLL, BACKEND_SELECT};
static const char *const check_switches[] = {"EVENT_NOEPOLL", "EVENT_NOPOLL", "EVENT_NOSELECT"};

/* ---- the calls, as a sandbox may offer them ---- */

static enum {
	CHECK_HONEST,
	CHECK_MUTE,       /* nothing ever happens */
	CHECK_NO_HANG_UP, /* epoll: bytes are told, the end is not */
	CHECK_LEVEL,      /* epoll: what was told is told again */
	CHECK_ONCE        /* poll and select: what was told is not told again */
} check_manner;

static unsigned check_told; /* waits that had something to tell */

static int
check_tell(int count)
{
	if (count <= 0)
		return count;
	check_told++;
	return check_manner == CHECK_MUTE || (check_manner == CHECK_ONCE && check_told > 1) ? 0
											    : count;
}

int
epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	static struct epoll_event before;
	int count = epoll_pwait(fd, events, max, timeout, NULL);

	if (check_manner == CHECK_LEVEL && count == 0 && check_told > 0) {
		events[0] = before;
		count = 1;
	}
	if (count > 0)
		before = events[0];
	for (int i = 0; i < count && check_manner == CHECK_NO_HANG_UP; i++)
		events[i].events &= ~(unsigned)(EPOLLRDHUP | EPOLLHUP);
	return check_tell(count);
}

int
poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct timespec none = {0};

	return check_tell(ppoll(fds, count, timeout == 0 ? &none : NULL, NULL));
}

int
select(int most, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout)
{
	const struct timespec none = {0};

	int count = check_tell(pselect(most, reads, writes, others, timeout ? &none : NULL, NULL));

	if (count == 0 && reads != NULL)
		memset(reads, 0, ((size_t)most + 7) / 8); /* the caller's may be a short one */
	return count;
}

/* ---- the tests ---- */

START_TEST(test_open)
{
	enum backend backend = check_all[_i];
	struct event_base *base = backend_open(backend, true);

	ck_assert_ptr_nonnull(base);
	ck_assert_str_eq(event_base_get_method(base), backend_name(backend));
	ck_assert_int_eq(backend_descriptors(backend), backend == BACKEND_SELECT ? 1024 : INT_MAX);
	event_base_free(base);
	ck_assert_int_eq((int)backend_choose(backend), (int)backend);
	setenv(check_switches[_i], "1", 1);
	ck_assert_ptr_null(backend_open(backend, false));
	ck_assert_int_eq((int)backend_choose(backend), (int)BACKEND_AUTO);
}
END_TEST

START_TEST(test_auto)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq((int)backend_choose(BACKEND_AUTO), (int)check_all[i]);
		setenv(check_switches[i], "1", 1);
	}
	ck_assert_int_eq((int)backend_choose(BACKEND_AUTO), (int)BACKEND_AUTO);
}
END_TEST

/* A call that is there and does not tell what the loop needs is not taken, by name or by itself. */
START_TEST(test_tried)
{
	static const struct {
		int manner;
		enum backend wanted, chosen;
	} cases[] = {
	    {CHECK_MUTE, BACKEND_EPOLL, BACKEND_AUTO},
	    {CHECK_MUTE, BACKEND_POLL, BACKEND_AUTO},
	    {CHECK_MUTE, BACKEND_SELECT, BACKEND_AUTO},
	    {CHECK_MUTE, BACKEND_AUTO, BACKEND_AUTO},
	    {CHECK_NO_HANG_UP, BACKEND_EPOLL, BACKEND_AUTO},
	    {CHECK_NO_HANG_UP, BACKEND_AUTO, BACKEND_POLL},
	    {CHECK_LEVEL, BACKEND_EPOLL, BACKEND_AUTO},
	    {CHECK_LEVEL, BACKEND_AUTO, BACKEND_POLL},
	    {CHECK_ONCE, BACKEND_EPOLL, BACKEND_EPOLL},
	    {CHECK_ONCE, BACKEND_POLL, BACKEND_AUTO},
	    {CHECK_ONCE, BACKEND_SELECT, BACKEND_AUTO},
	};

	check_manner = cases[_i].manner;
	ck_assert_int_eq((int)backend_choose(cases[_i].wanted), (int)cases[_i].chosen);
	ck_assert_uint_ge(check_told, 1); /* it was this call that was tried */
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("backend");
	TCase *tcase = tcase_create("backend");

	tcase_add_loop_test(tcase, test_open, 0, 3);
	tcase_add_test(tcase, test_auto);
	tcase_add_loop_test(tcase, test_tried, 0, 11);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
