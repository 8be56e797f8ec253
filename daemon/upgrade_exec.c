/*
 * From one image of the master to the next: the state is written, everything that it names stays
 * open, and another binary is executed. Then the first steps of that one: it reads the state and
 * goes on, or executes the old binary again with the very state that it was given.
 *
 * Who came back never goes again by itself, so two binaries cannot toss the daemon to and fro.
 */
#include "daemon/upgrade.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/record.h"
#include "daemon/master.h"
#include "daemon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define UPGRADE_NUMBERS 32 /* bytes of two numbers */
#define UPGRADE_ROUNDS  3  /* of the event loop, in which everything is heard that was caught */

static const char *const upgrade_ways[] = {
    [UPGRADE_REHEARSE] = "--rehearse",
    [UPGRADE_RESUME] = "--resume",
    [UPGRADE_RETURN] = "--return",
};

/* ---- what of it travels ---- */

/*
 * Not of struct upgrade: phase, start, self, binary, file, version, limit, rehearsal, asks, before,
 * before_binary, before_version, why. They belong to one image, or change sides, see
 * upgrade_load().
 */
static const struct record_field upgrade_fields[] = {
    RECORD_FIELD(struct upgrade, begun, NUMBER, 0),
    RECORD_FIELD(struct upgrade, count, NUMBER, INT32_MAX),
    RECORD_FIELD(struct upgrade, failed, NUMBER, INT32_MAX),
    RECORD_FIELD(struct upgrade, last_error, STRING, 0),
    RECORD_END,
};

/* "binary" is the path of who wrote it, or comes back; "next" that of the other one. */
static void
upgrade_save(struct master *master)
{
	const struct upgrade *upgrade = &master->upgrade;
	bool returns = upgrade->phase == UPGRADE_RETURNING;
	const char *ours = upgrade->start.binary;
	json_t *saved = json_object();

	record_put(saved, upgrade_fields, upgrade);
	json_object_set_new(saved, "writer", record_text(PACKAGE_VERSION));
	json_object_set_new(saved, "binary", record_text(returns ? upgrade->before_binary : ours));
	json_object_set_new(saved, "next", record_text(returns ? ours : upgrade->binary));
	json_object_set_new(saved, "reload", json_boolean(master->reload.again));
	master->guest.upgrade = saved;
}

static void
upgrade_forget(struct master *master)
{
	json_decref(master->guest.upgrade);
	master->guest.upgrade = NULL;
}

int
upgrade_write_state(struct master *master, char *why, size_t why_size)
{
	int state;

	upgrade_save(master);
	state = state_write(master, why, why_size);
	upgrade_forget(master);
	return state;
}

static bool
upgrade_load(struct master *master, enum upgrade_way way, char *why, size_t why_size)
{
	struct upgrade *upgrade = &master->upgrade;
	struct record_reader reader = {.why = why, .why_size = why_size};
	const json_t *saved = master->guest.upgrade;
	char *binary = record_read_text(json_object_get(saved, "binary"));
	char *next = record_read_text(json_object_get(saved, "next"));
	char *writer = record_read_text(json_object_get(saved, "writer"));

	if (binary == NULL || next == NULL || writer == NULL) {
		snprintf(why, why_size, "what it says of the upgrade makes no sense");
		free(binary);
		free(next);
		free(writer);
		return false;
	}
	free(upgrade->start.binary);
	upgrade->start.binary = way == UPGRADE_RETURN ? binary : next;
	upgrade->before_binary = way == UPGRADE_RETURN ? next : binary;
	upgrade->before_version = writer;
	if (!record_take(&reader, saved, upgrade_fields, upgrade))
		return false;
	upgrade->asks = master->guest.asks;
	master->guest.asks = (struct asks){0};
	master->reload.again = json_is_true(json_object_get(saved, "reload"));
	upgrade_forget(master);
	return true;
}

/* ---- leaving ---- */

