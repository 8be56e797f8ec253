/*
 * The configuration and the machine it is on: files that are there or not, what a relative path
 * means, whose file it may be, and the users that it names.
 */
#include "tests/unit/conf_help.h"
#include "tests/unit/run_help.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static char check_conf_folder[] = "/tmp/check-conf-XXXXXX";

static void
check_conf_make(void)
{
	ck_assert_ptr_nonnull(mkdtemp(check_conf_folder));
	ck_assert_int_eq(chdir(check_conf_folder), 0);
}

static void
check_conf_remove(void)
{
	static const char *const files[] = {"x.conf", "run.sh", "plain.sh", "sub/run.sh"};

	ck_assert_int_eq(chdir(check_conf_folder), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	rmdir("sub");
	ck_assert_int_eq(rmdir(check_conf_folder), 0);
}

static void
check_conf_write(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	ck_assert_int_eq(chmod(path, mode), 0);
}

/* Loads, must fail; the caller frees what is told. */
static char *
check_conf_load_bad(const char *path)
{
	struct conf_errors errors;
	struct conf *conf = conf_load(path, CONTROL, &errors);

	ck_assert_ptr_null(conf);
	return help_told(&errors);
}

/* A relative path belongs to the directory, the directory to the file's folder. */
START_TEST(test_paths)
{
	struct conf_errors errors;
	struct conf *conf;
	char expected[256];

	ck_assert_int_eq(mkdir("sub", 0755), 0);
	check_conf_write("run.sh", "#!/bin/sh\n", 0755);
	check_conf_write("sub/run.sh", "#!/bin/sh\n", 0755);
	check_conf_write("x.conf",
	    "[hostler]\npid_file = my.pid\n"
	    "[service a]\nlisten=81\nprotocol=line\nhandler=program\ncommand=./run.sh\n"
	    "[service b]\nlisten=82\nprotocol=line\nhandler=program\ncommand=./run.sh\n"
	    "directory=sub\n"
	    "[service c]\nlisten=83\nprotocol=line\nhandler=program\ncommand=sub/run.sh\n",
	    0644);
	ck_assert_int_eq(chdir("sub"), 0);
	conf = conf_load("../x.conf", CONTROL, &errors);
	if (conf == NULL)
		ck_abort_msg("%s", help_told(&errors));
	snprintf(expected, sizeof(expected), "%s/sub/../run.sh", check_conf_folder);
	ck_assert_str_eq(conf->services[0].executable, expected);
	ck_assert_str_eq(conf->services[0].argv[0], "./run.sh");
	snprintf(expected, sizeof(expected), "%s/sub/../sub", check_conf_folder);
	ck_assert_str_eq(conf->services[1].directory, expected);
	snprintf(expected, sizeof(expected), "%s/sub/../sub/run.sh", check_conf_folder);
	ck_assert_str_eq(conf->services[1].executable, expected);
	ck_assert_str_eq(conf->services[2].executable, expected);
	snprintf(expected, sizeof(expected), "%s/sub/../my.pid", check_conf_folder);
	ck_assert_str_eq(conf->pid_file, expected);
	snprintf(expected, sizeof(expected), "%s/sub/../x.conf", check_conf_folder);
	ck_assert_str_eq(conf->file, expected);
	ck_assert_str_eq(conf->services[0].origin, "../x.conf:3");
	conf_free(conf);
}
END_TEST

START_TEST(test_not_executable)
{
	char expected[512], *told;

	check_conf_write("plain.sh", "#!/bin/sh\n", 0644);
	check_conf_write("x.conf",
	    "[service a]\nlisten=81\nprotocol=line\nhandler=program\ncommand=./plain.sh\n", 0644);
	told = check_conf_load_bad("x.conf");
	snprintf(expected, sizeof(expected),
	    "x.conf:5: [service a] command: %s/plain.sh is no executable file; chmod +x makes a "
	    "script one\n",
	    check_conf_folder);
	ck_assert_str_eq(told, expected);
	free(told);
}
END_TEST

START_TEST(test_unreadable)
{
	char *told = check_conf_load_bad("/nowhere/x.conf");

	ck_assert_str_eq(told, "/nowhere/x.conf: cannot be opened: No such file or directory\n");
	free(told);
	told = check_conf_load_bad("/tmp");
	ck_assert_str_eq(told, "/tmp: cannot be read: Is a directory\n");
	free(told);
	told = check_conf_load_bad("/dev/zero");
	ck_assert_str_eq(told, "/dev/zero: cannot be read: it is longer than 16 MiB\n");
	free(told);
}
END_TEST

/* What root runs must not be in other hands; for anybody else it is their own matter. */
START_TEST(test_owner)
{
	struct conf_errors errors;
	struct conf *conf;
	char *told;

	unsetenv("SUDO_UID");
	check_conf_write("x.conf", ECHO, 0664);
	if (geteuid() != 0) {
		conf = conf_load("x.conf", CONTROL, &errors);
		ck_assert_ptr_nonnull(conf);
		conf_free(conf);
		return;
	}
	told = check_conf_load_bad("x.conf");
	ck_assert_str_eq(told, "x.conf: others may write to the file (mode 664), so root does not "
			       "use it; chmod go-w it\n");
	free(told);
	check_conf_write("x.conf", ECHO "queu=1\n", 0602);
	told = check_conf_load_bad("x.conf");
	ck_assert_ptr_nonnull(strstr(told, "(mode 602)"));
	ck_assert_ptr_nonnull(strstr(told, "queu: unknown key"));
	free(told);
	check_conf_write("x.conf", ECHO, 0644);
	ck_assert_int_eq(chown("x.conf", 4711, 0), 0);
	told = check_conf_load_bad("x.conf");
	ck_assert_str_eq(told, "x.conf: the file belongs to user 4711, so root does not use it; "
			       "chown root it\n");
	free(told);
	setenv("SUDO_UID", "4711", 1);
	conf = conf_load("x.conf", CONTROL, &errors);
	ck_assert_ptr_nonnull(conf);
	conf_free(conf);
}
END_TEST

/* ---- users ---- */

/* A name becomes ids; what the service does not say, [hostler] does. */
START_TEST(test_users)
{
	const struct passwd *nobody = getpwnam("nobody");
	uid_t uid;
	gid_t gid;
	struct conf *conf;

	if (geteuid() != 0 || nobody == NULL)
		return; /* test_users_not_root has the other half */
	uid = nobody->pw_uid;
	gid = nobody->pw_gid;
	conf = help_good("[hostler]\nuser=nobody\n" PROGRAM);
	ck_assert_uint_eq(conf->uid, uid);
	ck_assert_uint_eq(conf->gid, gid);
	ck_assert_uint_eq(conf->services[0].uid, uid);
	ck_assert_uint_eq(conf->services[0].gid, gid);
	conf_free(conf);
	conf = help_good("[hostler]\nuser=nobody\ngroup=root\n" PROGRAM "user=root\n");
	ck_assert_uint_eq(conf->gid, 0);
	ck_assert_uint_eq(conf->services[0].uid, 0);
	ck_assert_uint_eq(conf->services[0].gid, 0);
	conf_free(conf);
	conf = help_good(PROGRAM "user=nobody\ngroup=root\n");
	ck_assert_uint_eq(conf->uid, CONF_NO_ID);
	ck_assert_uint_eq(conf->services[0].uid, uid);
	ck_assert_uint_eq(conf->services[0].gid, 0);
	conf_free(conf);
}
END_TEST

START_TEST(test_users_not_root)
{
	struct conf_errors errors;
	char expected[512], *told;

	if (geteuid() == 0) {
		ck_assert_int_eq(chdir("/"), 0); /* ours may be root's alone */
		ck_assert_int_eq(setegid(65534), 0);
		ck_assert_int_eq(seteuid(65534), 0);
	}
	ck_assert_ptr_null(help_parse(PROGRAM "user=root\ngroup=root\n", &errors));
	told = help_told(&errors);
	snprintf(expected, sizeof(expected),
	    "t.conf:6: [service a] user: only root can become another user, and this is user %u\n"
	    "t.conf:7: [service a] group: only root can take another group, and this is group "
	    "%u\n",
	    geteuid(), getegid());
	ck_assert_str_eq(told, expected);
	free(told);
	if (getpwuid(geteuid()) != NULL) {
		snprintf(
		    expected, sizeof(expected), PROGRAM "user=%s\n", getpwuid(geteuid())->pw_name);
		conf_free(help_good(expected));
	}
	/* Back again, so that a leak check at the exit may look into this process. */
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf_files");
	TCase *files = tcase_create("files"), *users = tcase_create("users");

	/* The folder is made and removed for each test, in the process of the test. */
	tcase_add_checked_fixture(files, check_conf_make, check_conf_remove);
	tcase_add_test(files, test_paths);
	tcase_add_test(files, test_not_executable);
	tcase_add_test(files, test_unreadable);
	tcase_add_test(files, test_owner);
	suite_add_tcase(suite, files);
	tcase_add_test(users, test_users);
	tcase_add_test(users, test_users_not_root);
	suite_add_tcase(suite, users);
	return help_run(suite);
}
