/*
 * Two real workers, a master who says only what moves need, and clients. Counts the steps of a move
 * by standing in front of sendmsg(2) and recvmsg(2). Owns the processes that it starts.
 */
#include "tests/unit/move_pair.h"

#include "common/log.h"
#include "ipc/chan.h"
#include "ipc/move.h"
#include "tests/unit/conf_help.h"
#include "tests/unit/daemon_help.h"
#include "workers/worker.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- steps ---- */

static struct pair_steps *pair_mine; /* borrows; NULL in the test itself */
static int pair_control = -1;        /* the worker's channel to its master is not counted */

static void
pair_step(void)
{
	if (++pair_mine->count == pair_mine->at)
		raise(pair_mine->signal);
}

static void
pair_note_sent(const struct msghdr *mh)
{
	const union move_packet *packet = mh->msg_iov[0].iov_base;
	size_t length = mh->msg_iov[0].iov_len;

	if (packet->type == MOVE_HEAD)
		pair_mine->owed = packet->head.state + packet->head.in + packet->head.out;
	else if (packet->type == MOVE_BYTES)
		pair_mine->owed -= length - move_bytes_length(0);
	else
		return;
	pair_mine->whole += pair_mine->owed == 0;
}

ssize_t
sendmsg(int fd, const struct msghdr *mh, int flags)
{
	bool counts = pair_mine != NULL && fd != pair_control;
	ssize_t n;

	if (counts)
		pair_step();
	n = syscall(SYS_sendmsg, fd, mh, flags);
	if (counts && *(const uint32_t *)mh->msg_iov[0].iov_base == MOVE_TAKEN &&
	    (n >= 0 || errno == EPIPE || errno == ECONNRESET))
		pair_mine->taken++;
	if (counts && n >= 0) {
		pair_note_sent(mh);
		pair_step();
	}
	return n;
}

ssize_t
recvmsg(int fd, struct msghdr *mh, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, mh, flags);

	if (pair_mine != NULL && fd != pair_control && n >= 0) {
		pair_step();
		if (n == 0)
			pair_mine->ended = true;
	}
	return n;
}

int
accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	int accepted = (int)syscall(SYS_accept4, fd, address, length, flags);
	struct stat status;

	if (pair_mine != NULL && accepted >= 0 && fstat(accepted, &status) == 0 &&
	    pair_mine->accepted < PAIR_CLIENTS)
		pair_mine->inodes[pair_mine->accepted++] = status.st_ino;
	return accepted;
}

/* ---- the two workers ---- */

static void __attribute__((noreturn))
pair_child(struct pair *pair, enum pair_side side, int channel)
{
	static struct pool *no_pool = NULL;
	static const int no_log = -1;
	struct worker_listener listener = {.fd = pair->listener};
	struct worker_start start = {.conf = pair->confs[side],
	    .id = side,
	    .ids = PAIR_SIDES,
	    .backend = BACKEND_EPOLL,
	    .max_connections = 10000,
	    .channel = channel,
	    .wakes = pair->wakes,
	    .wake_master = pair->wake_master,
	    .listeners = &listener,
	    .listener_count = 1,
	    .access_logs = &no_log,
	    .pools = &no_pool,
	    .stats = &pair->stats,
	    .sum = pair->sum};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_open(side == PAIR_GIVER ? "giver" : "taker", LOG_LEVEL_WARN);
	for (int other = 0; other < PAIR_SIDES; other++)
		if (pair->workers[other].channel >= 0)
			close(pair->workers[other].channel);
	pair_mine = pair->workers[side].steps;
	pair_control = channel;
	_exit(worker_main(&start));
}

static void
pair_tell(struct pair *pair, enum pair_side side, struct msg msg, const int *fds)
{
	ck_assert_int_eq(chan_send(pair->workers[side].channel, &msg, fds), CHAN_OK);
}

void
pair_accept(struct pair *pair, enum pair_side side)
{
	pair_tell(pair, side, (struct msg){.type = MSG_ACCEPT}, NULL);
}

/* Waits for that message; others are of no interest. */
static struct msg
pair_hear(struct pair *pair, enum pair_side side, enum msg_type type)
{
	struct msg msg;
	int fds[MSG_FDS_MAX];
	enum chan_result result;

	do {
		help_wait_for((result = chan_receive(pair->workers[side].channel, MSG_FROM_WORKER,
				   &msg, fds)) != CHAN_AGAIN);
		ck_assert_int_eq(result, CHAN_OK);
	} while (msg.type != type);
	return msg;
}

