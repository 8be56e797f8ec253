/*
 * One run of a program over pipes (load_answers.h). Owns the program and its pipes; neither
 * outlives the call. Reads and writes as either is possible, so that a program which answers while
 * it reads and one which answers at the end do equally well.
 */
#include "ctl/load_answers.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/words.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD_ANSWERS_READ 65536 /* bytes read at once */

extern char **environ;

struct load_answers {
	pid_t pid;        /* owns; 0: none */
	int in, out;      /* owns; its standard input and output, -1: closed */
	const char *left; /* borrows; what it was not told yet */
	size_t left_length;
	struct buf said;
};

static void
load_answers_close(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static int
load_answers_spawn(struct load_answers *answers, char **words, int in, int out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t pipe_only;
	int error;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &pipe_only);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	error = posix_spawnp(&answers->pid, words[0], &actions, &attributes, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (error == 0)
		return 0;
	answers->pid = 0;
	errno = error;
	return -1;
}

/* Starts the program; its ends of the pipes are closed here, ours do not block. */
static int
load_answers_start(struct load_answers *answers, char **words)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};
	int result = -1, error;

	if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
	    fcntl(in[1], F_SETFL, O_NONBLOCK) == 0 && fcntl(out[0], F_SETFL, O_NONBLOCK) == 0)
		result = load_answers_spawn(answers, words, in[0], out[1]);
	error = errno;
	load_answers_close(&in[0]);
	load_answers_close(&out[1]);
	answers->in = in[1];
	answers->out = out[0];
	errno = error;
	return result;
}

/* A program may end without reading everything: what it printed is judged, not that. */
static void
load_answers_tell(struct load_answers *answers)
{
	ssize_t written = write(answers->in, answers->left, answers->left_length);

	if (written == -1 && errno != EAGAIN && errno != EINTR)
		answers->left_length = 0;
	if (written > 0) {
		answers->left += written;
		answers->left_length -= (size_t)written;
	}
	if (answers->left_length == 0)
		load_answers_close(&answers->in);
}

static void
load_answers_hear(struct load_answers *answers)
{
	ssize_t got =
	    read(answers->out, buf_reserve(&answers->said, LOAD_ANSWERS_READ), LOAD_ANSWERS_READ);

	if (got > 0)
		buf_added(&answers->said, (size_t)got);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		load_answers_close(&answers->out);
}

/* Until it closes its output. False when a bound was reached. */
static bool
load_answers_talk(struct load_answers *answers, char *why, size_t why_size)
{
	uint64_t end = clock_now() + LOAD_ANSWERS_SECONDS * CLOCK_SECOND, now;

	while (answers->out != -1) {
		struct pollfd fds[] = {
		    {.fd = answers->out, .events = POLLIN},
		    {.fd = answers->in, .events = POLLOUT},
		};

		now = clock_now();
		if (now >= end) {
			snprintf(why, why_size, "it takes longer than %u s for all the requests",
			    LOAD_ANSWERS_SECONDS);
			return false;
		}
		if (poll(fds, 2, (int)((end - now) / CLOCK_MS) + 1) <= 0)
			continue;
		if (fds[0].revents)
			load_answers_hear(answers);
		if (fds[1].revents)
			load_answers_tell(answers);
		if (buf_length(&answers->said) > LOAD_ANSWERS_BYTES) {
			snprintf(
			    why, why_size, "it prints more than %u MiB", LOAD_ANSWERS_BYTES >> 20);
			return false;
		}
	}
	return true;
}

/* Waits for its end; one that has closed its output has said all it can. */
static bool
load_answers_stop(struct load_answers *answers, bool whole, char *why, size_t why_size)
{
	uint64_t end = clock_now() + CLOCK_SECOND;
	const struct timespec moment = {.tv_nsec = 1000000};
	int status = 0;
	pid_t gone = 0;

	load_answers_close(&answers->in);
	load_answers_close(&answers->out);
	while (whole && (gone = waitpid(answers->pid, &status, WNOHANG)) == 0 && clock_now() < end)
		nanosleep(&moment, NULL);
	if (gone != answers->pid) {
		kill(answers->pid, SIGKILL);
		while (waitpid(answers->pid, &status, 0) == -1 && errno == EINTR)
			continue;
	}
	if (!whole)
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status))
		snprintf(why, why_size, "it ended with status %d", WEXITSTATUS(status));
	else
		snprintf(why, why_size, "it ended by signal %d", WTERMSIG(status));
	return false;
}

char *
load_answers(const char *command, const char *bytes, size_t length, size_t *answered, char *why,
    size_t why_size)
{
	struct load_answers answers = {.in = -1, .out = -1, .left = bytes, .left_length = length};
	char **words = words_split(command, why, why_size);
	char *said = NULL;
	bool good;

	if (!words)
		return NULL;
	if (!words[0]) {
		snprintf(why, why_size, "no command");
	} else if (load_answers_start(&answers, words) == -1) {
		snprintf(why, why_size, "cannot start '%s': %s%s", words[0], strerror(errno),
		    words[1] || strchr(words[0], '/')
			? ""
			: "; nor is it one of the words echo, upper, any, status");
	} else {
		signal(SIGPIPE, SIG_IGN); /* what it does not read is no reason for us to die */
		good = load_answers_talk(&answers, why, why_size);
		if (load_answers_stop(&answers, good, why, why_size)) {
			*answered = buf_length(&answers.said);
			said = mem_alloc(*answered + 1, 1);
			if (*answered > 0)
				memcpy(said, buf_bytes(&answers.said), *answered);
		}
	}
	load_answers_close(&answers.in);
	load_answers_close(&answers.out);
	buf_free(&answers.said);
	words_free(words);
	return said;
}