/* What is executed, and what it is told. */
struct upgrade_image {
	enum upgrade_way way;
	const char *path;                /* borrows; only a name */
	const struct upgrade_file *file; /* borrows; NULL: `binary` is executed */
	int binary;                      /* borrows; a descriptor */
	int state, other;                /* borrows */
	char **words;                    /* borrows */
};

static char **
upgrade_argv(const struct upgrade_image *image, char numbers[UPGRADE_NUMBERS])
{
	unsigned count = 0;
	char **argv;

	while (image->words[count] != NULL)
		count++;
	snprintf(numbers, UPGRADE_NUMBERS, "%d,%d", image->state, image->other);
	argv = mem_alloc(count + 4, sizeof(*argv));
	argv[0] = (char *)image->path;
	argv[1] = (char *)upgrade_ways[image->way];
	argv[2] = numbers;
	for (unsigned i = 0; i < count; i++)
		argv[3 + i] = image->words[i];
	return argv;
}

/* All signals are blocked, and what the state names is open across it. Returns only on failure. */
static void
upgrade_execute(const struct upgrade_image *image)
{
	char numbers[UPGRADE_NUMBERS];
	char **argv = upgrade_argv(image, numbers);
	int saved;

	fcntl(image->state, F_SETFD, 0);
	fcntl(image->other, F_SETFD, 0);
	if (image->file != NULL)
		upgrade_file_execute(image->file, argv);
	else
		execveat(image->binary, "", argv, environ, AT_EMPTY_PATH);
	saved = errno;
	fcntl(image->state, F_SETFD, FD_CLOEXEC);
	fcntl(image->other, F_SETFD, FD_CLOEXEC);
	free(argv);
	errno = saved;
}

/*
 * What was caught already is in the event loop's own memory: it is heard now, or never. Signals
 * that come later are delivered to the next image.
 */