static void
pair_fork(struct pair *pair, enum pair_side side)
{
	struct pair_worker *worker = &pair->workers[side];
	int ends[2];

	ck_assert_int_eq(chan_pair(ends), 0);
	worker->channel = ends[0];
	worker->steps = mmap(NULL, sizeof(*worker->steps), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(worker->steps != MAP_FAILED);
	worker->pid = fork();
	ck_assert_int_ge(worker->pid, 0);
	if (worker->pid == 0)
		pair_child(pair, side, ends[1]);
	close(ends[1]);
	pair_tell(pair, side, (struct msg){.type = MSG_START}, NULL);
	(void)pair_hear(pair, side, MSG_READY);
}

static void
pair_listen(struct pair *pair, bool by_unix)
{
	struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(tcp);
	int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, small = 16384;

	pair->listener = socket(by_unix ? AF_UNIX : AF_INET, kind, 0);
	if (by_unix) {
		char *folder = help_folder();

		snprintf(un.sun_path, sizeof(un.sun_path), "%s/socket", folder);
		pair->unix_path = strdup(un.sun_path);
		free(folder);
		ck_assert_int_eq(bind(pair->listener, (void *)&un, sizeof(un)), 0);
	} else {
		/* The clients' sockets have it from this one; so little output fills them. */
		setsockopt(pair->listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		ck_assert_int_eq(bind(pair->listener, (void *)&tcp, sizeof(tcp)), 0);
		ck_assert_int_eq(getsockname(pair->listener, (void *)&tcp, &length), 0);
		pair->tcp_port = ntohs(tcp.sin_port);
	}
	ck_assert_int_eq(listen(pair->listener, 1000), 0);
}

void
pair_open(struct pair *pair, const char *giver, const char *taker, bool by_unix)
{
	*pair = (struct pair){.workers = {{.channel = -1}, {.channel = -1}}};
	pair->confs[PAIR_GIVER] = help_good(giver);
	pair->confs[PAIR_TAKER] = help_good(taker);
	pair->stats = stats_new(PAIR_SIDES);
	pair->sum = stats_new(PAIR_SIDES);
	pair->wake_master = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int side = 0; side < PAIR_SIDES; side++)
		pair->wakes[side] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pair_listen(pair, by_unix);
	pair_fork(pair, PAIR_GIVER);
	pair_fork(pair, PAIR_TAKER);
	pair_accept(pair, PAIR_GIVER);
}

void
pair_kill(struct pair *pair, enum pair_side side)
{
	struct pair_worker *worker = &pair->workers[side];
	int status;

	if (worker->pid == 0)
		return;
	kill(worker->pid, SIGKILL);
	ck_assert_int_eq(waitpid(worker->pid, &status, 0), worker->pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	    "worker %d ended by itself: status %x", side, (unsigned)status);
	worker->pid = 0;
	close(worker->channel);
	worker->channel = -1;
}

void
pair_close(struct pair *pair)
{
	for (int side = 0; side < PAIR_SIDES; side++) {
		pair_kill(pair, side);
		munmap(pair->workers[side].steps, sizeof(struct pair_steps));
		conf_free(pair->confs[side]);
		close(pair->wakes[side]);
	}
	close(pair->wake_master);
	close(pair->listener);
	stats_free(pair->stats);
	stats_free(pair->sum);
	if (pair->unix_path != NULL) {
		unlink(pair->unix_path);
		*strrchr(pair->unix_path, '/') = '\0';
		rmdir(pair->unix_path);
	}
	free(pair->unix_path);
}

/* ---- orders ---- */

void
pair_order(struct pair *pair, enum pair_side side, int end)
{
	struct msg msg = {.type = side == PAIR_GIVER ? MSG_GIVE : MSG_TAKE};

	if (side == PAIR_GIVER) {
		msg.give.order = 1;
		msg.give.most = MSG_GIVE_ALL;
	}
	pair_tell(pair, side, msg, &end);
	close(end);
}

void
pair_move(struct pair *pair, int room)
{
	int ends[2];

	pair_accept(pair, PAIR_TAKER);
	ck_assert_int_eq(chan_pair(ends), 0);
	if (room > 0)
		setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	pair_order(pair, PAIR_TAKER, ends[1]);
	pair_order(pair, PAIR_GIVER, ends[0]);
}

uint64_t
pair_given(struct pair *pair)
{
	return pair_hear(pair, PAIR_GIVER, MSG_GIVEN).given.moved;
}

void
pair_ping(struct pair *pair, enum pair_side side)
{
	pair_tell(pair, side, (struct msg){.type = MSG_PING, .number.number = 7}, NULL);
	ck_assert_uint_eq(pair_hear(pair, side, MSG_PONG).number.number, 7);
}

bool
pair_wait_step(struct pair *pair, enum pair_side side, bool (*is_over)(struct pair *))
{
	struct pair_worker *worker = &pair->workers[side];
	uint64_t end = clock_now() + HELP_DEADLINE;
	siginfo_t info = {0};

	while (
	    waitid(P_PID, (id_t)worker->pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid == 0) {
		if (is_over(pair) && worker->steps->count < worker->steps->at)
			return false;
		ck_assert_msg(clock_now() < end, "neither the step nor the end came");
		poll(NULL, 0, 1);
	}
	if (info.si_code != CLD_STOPPED)
		pair_kill(pair, side); /* it is dead: only what is left of it goes */
	return true;
}

static bool
pair_sleeps(pid_t pid)
{
	char path[64], line[512], state = 'X';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	file = fopen(path, "re");
	if (fgets(line, sizeof(line), file) != NULL)
		sscanf(strrchr(line, ')') + 1, " %c", &state);
	fclose(file);
	return state == 'S';
}

void
pair_wait_quiet(struct pair *pair, enum pair_side side)
{
	const struct pair_worker *worker = &pair->workers[side];
	unsigned before = ~0U, same = 0;

	while (same < 3) {
		same = worker->steps->count == before && pair_sleeps(worker->pid) ? same + 1 : 0;
		before = worker->steps->count;
		poll(NULL, 0, 1);
	}
}

/* ---- who holds what ---- */

uint64_t
pair_open_count(const struct pair *pair, enum pair_side side)
{
	return atomic_load(&stats_row(pair->stats, side)->open);
}

/* Counts descriptors of the worker; only those of that socket where an inode is given. */
static int
pair_count(const struct pair *pair, enum pair_side side, ino_t inode)
{
	char path[64], wanted[64], link[400], target[64];
	const struct dirent *entry;
	int count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pair->workers[side].pid);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", (unsigned long)inode);
	folder = opendir(path);
	if (folder == NULL)
		return 0;
	while ((entry = readdir(folder)) != NULL) {
		ssize_t n;

		snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
		n = readlink(link, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		count += inode == 0 || strcmp(target, wanted) == 0;
	}
	closedir(folder);
	return count;
}

bool
pair_holds(const struct pair *pair, enum pair_side side, unsigned number)
{
	return pair->workers[side].pid > 0 &&
	       pair_count(pair, side, pair->workers[PAIR_GIVER].steps->inodes[number]) > 0;
}

int
pair_count_fds(const struct pair *pair, enum pair_side side)
{
	return pair_count(pair, side, 0);
}

int
pair_lowest_fd(const struct pair *pair, enum pair_side side)
{
	char path[64];
	struct stat status;
	int fd = -1;

	do
		snprintf(
		    path, sizeof(path), "/proc/%ld/fd/%d", (long)pair->workers[side].pid, ++fd);
	while (lstat(path, &status) == 0);
	return fd;
}

/* ---- clients ---- */

int
pair_knock(const struct pair *pair)
{
	struct sockaddr_in tcp = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)pair->tcp_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int client = socket(pair->unix_path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM, 0),
	    small = 16384, segment = 1400; /* else a small window is slow */

	setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (pair->unix_path != NULL) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", pair->unix_path);
		ck_assert_int_eq(connect(client, (void *)&un, sizeof(un)), 0);
	} else {
		setsockopt(client, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
		ck_assert_int_eq(connect(client, (void *)&tcp, sizeof(tcp)), 0);
	}
	return client;
}

int
pair_connect(struct pair *pair)
{
	uint64_t before = pair_open_count(pair, PAIR_GIVER);
	int client = pair_knock(pair);

	help_wait_for(pair_open_count(pair, PAIR_GIVER) == before + 1);
	return client;
}

void
pair_send(int client, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = send(client, bytes, length, MSG_NOSIGNAL);

		ck_assert_int_gt(n, 0);
		bytes += n;
		length -= (size_t)n;
	}
}

