/* EPOLLEXCLUSIVE below libevent: found, watched and forgotten like any event; and one is woken. */
#include "tests/unit/run_help.h"
#include "workers/exclusive.h"

#include <event2/event.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLEEPERS 4

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	++*(int *)arg;
}

static void
signal_it(int fd)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

static void
turn(struct event_base *base)
{
	ck_assert_int_ge(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
}

START_TEST(it_is_an_event_like_any)
{
	struct event_base *base = event_base_new();
	int epoll = exclusive_find(base), fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), count = 0;
	struct event *event = event_new(base, fd, EV_READ | EV_PERSIST, on_event, &count);

	ck_assert_int_ge(epoll, 0);
	ck_assert_int_eq(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
	for (int round = 1; round <= 3; round++) {
		ck_assert_int_eq(event_add(event, NULL), 0);
		ck_assert(exclusive_watch(epoll, fd));
		turn(base);
		ck_assert_int_eq(count, 2 * (round - 1));
		signal_it(fd);
		turn(base);
		turn(base); /* it is still readable */
		ck_assert_int_eq(count, 2 * round);
		ck_assert_int_eq(event_del(event), 0);
		turn(base);
		ck_assert_int_eq(count, 2 * round);
		ck_assert_int_eq(read(fd, &(uint64_t){0}, sizeof(uint64_t)), sizeof(uint64_t));
	}
	/* What is not watched cannot be watched otherwise. */
	ck_assert(!exclusive_watch(epoll, fd));
	event_free(event);
	event_base_free(base);
	close(fd);
}
END_TEST

START_TEST(other_loops_have_none)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	event_config_avoid_method(config, "epoll");
	base = event_base_new_with_config(config);
	ck_assert_int_eq(exclusive_find(base), -1);
	event_base_free(base);
	event_config_free(config);
}
END_TEST

/* Says on `out` when it sleeps and when it was woken. */
static void
sleep_as_worker(int fd, int out, bool exclusively)
{
	static const struct timeval patience = {.tv_sec = 5};
	struct event_base *base = event_base_new();
	int epoll = exclusive_find(base), count = 0;
	struct event *event = event_new(base, fd, EV_READ | EV_PERSIST, on_event, &count);

	alarm(10);
	if (event_add(event, NULL) != 0 || (exclusively && !exclusive_watch(epoll, fd)))
		_exit(2);
	event_base_loopexit(base, &patience);
	signal_it(out);
	event_base_loop(base, EVLOOP_ONCE);
	if (count > 0)
		signal_it(out);
	/* The others sleep on, as if this one had taken it. */
	pause();
	_exit(0);
}

static unsigned
take_signals(int fd, unsigned enough, int milliseconds)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	unsigned sum = 0;
	uint64_t more;

	while (sum < enough && poll(&p, 1, milliseconds) == 1 &&
	       read(fd, &more, sizeof(more)) == sizeof(more))
		sum += (unsigned)more;
	return sum;
}

static unsigned
count_woken(bool exclusively)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), out = eventfd(0, EFD_CLOEXEC);
	pid_t pids[SLEEPERS];
	unsigned woken;

	for (int i = 0; i < SLEEPERS; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0)
			sleep_as_worker(fd, out, exclusively);
	}
	ck_assert_uint_eq(take_signals(out, SLEEPERS, 5000), SLEEPERS);
	usleep(50000); /* between what they said and their sleep nobody can look */
	signal_it(fd);
	woken = take_signals(out, SLEEPERS, exclusively ? 200 : 2000);
	for (int i = 0; i < SLEEPERS; i++) {
		kill(pids[i], SIGKILL);
		ck_assert_int_eq(waitpid(pids[i], NULL, 0), pids[i]);
	}
	close(fd);
	close(out);
	return woken;
}

START_TEST(not_all_are_woken)
{
	unsigned woken = count_woken(true);

	ck_assert_uint_eq(count_woken(false), SLEEPERS);
	ck_assert_uint_ge(woken, 1);
	/* One; or one more for each who was not asleep yet on a busy machine. */
	ck_assert_uint_lt(woken, SLEEPERS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("exclusive");
	TCase *tcase = tcase_create("exclusive");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, it_is_an_event_like_any);
	tcase_add_test(tcase, other_loops_have_none);
	tcase_add_test(tcase, not_all_are_woken);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
