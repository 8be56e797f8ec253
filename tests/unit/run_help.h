/* For the end of every Check program's main(). */
#ifndef TESTS_UNIT_RUN_HELP_H
#define TESTS_UNIT_RUN_HELP_H

#include <check.h>
#include <stdlib.h>

/* Runs the suite and frees it; EXIT_SUCCESS when no test failed. */
static inline int
help_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
