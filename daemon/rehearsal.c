/*
 * Runs the rehearsal of another binary and judges it. Owns the child and our ends of its two pipes;
 * reads at most what it keeps. Trusts nothing that the child says beyond one line, and waits for
 * nothing.
 */
#include "daemon/rehearsal.h"

#include "common/log.h"
#include "common/mem.h"
#include "daemon/death.h"
#include "daemon/master.h"
#include "daemon/state.h"
#include "daemon/upgrade_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REHEARSAL_READS   8 /* in one turn of the loop */
#define REHEARSAL_NUMBERS 32

static const char rehearsal_ready[] = "ready ", rehearsal_failed[] = "failed ";

/* ---- what it says ---- */

/* False at the end, or when there is nothing more for now. What is too much is dropped. */
static bool
rehearsal_read(struct rehearsal_text *text)
{
	char spare[1024];
	size_t room = text->size - 1 - text->length;
	ssize_t n = room > 0 ? read(text->fd, text->bytes + text->length, room)
			     : read(text->fd, spare, sizeof(spare));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		/* At its end it would stay readable for ever. */
		if (n == 0 || errno != EAGAIN)
			event_del(text->event);
		return false;
	}
	if (room > 0)
		text->length += (size_t)n;
	text->bytes[text->length] = '\0';
	return true;
}

static void
rehearsal_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	for (int i = 0; i < REHEARSAL_READS && rehearsal_read(arg); i++)
		continue;
}

static void
rehearsal_close_text(struct rehearsal_text *text)
{
	if (text->event != NULL)
		event_free(text->event);
	if (text->fd >= 0)
		close(text->fd);
	text->event = NULL;
	text->fd = -1;
}

/* *theirs is the child's end. False with errno. */
static bool
rehearsal_open_text(
    struct rehearsal *rehearsal, struct rehearsal_text *text, char *bytes, size_t size, int *theirs)
{
	int ends[2];

	*text = (struct rehearsal_text){.fd = -1, .bytes = bytes, .size = size};
	bytes[0] = '\0';
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	text->fd = ends[0];
	*theirs = ends[1];
	text->event = event_new(
	    rehearsal->master->base, text->fd, EV_READ | EV_PERSIST, rehearsal_on_readable, text);
	return fcntl(text->fd, F_SETFL, O_NONBLOCK) == 0 && text->event != NULL &&
	       event_add(text->event, NULL) == 0;
}

/* ---- the child, between fork and execve ---- */

static void __attribute__((noreturn)) rehearsal_fail(int answer, const char *what)
{
	dprintf(answer, "%s%s: %s\n", rehearsal_failed, what, strerror(errno));
	_exit(127);
}

/*
 * The guardian shall see its pipe's end when the master goes, however many hold everything else of
 * his: what has that number is nobody's file from now on. One in memory needs no right to open it.
 */
static void
rehearsal_leave_guardian(int pipe, int answer)
{
	int nobody = memfd_create("hostler-nobody", MFD_CLOEXEC);

	if (nobody < 0 || dup2(nobody, pipe) < 0)
		rehearsal_fail(answer, "cannot leave the guardian");
}

static void
rehearsal_set_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

struct rehearsal_ends {
	int state, answer, said;
};

/* What is executed: a file, under a name. */
struct rehearsal_image {
	const char *binary;
	const struct upgrade_file *file;
	char **words;
};

static void
rehearsal_execute(const struct rehearsal_image *image, const struct rehearsal_ends *ends)
{
	char numbers[REHEARSAL_NUMBERS];
	unsigned count = 0;
	char **argv;

	while (image->words[count] != NULL)
		count++;
	argv = mem_alloc(count + 4, sizeof(*argv));
	snprintf(numbers, sizeof(numbers), "%d,%d", ends->state, ends->answer);
	argv[0] = (char *)image->binary;
	argv[1] = (char *)"--rehearse";
	argv[2] = numbers;
	memcpy(argv + 3, image->words, count * sizeof(*argv));
	upgrade_file_execute(image->file, argv);
}

static void __attribute__((noreturn)) rehearsal_child(
    struct master *master, const struct rehearsal_image *image, const struct rehearsal_ends *ends)
{
	if (setpgid(0, 0) != 0)
		rehearsal_fail(ends->answer, "cannot make a process group");
	if (guardian_add(master->guardian.pipe, getpid()) != 0)
		rehearsal_fail(ends->answer, "cannot tell the guardian");
	rehearsal_leave_guardian(master->guardian.pipe, ends->answer);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		rehearsal_fail(ends->answer, "cannot be tied to the master");
	if (getppid() != master->pid)
		_exit(127);
	state_keep_fds(ends->state, true);
	if (dup2(ends->said, STDOUT_FILENO) < 0 || dup2(ends->said, STDERR_FILENO) < 0 ||
	    fcntl(ends->state, F_SETFD, 0) != 0 || fcntl(ends->answer, F_SETFD, 0) != 0)
		rehearsal_fail(ends->answer, "cannot hand over its descriptors");
	rehearsal_set_signals();
	rehearsal_execute(image, ends);
	/* A script says the same when the program that it names is not there. */
	rehearsal_fail(ends->answer, errno == ENOENT
					 ? "cannot be executed: what it needs to be run is missing"
					 : "cannot be executed");
}

