/* Who workers and instances become, and that there is no way back. Most of it needs root. */
#include "daemon/priv.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>

#define WHY_MAX 256

static struct conf
conf_with(uid_t uid, gid_t gid)
{
	return (struct conf){.uid = uid, .gid = gid};
}

static struct conf_service
service_with(uid_t uid, gid_t gid)
{
	return (struct conf_service){.name = "upper", .uid = uid, .gid = gid};
}

#define NONE ((uid_t)-1)

/* In a child: becomes it, then tries to become root again in every way. */
static void
check_drop(const struct priv *priv, uid_t uid, gid_t gid)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		gid_t groups[64];
		uid_t u[3];
		gid_t g[3];
		const gid_t root = 0;
		int count;

		/* What root often has. */
		if (setgroups(1, &root) != 0)
			_exit(1);
		priv_drop(priv);
		count = getgroups(64, groups);
		if (getresuid(&u[0], &u[1], &u[2]) != 0 || getresgid(&g[0], &g[1], &g[2]) != 0)
			_exit(2);
		for (int i = 0; i < 3; i++)
			if (u[i] != uid || g[i] != gid)
				_exit(3);
		for (int i = 0; i < count; i++)
			if (groups[i] == 0)
				_exit(4);
		if (setuid(0) == 0 || setgid(0) == 0 || setgroups(0, NULL) == 0)
			_exit(5);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static bool
skip_without_root(void)
{
	if (geteuid() == 0)
		return false;
	fprintf(stderr, "skipped: only root can change ids\n");
	return true;
}

START_TEST(root_without_a_user_makes_workers_nobody)
{
	struct conf conf = conf_with(NONE, NONE);
	struct conf_service service = service_with(NONE, NONE);
	const struct passwd *nobody = getpwnam("nobody");
	char why[WHY_MAX];
	struct priv priv;

	if (skip_without_root())
		return;
	ck_assert_ptr_nonnull(nobody);
	ck_assert(priv_for_workers(&priv, &conf, why, sizeof(why)));
	check_drop(&priv, nobody->pw_uid, nobody->pw_gid);
	priv_close(&priv);
	/* Instances keep the caller's. */
	ck_assert(priv_for_service(&priv, &conf, &service, why, sizeof(why)));
	ck_assert(!priv.set_uid && !priv.set_gid);
	priv_close(&priv);
}
END_TEST

START_TEST(daemon_user_is_for_workers_and_instances)
{
	const struct passwd *user = getpwnam("daemon");
	struct conf_service service = service_with(NONE, NONE);
	char why[WHY_MAX];
	struct conf conf;
	struct priv priv;

	if (skip_without_root())
		return;
	ck_assert_ptr_nonnull(user);
	conf = conf_with(user->pw_uid, NONE);
	ck_assert(priv_for_workers(&priv, &conf, why, sizeof(why)));
	check_drop(&priv, user->pw_uid, user->pw_gid);
	priv_close(&priv);
	ck_assert(priv_for_service(&priv, &conf, &service, why, sizeof(why)));
	check_drop(&priv, user->pw_uid, user->pw_gid);
	priv_close(&priv);
}
END_TEST

START_TEST(service_user_goes_first_and_brings_its_own_group)
{
	const struct passwd *user = getpwnam("nobody");
	struct conf conf = conf_with(1, 1);
	struct conf_service service;
	char why[WHY_MAX];
	struct priv priv;

	if (skip_without_root())
		return;
	service = service_with(user->pw_uid, NONE);
	ck_assert(priv_for_service(&priv, &conf, &service, why, sizeof(why)));
	check_drop(&priv, user->pw_uid, user->pw_gid);
	priv_close(&priv);
	/* A uid that no user has gets a group of the same number. */
	service = service_with(7000, NONE);
	ck_assert(priv_for_service(&priv, &conf, &service, why, sizeof(why)));
	check_drop(&priv, 7000, 7000);
	priv_close(&priv);
	service = service_with(7000, 7001);
	ck_assert(priv_for_service(&priv, &conf, &service, why, sizeof(why)));
	check_drop(&priv, 7000, 7001);
	priv_close(&priv);
}
END_TEST

START_TEST(ordinary_user_changes_nothing)
{
	struct conf conf = conf_with(NONE, NONE);
	struct conf_service service = service_with(NONE, NONE);
	char why[WHY_MAX];
	struct priv priv;

	if (geteuid() == 0) {
		ck_assert_int_eq(setgroups(0, NULL), 0);
		ck_assert_int_eq(setresgid(7000, 7000, 7000), 0);
		ck_assert_int_eq(setresuid(7000, 7000, 7000), 0);
	}
	ck_assert(priv_for_workers(&priv, &conf, why, sizeof(why)));
	ck_assert(!priv.set_uid && !priv.set_gid);
	ck_assert(priv_for_service(&priv, &conf, &service, why, sizeof(why)));
	ck_assert(!priv.set_uid && !priv.set_gid);
	/* It may name itself, and nobody else. */
	conf = conf_with(geteuid(), getegid());
	ck_assert(priv_for_workers(&priv, &conf, why, sizeof(why)));
	ck_assert(!priv.set_uid);
	conf = conf_with(geteuid() + 1, NONE);
	ck_assert(!priv_for_workers(&priv, &conf, why, sizeof(why)));
	ck_assert_str_eq(why, "[hostler]: only root can change user or group");
	service = service_with(NONE, getegid() + 1);
	conf = conf_with(NONE, NONE);
	ck_assert(!priv_for_service(&priv, &conf, &service, why, sizeof(why)));
	ck_assert_str_eq(why, "upper: only root can change user or group");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("priv");
	TCase *tests = tcase_create("priv");

	tcase_add_test(tests, root_without_a_user_makes_workers_nobody);
	tcase_add_test(tests, daemon_user_is_for_workers_and_instances);
	tcase_add_test(tests, service_user_goes_first_and_brings_its_own_group);
	tcase_add_test(tests, ordinary_user_changes_nothing);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