/* Waits for something to read. Returns how many bytes came: 0 at the end of the stream. */
static size_t
pair_read(int client, char *bytes, size_t room)
{
	struct pollfd ready = {.fd = client, .events = POLLIN};
	ssize_t n;

	ck_assert_msg(poll(&ready, 1, 10000) == 1, "no answer");
	n = recv(client, bytes, room, 0);
	return n < 0 ? 0 : (size_t)n;
}

void
pair_expect(int client, const char *bytes, size_t length)
{
	static char came[65536];

	while (length > 0) {
		size_t n = pair_read(client, came, length < sizeof(came) ? length : sizeof(came));

		ck_assert_msg(n > 0, "closed with %zu bytes owed", length);
		ck_assert_msg(memcmp(came, bytes, n) == 0, "other bytes than those that are owed");
		bytes += n;
		length -= n;
	}
}

void
pair_expect_end(int client, const char *bytes, size_t length)
{
	static char came[65536];
	size_t n;

	while ((n = pair_read(client, came, sizeof(came))) > 0) {
		ck_assert_msg(n <= length && memcmp(came, bytes, n) == 0, "bytes that nobody owed");
		bytes += n;
		length -= n;
	}
}

void
pair_talk(int client, unsigned number)
{
	char line[32];
	int length = snprintf(line, sizeof(line), "and now %u\n", number);
	char byte;

	pair_send(client, line, (size_t)length);
	pair_expect(client, line, (size_t)length);
	ck_assert_int_eq(recv(client, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}
