/*
 * Listening sockets: ports and who has them, unix sockets that are stale, live or no sockets at
 * all, and the pid file, which has the same questions.
 */
#include "daemon/listen.h"
#include "daemon/owner.h"
#include "daemon/pidfile.h"
#include "daemon/sockpath.h"
#include "tests/unit/daemon_help.h"
#include "tests/unit/run_help.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WHY_MAX 256

static struct addr
address(const char *text)
{
	struct addr addr;
	char why[WHY_MAX];

	ck_assert_msg(addr_parse(&addr, text, why, sizeof(why)), "%s: %s", text, why);
	return addr;
}

/* A configuration of one service with these addresses. The caller owns the addresses. */
static struct conf *
make_conf(struct addr *addresses, unsigned count)
{
	struct conf *conf = calloc(1, sizeof(*conf));

	conf->services = calloc(1, sizeof(*conf->services));
	conf->service_count = 1;
	conf->services[0].name = "upper";
	conf->services[0].backlog = 8;
	conf->services[0].listen = addresses;
	conf->services[0].listens = count;
	return conf;
}

static bool
can_connect(const struct addr *addr)
{
	int fd = socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool can = connect(fd, (const struct sockaddr *)&addr->storage, addr->length) == 0;

	close(fd);
	return can;
}

static bool
has_ipv6(void)
{
	struct addr addr = address("[::1]:0");
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&addr.storage, addr.length) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

START_TEST(several_addresses_with_their_real_ports)
{
	struct addr addresses[3] = {address("127.0.0.1:0"), address("127.0.0.1:0")}, first;
	struct conf *conf;
	struct conf_errors errors = {0};
	struct listen_set set;
	unsigned count = 2;
	char text[ADDR_TEXT_MAX], *log;
	int file = help_catch_log();

	if (has_ipv6())
		addresses[count++] = address("[::1]:0");
	else
		fprintf(stderr, "skipped: no IPv6 here\n");
	conf = make_conf(addresses, count);
	ck_assert(listen_open(&set, conf, NULL, &errors));
	ck_assert_uint_eq(set.count, count);
	log = help_log(file);
	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_ne(addr_port(&set.sockets[i]->addr), 0);
		ck_assert(can_connect(&set.sockets[i]->addr));
		ck_assert_ptr_nonnull(strstr(log, addr_format(&set.sockets[i]->addr, text)));
		ck_assert(fcntl(set.listeners[i].fd, F_GETFL) & O_NONBLOCK);
		ck_assert(fcntl(set.listeners[i].fd, F_GETFD) & FD_CLOEXEC);
	}
	first = set.sockets[0]->addr;
	listen_close(&set);
	ck_assert_uint_eq(set.count, 0);
	ck_assert(!can_connect(&first));
	listen_free(&set);
	free(log);
	free(conf->services);
	free(conf);
}
END_TEST

/* Both families on one port, as [::]:80 with *:80. */
START_TEST(ipv6_does_not_take_ipv4_along)
{
	struct addr addresses[2];
	char text[64];
	struct conf_errors errors = {0};
	struct listen_set set;
	struct conf *conf;

	help_catch_log();
	if (!has_ipv6()) {
		fprintf(stderr, "skipped: no IPv6 here\n");
		return;
	}
	addresses[0] = address("*:0");
	conf = make_conf(addresses, 1);
	ck_assert(listen_open(&set, conf, NULL, &errors));
	snprintf(text, sizeof(text), "[::]:%u", addr_port(&set.sockets[0]->addr));
	addresses[1] = address(text);
	conf->services[0].listen = &addresses[1];
	{
		struct listen_set second;

		ck_assert(listen_open(&second, conf, NULL, &errors));
		listen_free(&second);
	}
	listen_free(&set);
	free(conf->services);
	free(conf);
}
END_TEST

/* What has the address already is shared; what is new is opened, what nobody has is closed. */
START_TEST(sockets_are_kept_by_address)
{
	struct addr addresses[2] = {address("127.0.0.1:0"), address("127.0.0.1:0")}, port;
	struct conf_errors errors = {0};
	struct listen_set first, second;
	struct conf *conf = make_conf(addresses, 1);

	help_catch_log();
	ck_assert(listen_open(&first, conf, NULL, &errors));
	port = first.sockets[0]->addr;
	conf->services[0].listens = 2;
	ck_assert(listen_open(&second, conf, &first, &errors));
	ck_assert_uint_eq(second.count, 2);
	ck_assert_ptr_eq(second.sockets[0], first.sockets[0]);
	ck_assert_ptr_ne(second.sockets[1], first.sockets[0]);
	listen_free(&first);
	ck_assert(can_connect(&port));
	listen_free(&second);
	ck_assert(!can_connect(&port));
	free(conf->services);
	free(conf);
}
END_TEST

