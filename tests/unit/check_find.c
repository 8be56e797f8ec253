/* Where the control socket is: the daemon's rule and the client's search. */
#include "common/control_path.h"
#include "common/mem.h"
#include "ctl/find.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOWHERE "/nonexistent/control.sock"

static char *root; /* a folder of this test alone */

static char *
in_root(const char *name)
{
	return mem_printf("%s/%s", root, name);
}

static void
make_folder(const char *path, mode_t mode)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

/* Each test runs in a process of its own, so the environment may be changed. */
static void
set_up(void)
{
	char *runtime;

	root = mem_strdup("/tmp/check-find-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	runtime = in_root("run");
	make_folder(runtime, 0700);
	setenv("XDG_RUNTIME_DIR", runtime, 1);
	setenv("TMPDIR", root, 1);
	unsetenv("HOSTLER_CONTROL");
	free(runtime);
}

static void
tear_down(void)
{
	char *command[] = {"rm", "-rf", "--", root, NULL};
	pid_t pid = fork();

	if (pid == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	free(root);
}

/* A socket that somebody listens on (`backlog` >= 0), or a stale one. */
static int
make_socket(const char *path, int backlog)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	if (backlog >= 0)
		ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

static char *
private_folder(void)
{
	return mem_printf("%s/hostler-%lu", root, (unsigned long)geteuid());
}

/* ---- the daemon's rule ---- */

/* What the daemon does: NULL and *why, or the path with its folder made. */
static char *
make_default(char **why)
{
	char *path = control_name_path(true);

	if (control_make_folder(path, why))
		return path;
	free(path);
	return NULL;
}

static void
expect_default(const char *format, const char *folder)
{
	char *why = NULL;
	char *path = make_default(&why);
	char *start = mem_printf(format, folder);
	char *expected = mem_printf("%s/%ld.sock", start, (long)getpid());

	ck_assert_msg(path != NULL, "%s", why);
	ck_assert_str_eq(path, expected);
	free(path);
	free(expected);
	free(start);
}

static void
expect_no_default(const char *part)
{
	char *why = NULL;
	char *path = make_default(&why);

	ck_assert_ptr_null(path);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, part) != NULL, "%s", why);
	free(why);
}

START_TEST(test_system_path)
{
	char *path = control_name_path(false);

	if (geteuid() == 0)
		ck_assert_str_eq(path, CONTROL_SYSTEM_PATH);
	else
		ck_assert_str_ne(path, CONTROL_SYSTEM_PATH);
	free(path);
}
END_TEST