/* ---- its life ---- */

static void
rehearsal_close(struct rehearsal *rehearsal)
{
	rehearsal_close_text(&rehearsal->answer);
	rehearsal_close_text(&rehearsal->said);
}

bool
rehearsal_start(struct rehearsal *rehearsal, struct master *master, const char *binary,
    const struct upgrade_file *file, char **words, int state, char *why, size_t why_size)
{
	const struct rehearsal_image image = {binary, file, words};
	struct rehearsal_ends ends = {.state = state, .answer = -1, .said = -1};
	sigset_t all, before;

	*rehearsal = (struct rehearsal){.master = master, .answer.fd = -1, .said.fd = -1};
	if (rehearsal_open_text(rehearsal, &rehearsal->answer, rehearsal->answer_bytes,
		sizeof(rehearsal->answer_bytes), &ends.answer) &&
	    rehearsal_open_text(rehearsal, &rehearsal->said, rehearsal->said_bytes,
		sizeof(rehearsal->said_bytes), &ends.said)) {
		fflush(NULL);
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, &before);
		rehearsal->pid = fork();
		if (rehearsal->pid == 0)
			rehearsal_child(master, &image, &ends);
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	if (rehearsal->pid <= 0)
		snprintf(why, why_size, "no process for a rehearsal: %s", strerror(errno));
	if (ends.answer >= 0)
		close(ends.answer);
	if (ends.said >= 0)
		close(ends.said);
	if (rehearsal->pid > 0)
		return true;
	rehearsal->pid = 0;
	rehearsal_close(rehearsal);
	return false;
}

static void
rehearsal_kill(const struct rehearsal *rehearsal)
{
	/* It may not have made its group yet. */
	kill(-rehearsal->pid, SIGKILL);
	kill(rehearsal->pid, SIGKILL);
}

void
rehearsal_expire(struct rehearsal *rehearsal)
{
	if (rehearsal->pid == 0 || rehearsal->was_late)
		return;
	rehearsal->was_late = true;
	rehearsal_kill(rehearsal);
}

/* The rest of its group goes while the dead leader still keeps the number. */
static void
rehearsal_reap(struct rehearsal *rehearsal)
{
	rehearsal_kill(rehearsal);
	guardian_forget(&rehearsal->master->guardian, rehearsal->pid);
	while (waitpid(rehearsal->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	rehearsal->pid = 0;
	for (int i = 0; i < REHEARSAL_READS && rehearsal_read(&rehearsal->answer); i++)
		continue;
	for (int i = 0; i < REHEARSAL_READS && rehearsal_read(&rehearsal->said); i++)
		continue;
	rehearsal_close(rehearsal);
}

void
rehearsal_abort(struct rehearsal *rehearsal)
{
	if (rehearsal->pid == 0)
		return;
	rehearsal_kill(rehearsal);
	rehearsal_reap(rehearsal);
}

/* ---- the judgement ---- */

/* The last line that is not empty; cuts the text. */
static const char *
rehearsal_last_line(char *text)
{
	char *line, *last = text;

	while ((line = strsep(&text, "\n")) != NULL) {
		if (line[0] != '\0') {
			log_debug("rehearsal: %s", line);
			last = line;
		}
	}
	return last;
}

/* The rest of the answer's only line behind `word`; NULL when it is another answer. */
static const char *
rehearsal_answer(struct rehearsal *rehearsal, const char *word)
{
	char *answer = rehearsal->answer_bytes;
	size_t length = strlen(word);

	if (strncmp(answer, word, length) != 0 || strchr(answer, '\n') == NULL)
		return NULL;
	*strchr(answer, '\n') = '\0';
	return answer + length;
}

bool
rehearsal_end(
    struct rehearsal *rehearsal, const siginfo_t *info, char **version, char *why, size_t why_size)
{
	const char *last, *answer;
	char death[128];

	rehearsal_reap(rehearsal);
	last = rehearsal_last_line(rehearsal->said_bytes);
	death_describe(info, death, sizeof(death));
	answer = rehearsal_answer(rehearsal, rehearsal_failed);
	if (answer != NULL) {
		snprintf(why, why_size, "%s", answer);
		return false;
	}
	if (rehearsal->was_late) {
		snprintf(why, why_size, "it was not ready in time%s%s",
		    last[0] != '\0' ? "; last said: " : "", last);
		return false;
	}
	answer = rehearsal_answer(rehearsal, rehearsal_ready);
	if (answer != NULL && info->si_code == CLD_EXITED && info->si_status == 0) {
		*version = mem_strdup(answer);
		return true;
	}
	snprintf(why, why_size, "it ended (%s) %s%s%s", death,
	    answer != NULL ? "after it was ready" : "without being ready to take over",
	    last[0] != '\0' ? "; last said: " : "", last);
	return false;
}