static void
upgrade_hear_all(struct master *master)
{
	for (int i = 0; i < UPGRADE_ROUNDS; i++)
		event_base_loop(master->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/*
 * The next image gets the present state. True when this is no moment for it any more; else it has
 * failed, and all is as before.
 */
static bool
upgrade_hand_over(struct master *master, struct upgrade_image *image, char *why, size_t why_size)
{
	enum upgrade_phase phase = master->upgrade.phase;
	sigset_t all, before;
	bool is_quiet;

	log_flush();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	upgrade_hear_all(master);
	is_quiet = master->upgrade.phase == phase && upgrade_is_quiet(master);
	image->state = is_quiet ? upgrade_write_state(master, why, why_size) : -1;
	if (image->state >= 0) {
		state_keep_fds(image->state, true);
		upgrade_execute(image);
		snprintf(why, why_size, "%s: cannot be executed: %s", image->path, strerror(errno));
		state_keep_fds(image->state, false);
		close(image->state);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return !is_quiet;
}

bool
upgrade_leave(struct master *master, char *why, size_t why_size)
{
	struct upgrade *upgrade = &master->upgrade;
	struct upgrade_image image = {.way = UPGRADE_RESUME,
	    .path = upgrade->binary,
	    .file = &upgrade->file,
	    .other = upgrade->self,
	    .words = upgrade->start.words};

	log_info("upgrade: executing %s", upgrade->binary);
	return upgrade_hand_over(master, &image, why, why_size);
}

/* The reason travels in a file in memory: it is no part of any state. -1 with errno. */
static int
upgrade_write_reason(const char *reason)
{
	int fd = memfd_create("hostler-reason", MFD_CLOEXEC);
	size_t length = strlen(reason);

	if (fd >= 0 && pwrite(fd, reason, length, 0) == (ssize_t)length)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool
upgrade_go_back(struct master *master, char *why, size_t why_size)
{
	struct upgrade *upgrade = &master->upgrade;
	struct upgrade_image image = {.way = UPGRADE_RETURN,
	    .path = upgrade->before_binary,
	    .binary = upgrade->before,
	    .other = upgrade_write_reason(upgrade->why),
	    .words = upgrade->start.words};
	bool again;

	if (image.other < 0) {
		snprintf(why, why_size, "no file for the reason: %s", strerror(errno));
		return false;
	}
	log_info("upgrade: executing %s again", upgrade->before_binary);
	again = upgrade_hand_over(master, &image, why, why_size);
	close(image.other);
	return again;
}

/* ---- arriving ---- */

bool
upgrade_read_arrival(struct upgrade_arrival *arrival, enum upgrade_way way, const char *value)
{
	long state, other;
	char *end;
	int seals;

	state = strtol(value, &end, 10);
	if (end == value || *end != ',')
		return false;
	value = end + 1;
	other = strtol(value, &end, 10);
	if (end == value || *end != '\0' || state < 0 || state > INT_MAX || other < 0 ||
	    other > INT_MAX || fcntl((int)other, F_GETFD) < 0)
		return false;
	*arrival = (struct upgrade_arrival){way, (int)state, (int)other};
	/* Only a file in memory that nobody can change any more is a state. */
	seals = fcntl((int)state, F_GET_SEALS);
	return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

/* The state cannot be read, so nothing of it was touched: whoever wrote it reads it again. */
static void __attribute__((noreturn))
upgrade_retreat(const struct upgrade_arrival *arrival, char **words, const char *why)
{
	struct upgrade_image image = {.way = UPGRADE_RETURN,
	    .path = "hostlerd",
	    .binary = arrival->other,
	    .state = arrival->state,
	    .other = upgrade_write_reason(why),
	    .words = words};

	if (arrival->way == UPGRADE_RESUME && image.other >= 0) {
		state_keep_fds(arrival->state, true);
		upgrade_execute(&image);
		log_error("the old binary cannot be executed again");
	}
	fatalx("cannot take over: %s", why);
}

static char *
upgrade_read_reason(int fd)
{
	char text[UPGRADE_WHY_MAX];
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	close(fd);
	return mem_strndup(text, length > 0 ? (size_t)length : 0);
}

/* The signals that came meanwhile are delivered: somebody listens to them again. */
static void
upgrade_hear_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
upgrade_go_on(struct master *master, const struct upgrade_arrival *arrival)
{
	struct upgrade *upgrade = &master->upgrade;
	char *why, *text;

	if (arrival->way == UPGRADE_RESUME) {
		log_info("upgrade: hostlerd %s goes on for %s with generation %u", PACKAGE_VERSION,
		    upgrade->before_version, master->current->number);
		upgrade->before = arrival->other;
		upgrade_prove(master);
		return;
	}
	why = upgrade_read_reason(arrival->other);
	text =
	    mem_printf("%s: %s; hostlerd %s goes on", upgrade->before_binary, why, PACKAGE_VERSION);
	upgrade_refuse(master, text);
	free(text);
	free(why);
}

int
upgrade_arrive(const struct upgrade_arrival *arrival, char **words, const char *control_default)
{
	struct master *master;
	char why[UPGRADE_WHY_MAX];

	/* The kernel names us after the descriptor that was executed. */
	prctl(PR_SET_NAME, "hostlerd");
	if (arrival->way == UPGRADE_REHEARSE)
		return upgrade_rehearse(arrival, control_default);
	master = mem_alloc(1, sizeof(*master));
	log_open("master", LOG_LEVEL_INFO);
	master->control_default = control_default;
	if (!state_load(master, arrival->state, why, sizeof(why)))
		upgrade_retreat(arrival, words, why);
	upgrade_open(master, &(struct upgrade_start){.words = words});
	if (!upgrade_load(master, arrival->way, why, sizeof(why)))
		upgrade_retreat(arrival, words, why);
	close(arrival->state);
	/* What the next image is to have is told anew. */
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	upgrade_hear_signals();
	upgrade_go_on(master, arrival);
	return master_live(master);
}