START_TEST(test_runtime_folder)
{
	struct stat st;
	char *folder = in_root("run/hostler");

	expect_default("%s/run/hostler", root);
	ck_assert_int_eq(stat(folder, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	expect_default("%s/run/hostler", root); /* it exists now */
	free(folder);
}
END_TEST

/* Each of these is no runtime folder of ours; the temporary one is used. */
START_TEST(test_unusable_runtime_folder)
{
	char *runtime = in_root("run");
	char *folder = private_folder();
	char *link = in_root("link");

	unsetenv("XDG_RUNTIME_DIR");
	expect_default("%s", folder);
	setenv("XDG_RUNTIME_DIR", "", 1);
	expect_default("%s", folder);
	setenv("XDG_RUNTIME_DIR", "run", 1);
	expect_default("%s", folder);
	setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
	expect_default("%s", folder);
	ck_assert_int_eq(symlink(runtime, link), 0);
	setenv("XDG_RUNTIME_DIR", link, 1);
	expect_default("%s", folder);
	setenv("XDG_RUNTIME_DIR", runtime, 1);
	ck_assert_int_eq(chmod(runtime, 0770), 0);
	expect_default("%s", folder);
	ck_assert_int_eq(chmod(runtime, 0700), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(runtime, 65534, (gid_t)-1), 0);
		expect_default("%s", folder);
	}
	free(link);
	free(folder);
	free(runtime);
}
END_TEST

START_TEST(test_temporary_folder)
{
	char *expected;
	char *path;

	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("TMPDIR");
	path = control_name_path(true);
	expected =
	    mem_printf("/tmp/hostler-%lu/%ld.sock", (unsigned long)geteuid(), (long)getpid());
	ck_assert_str_eq(path, expected);
	free(path);
	setenv("TMPDIR", "relative", 1);
	path = control_name_path(true);
	ck_assert_str_eq(path, expected);
	free(path);
	free(expected);
}
END_TEST

START_TEST(test_private_folder_open_to_others)
{
	char *folder = private_folder();

	unsetenv("XDG_RUNTIME_DIR");
	make_folder(folder, 0710);
	expect_no_default("others must not get in");
	ck_assert_int_eq(chmod(folder, 0701), 0);
	expect_no_default("has mode 701");
	ck_assert_int_eq(chmod(folder, 0700), 0);
	expect_default("%s", folder);
	free(folder);
}
END_TEST

START_TEST(test_private_folder_is_a_link)
{
	char *folder = private_folder();
	char *target = in_root("target");

	unsetenv("XDG_RUNTIME_DIR");
	make_folder(target, 0700);
	ck_assert_int_eq(symlink(target, folder), 0);
	expect_no_default("is not a folder");
	free(target);
	free(folder);
}
END_TEST

START_TEST(test_private_folder_of_another)
{
	char *folder = private_folder();

	if (geteuid() == 0) { /* only root can give a folder away */
		unsetenv("XDG_RUNTIME_DIR");
		make_folder(folder, 0700);
		ck_assert_int_eq(chown(folder, 65534, (gid_t)-1), 0);
		expect_no_default("belongs to another user (uid 65534)");
	}
	free(folder);
}
END_TEST

START_TEST(test_no_place)
{
	char long_folder[160];

	unsetenv("XDG_RUNTIME_DIR");
	setenv("TMPDIR", "/nonexistent", 1);
	expect_no_default("cannot make the folder /nonexistent/hostler-");
	memset(long_folder, 'x', sizeof(long_folder));
	long_folder[0] = '/';
	long_folder[sizeof(long_folder) - 1] = '\0';
	setenv("TMPDIR", long_folder, 1);
	expect_no_default("too long");
}
END_TEST

/* ---- the client's search ---- */

/* Searches the system's place and the one folder `folder`. */
static enum find_result
search(const char *system, char *folder, char **path, char **why)
{
	*path = *why = NULL;
	return find_running(system, &folder, folder != NULL ? 1 : 0, path, why);
}

START_TEST(test_find_nobody)
{
	char *path, *why;

	ck_assert_int_eq(search(NOWHERE, NULL, &path, &why), FIND_NONE);
	ck_assert_ptr_null(path);
	ck_assert_ptr_nonnull(strstr(why, "no running hostlerd was found"));
	free(why);
	ck_assert_int_eq(search(NOWHERE, (char *)"/nonexistent", &path, &why), FIND_NONE);
	free(why);
	ck_assert_int_eq(search(NOWHERE, root, &path, &why), FIND_NONE);
	free(why);
}
END_TEST

START_TEST(test_find_one_among_the_stale)
{
	char *alive = in_root("4711.sock");
	char *stale = in_root("4712.sock");
	char *other = in_root("4713.socket");
	char *path, *why;

	make_socket(stale, -1);
	make_socket(other, 1);
	ck_assert_int_eq(search(NOWHERE, root, &path, &why), FIND_NONE);
	free(why);
	make_socket(alive, 1);
	ck_assert_int_eq(search(NOWHERE, root, &path, &why), FIND_OK);
	ck_assert_str_eq(path, alive);
	ck_assert_ptr_null(why);
	free(path);
	free(other);
	free(stale);
	free(alive);
}
END_TEST

START_TEST(test_find_several)
{
	char *first = in_root("1.sock");
	char *second = in_root("2.sock");
	char *expected = mem_printf(
	    "2 daemons are running; choose one with --socket:\n  %s\n  %s", first, second);
	char *path, *why;

	make_socket(second, 1);
	make_socket(first, 1);
	ck_assert_int_eq(search(NOWHERE, root, &path, &why), FIND_SEVERAL);
	ck_assert_str_eq(why, expected);
	ck_assert_ptr_null(path);
	free(why);
	free(expected);
	free(second);
	free(first);
}
END_TEST

/* The system's daemon goes first, but only where it answers. */
START_TEST(test_find_system)
{
	char *system = in_root("control");
	char *own = in_root("1.sock");
	char *path, *why;
	int fd;

	make_socket(own, 1);
	fd = make_socket(system, 1);
	ck_assert_int_eq(search(system, root, &path, &why), FIND_OK);
	ck_assert_str_eq(path, system);
	free(path);
	close(fd);
	ck_assert_int_eq(search(system, root, &path, &why), FIND_OK);
	ck_assert_str_eq(path, own);
	free(path);
	free(own);
	free(system);
}
END_TEST

/* A daemon that is too busy to accept is alive. */
START_TEST(test_find_full_backlog)
{
	char *busy = in_root("1.sock");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char *path, *why;
	int fd;

	make_socket(busy, 0);
	strcpy(address.sun_path, busy);
	do
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	ck_assert_int_eq(search(NOWHERE, root, &path, &why), FIND_OK);
	ck_assert_str_eq(path, busy);
	free(path);
	free(busy);
}
END_TEST

/* Somebody else's daemon is told apart from none. */
START_TEST(test_find_forbidden)
{
	char *system = in_root("control");
	char *path, *why;

	make_socket(system, 1);
	ck_assert_int_eq(chmod(system, 0), 0);
	ck_assert_int_eq(chmod(root, 0711), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(search(system, NULL, &path, &why), FIND_NONE);
	ck_assert_ptr_nonnull(strstr(why, "Permission denied"));
	ck_assert_ptr_nonnull(strstr(why, system));
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
	free(why);
	free(system);
}
END_TEST

START_TEST(test_find_private_folders)
{
	char *folders[CONTROL_FOLDERS_MAX];
	char *runtime = in_root("run/hostler");
	char *temporary = private_folder();

	ck_assert_uint_eq(control_private_folders(folders), 0);
	make_folder(runtime, 0700);
	make_folder(temporary, 0700);
	ck_assert_uint_eq(control_private_folders(folders), 2);
	ck_assert_str_eq(folders[0], runtime);
	ck_assert_str_eq(folders[1], temporary);
	free(folders[0]);
	free(folders[1]);
	ck_assert_int_eq(chmod(temporary, 0750), 0);
	ck_assert_uint_eq(control_private_folders(folders), 1);
	ck_assert_str_eq(folders[0], runtime);
	free(folders[0]);
	ck_assert_int_eq(chmod(runtime, 0702), 0);
	ck_assert_uint_eq(control_private_folders(folders), 0);
	free(temporary);
	free(runtime);
}
END_TEST

/* --socket, then the environment, are believed without a look. */
START_TEST(test_find_named)
{
	char *path = NULL, *why = NULL;

	setenv("HOSTLER_CONTROL", "/b", 1);
	ck_assert_int_eq(find_socket("/a", &path, &why), FIND_OK);
	ck_assert_str_eq(path, "/a");
	free(path);
	ck_assert_int_eq(find_socket(NULL, &path, &why), FIND_OK);
	ck_assert_str_eq(path, "/b");
	free(path);
}
END_TEST

/* What the daemon's rule names, the client finds. */
START_TEST(test_find_the_default)
{
	char *path = NULL, *why = NULL, *found = NULL;

	if (access(CONTROL_SYSTEM_PATH, F_OK) == 0)
		return; /* this machine has a daemon of its own */
	path = make_default(&why);
	make_socket(path, 1);
	setenv("HOSTLER_CONTROL", "", 1);
	ck_assert_int_eq(find_socket(NULL, &found, &why), FIND_OK);
	ck_assert_str_eq(found, path);
	free(found);
	free(path);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("find");
	TCase *rule = tcase_create("rule");
	TCase *find = tcase_create("search");

	tcase_add_checked_fixture(rule, set_up, tear_down);
	tcase_add_test(rule, test_system_path);
	tcase_add_test(rule, test_runtime_folder);
	tcase_add_test(rule, test_unusable_runtime_folder);
	tcase_add_test(rule, test_temporary_folder);
	tcase_add_test(rule, test_private_folder_open_to_others);
	tcase_add_test(rule, test_private_folder_is_a_link);
	tcase_add_test(rule, test_private_folder_of_another);
	tcase_add_test(rule, test_no_place);
	tcase_add_checked_fixture(find, set_up, tear_down);
	tcase_add_test(find, test_find_nobody);
	tcase_add_test(find, test_find_one_among_the_stale);
	tcase_add_test(find, test_find_several);
	tcase_add_test(find, test_find_system);
	tcase_add_test(find, test_find_full_backlog);
	tcase_add_test(find, test_find_forbidden);
	tcase_add_test(find, test_find_private_folders);
	tcase_add_test(find, test_find_named);
	tcase_add_test(find, test_find_the_default);
	suite_add_tcase(suite, rule);
	suite_add_tcase(suite, find);
	return help_run(suite);
}
