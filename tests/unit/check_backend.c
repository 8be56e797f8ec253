/* Which back end a loop gets: by name, by trial, and by libevent's environment. */
#include "common/backend.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>

static const enum backend check_all[] = {BACKEND_EPOLL, BACKEND_POLL, BACKEND_SELECT};
static const char *const check_switches[] = {"EVENT_NOEPOLL", "EVENT_NOPOLL", "EVENT_NOSELECT"};

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

int
main(void)
{
	Suite *suite = suite_create("backend");
	TCase *tcase = tcase_create("backend");

	tcase_add_loop_test(tcase, test_open, 0, 3);
	tcase_add_test(tcase, test_auto);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