START_TEST(wildcard_beside_its_address_is_refused_with_the_reason)
{
	struct addr addresses[1] = {address("127.0.0.1:0")}, wildcard;
	struct conf_errors errors = {0};
	struct listen_set first, second;
	struct conf *conf = make_conf(addresses, 1);
	char text[64];

	help_catch_log();
	ck_assert(listen_open(&first, conf, NULL, &errors));
	snprintf(text, sizeof(text), "*:%u", addr_port(&first.sockets[0]->addr));
	wildcard = address(text);
	conf->services[0].listen = &wildcard;
	ck_assert(!listen_open(&second, conf, &first, &errors));
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_ptr_nonnull(strstr(errors.lines[0], "it collides with 127.0.0.1:"));
	conf_errors_free(&errors);
	listen_free(&second);
	listen_free(&first);
	free(conf->services);
	free(conf);
}
END_TEST

/* All that fails is told, with the owner's name, and the rest is not left half open. */
START_TEST(port_in_use_names_its_owner)
{
	struct addr addresses[2] = {address("127.0.0.1:0"), address("127.0.0.1:0")};
	struct sockaddr_in taken = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(taken);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct conf *conf = make_conf(addresses, 2);
	struct conf_errors errors = {0};
	struct listen_set set;
	char expected[256], text[64];

	prctl(PR_SET_NAME, "landlord");
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&taken, sizeof(taken)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&taken, &length), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(taken.sin_port));
	addresses[0] = address(text);
	ck_assert(!listen_open(&set, conf, NULL, &errors));
	ck_assert_uint_eq(set.count, 1);
	snprintf(expected, sizeof(expected),
	    "--listen: cannot listen on %s: port %u is in use by landlord (pid %ld)", text,
	    ntohs(taken.sin_port), (long)getpid());
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_str_eq(errors.lines[0], expected);
	conf_errors_free(&errors);
	listen_free(&set);
	free(conf->services);
	free(conf);
}
END_TEST

/* A worker cannot be stopped by who reads this: its master, which has the same name, is told. */
START_TEST(port_of_a_child_names_the_one_above)
{
	struct sockaddr_in taken = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(taken);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char expected[64], text[64];
	struct addr addr;
	int gate[2];
	pid_t child;

	prctl(PR_SET_NAME, "land) lord");
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&taken, sizeof(taken)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&taken, &length), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(taken.sin_port));
	addr = address(text);
	ck_assert_int_eq(pipe(gate), 0);
	child = fork();
	if (child == 0) {
		close(gate[1]);
		_exit(read(gate[0], text, 1) == 0 ? 0 : 1);
	}
	ck_assert_int_gt(child, 0);
	close(fd);
	snprintf(expected, sizeof(expected), "land) lord (pid %ld)", (long)getpid());
	ck_assert(owner_find(&addr, text, sizeof(text)));
	ck_assert_str_eq(text, expected);
	close(gate[0]);
	close(gate[1]);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

START_TEST(free_port_has_no_owner)
{
	struct addr addr = address("127.0.0.1:1");
	char text[128];

	ck_assert(!owner_find(&addr, text, sizeof(text)));
}
END_TEST

/* ---- unix sockets ---- */

struct place {
	char *folder, *path;
	struct addr addr;
	struct sockpath sockpath;
	char why[WHY_MAX];
	int fd;
};

static void
place_open(struct place *place)
{
	char text[128];

	place->folder = help_folder();
	place->path = malloc(128);
	snprintf(place->path, 128, "%s/s", place->folder);
	snprintf(text, sizeof(text), "unix:%s", place->path);
	place->addr = address(text);
	place->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static bool
place_bind(struct place *place, mode_t mode)
{
	return sockpath_bind(
	    &place->sockpath, place->fd, &place->addr, mode, place->why, sizeof(place->why));
}

static void
place_close(struct place *place)
{
	unlink(place->path);
	ck_assert_int_eq(rmdir(place->folder), 0);
	free(place->folder);
	free(place->path);
	close(place->fd);
}

static void
place_occupy(struct place *place, int fd, bool live)
{
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&place->addr.storage, place->addr.length), 0);
	if (live)
		ck_assert_int_eq(listen(fd, 0), 0);
}

