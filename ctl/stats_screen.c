/*
 * A terminal that is drawn on again and again. Owns its settings while it is open: keys come one by
 * one and are not echoed. Signals come through a descriptor, so the settings always go back.
 */
#include "ctl/stats_screen.h"

#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define STATS_SCREEN_ROWS 24 /* of a terminal that does not say */

struct stats_screen {
	int signals;      /* owns */
	bool is_terminal; /* what was drawn can be replaced */
	bool has_keys;    /* standard input is a terminal, whose settings are `before` */
	struct termios before;
	sigset_t mask; /* as it was */
	bool drawn;
};

static bool
stats_screen_can_draw(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) == 1 && term != NULL && term[0] != '\0' &&
	       strcmp(term, "dumb") != 0;
}

bool
stats_screen_has_color(void)
{
	const char *no_color = getenv("NO_COLOR");

	return stats_screen_can_draw() && (no_color == NULL || no_color[0] == '\0');
}

/* Keys one by one and unseen; Ctrl-C stays a signal. Not in the background: that would stop us. */
static void
stats_screen_take_keys(struct stats_screen *screen)
{
	struct termios keys;

	if (tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &screen->before) != 0)
		return;
	keys = screen->before;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	keys.c_cc[VMIN] = 1;
	keys.c_cc[VTIME] = 0;
	screen->has_keys = tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
}

struct stats_screen *
stats_screen_open(void)
{
	struct stats_screen *screen = mem_alloc(1, sizeof(*screen));
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	screen->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen->signals == -1) {
		free(screen);
		return NULL;
	}
	sigprocmask(SIG_BLOCK, &ends, &screen->mask);
	screen->is_terminal = stats_screen_can_draw();
	if (screen->is_terminal)
		stats_screen_take_keys(screen);
	return screen;
}

void
stats_screen_close(struct stats_screen *screen)
{
	struct signalfd_siginfo taken;

	if (screen->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
	/* A second Ctrl-C must not strike when the mask goes back: the end is near anyway. */
	while (read(screen->signals, &taken, sizeof(taken)) > 0)
		continue;
	sigprocmask(SIG_SETMASK, &screen->mask, NULL);
	close(screen->signals);
	free(screen);
}

static unsigned
stats_screen_rows(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_row < 2)
		return STATS_SCREEN_ROWS;
	return size.ws_row;
}

/* Over what was there, line by line, so that nothing flickers. */
static void
stats_screen_replace(const char *text)
{
	unsigned rows = stats_screen_rows();

	fputs("\033[H", stdout);
	for (unsigned row = 1; *text != '\0'; row++) {
		size_t length = strcspn(text, "\n");

		if (row == rows && text[length] == '\n' && text[length + 1] != '\0') {
			fputs("... more: name a service, or enlarge the window\033[K", stdout);
			break;
		}
		fwrite(text, 1, length, stdout);
		fputs("\033[K", stdout);
		text += length + (text[length] == '\n');
		if (row < rows)
			fputs("\r\n", stdout);
	}
	fputs("\033[J", stdout);
}

void
stats_screen_draw(struct stats_screen *screen, const char *text)
{
	if (screen->is_terminal) {
		if (!screen->drawn)
			fputs("\033[2J", stdout);
		stats_screen_replace(text);
	} else {
		fputs(screen->drawn ? "\n" : "", stdout);
		fputs(text, stdout);
	}
	screen->drawn = true;
	fflush(stdout);
}

/* What the poll brought: whether to go on. */
static bool
stats_screen_goes_on(struct stats_screen *screen, const struct pollfd polls[2])
{
	char key;

	if (polls[0].revents != 0)
		return false;
	if (polls[1].revents == 0)
		return true;
	if (read(STDIN_FILENO, &key, 1) == 1)
		return key != 'q' && key != 'Q';
	screen->has_keys = false; /* the terminal is gone */
	return false;
}

bool
stats_screen_wait(struct stats_screen *screen, uint64_t until)
{
	for (;;) {
		struct pollfd polls[2] = {
		    {.fd = screen->signals, .events = POLLIN},
		    {.fd = screen->has_keys ? STDIN_FILENO : -1, .events = POLLIN},
		};
		uint64_t now = clock_now();
		uint64_t left = until > now ? (until - now + CLOCK_MS - 1) / CLOCK_MS : 0;
		int ready = poll(polls, 2, (int)left);

		if (ready == 0)
			return true;
		if (ready < 0 && errno != EINTR)
			return false;
		if (ready > 0 && !stats_screen_goes_on(screen, polls))
			return false;
	}
}