START_TEST(fresh_unix_socket_has_its_mode_and_goes)
{
	struct place place;
	struct stat st;

	place_open(&place);
	umask(077);
	ck_assert_msg(place_bind(&place, 0666), "%s", place.why);
	ck_assert_int_eq(umask(022), 077);
	ck_assert_int_eq(stat(place.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0666);
	sockpath_remove(&place.sockpath, place.path);
	ck_assert_int_eq(access(place.path, F_OK), -1);
	place_close(&place);
}
END_TEST

START_TEST(stale_unix_socket_is_replaced)
{
	struct place place;
	int old = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	place_open(&place);
	place_occupy(&place, old, true);
	close(old);
	ck_assert_int_eq(access(place.path, F_OK), 0);
	ck_assert_msg(place_bind(&place, 0600), "%s", place.why);
	ck_assert_int_eq(listen(place.fd, 1), 0);
	ck_assert(can_connect(&place.addr));
	place_close(&place);
}
END_TEST

START_TEST(live_unix_socket_is_never_replaced)
{
	struct place place;
	int old = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat before, after;

	place_open(&place);
	place_occupy(&place, old, true);
	ck_assert_int_eq(stat(place.path, &before), 0);
	for (int i = 0; i < 4; i++) {
		/* From the second on the queue is full, which is as live. */
		ck_assert(!place_bind(&place, 0600));
		ck_assert_str_eq(place.why, "is in use by a running program");
	}
	ck_assert_int_eq(stat(place.path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	close(old);
	place_close(&place);
}
END_TEST

START_TEST(file_that_is_no_socket_is_never_replaced)
{
	struct place place;
	struct stat st;
	int file;

	place_open(&place);
	file = open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(file, "x", 1), 1);
	close(file);
	ck_assert(!place_bind(&place, 0600));
	ck_assert_str_eq(place.why, "exists and is no socket");
	ck_assert_int_eq(stat(place.path, &st), 0);
	ck_assert_int_eq(st.st_size, 1);
	place_close(&place);
}
END_TEST

/* What a successor made in the meantime is not ours to remove. */
START_TEST(only_our_own_socket_is_removed)
{
	struct place place;
	int next = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char kept[160];

	place_open(&place);
	snprintf(kept, sizeof(kept), "%s/kept", place.folder);
	ck_assert(place_bind(&place, 0600));
	/* Kept as another name, so that its inode is not used again. */
	ck_assert_int_eq(rename(place.path, kept), 0);
	place_occupy(&place, next, true);
	sockpath_remove(&place.sockpath, place.path);
	ck_assert_int_eq(access(place.path, F_OK), 0);
	unlink(kept);
	close(next);
	place_close(&place);
}
END_TEST

/* ---- the pid file ---- */

START_TEST(pid_file_refuses_a_second_daemon_and_survives_the_first)
{
	char *folder = help_folder();
	char path[128], why[WHY_MAX], expected[WHY_MAX], text[32] = "";
	int ready[2], fd;
	pid_t other;
	char byte;

	snprintf(path, sizeof(path), "%s/pid", folder);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	other = fork();
	if (other == 0) {
		if (pidfile_open(path, why, sizeof(why)) >= 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(pidfile_open(path, why, sizeof(why)), -1);
	snprintf(expected, sizeof(expected), "pid file %s belongs to a running daemon (pid %ld)",
	    path, (long)other);
	ck_assert_str_eq(why, expected);
	kill(other, SIGKILL);
	ck_assert_int_eq(waitpid(other, NULL, 0), other);
	/* The dead one's file does not stand in the way. */
	fd = pidfile_open(path, why, sizeof(why));
	ck_assert_msg(fd >= 0, "%s", why);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_gt(pread(fd, text, sizeof(text) - 1, 0), 1);
	ck_assert_int_eq(atol(text), getpid());
	pidfile_close(fd, path);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(rmdir(folder), 0);
	free(folder);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("listen");
	TCase *tests = tcase_create("listen");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, several_addresses_with_their_real_ports);
	tcase_add_test(tests, ipv6_does_not_take_ipv4_along);
	tcase_add_test(tests, sockets_are_kept_by_address);
	tcase_add_test(tests, wildcard_beside_its_address_is_refused_with_the_reason);
	tcase_add_test(tests, port_in_use_names_its_owner);
	tcase_add_test(tests, port_of_a_child_names_the_one_above);
	tcase_add_test(tests, free_port_has_no_owner);
	tcase_add_test(tests, fresh_unix_socket_has_its_mode_and_goes);
	tcase_add_test(tests, stale_unix_socket_is_replaced);
	tcase_add_test(tests, live_unix_socket_is_never_replaced);
	tcase_add_test(tests, file_that_is_no_socket_is_never_replaced);
	tcase_add_test(tests, only_our_own_socket_is_removed);
	tcase_add_test(tests, pid_file_refuses_a_second_daemon_and_survives_the_first);
	suite_add_tcase(suite, tests);
	return help_run(suite);
}
