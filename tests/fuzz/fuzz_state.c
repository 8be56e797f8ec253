/*
 * The state of a master, with whatever somebody put into it: it is read or refused, and either way
 * no descriptor is closed that belongs to who wrote it.
 *
 * An input is lines. Each is a path, a blank and JSON: what stands there in a good state becomes
 * that. A line without a path is a whole document.
 */
#include "common/log.h"
#include "common/mem.h"
#include "daemon/collect_file.h"
#include "daemon/master.h"
#include "daemon/state.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_LINES 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_folder[] = "/tmp/hostler-fuzz-XXXXXX";
static struct master *fuzz_first; /* that never had a process */
static json_t *fuzz_good;         /* its state, in which everything is well */

static void
fuzz_must(bool truth)
{
	if (!truth)
		abort();
}

/* ---- the first master ---- */

static void
fuzz_fill(struct generation *generation)
{
	struct instance *instance = &generation->services[0]->instances[0];
	int pipes[3][2];

	for (int i = 0; i < 3; i++)
		fuzz_must(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK) == 0);
	instance->state = INSTANCE_STARTING;
	instance->pid = 1000000;
	instance->starts = 1;
	instance->lines_left = 1;
	instance->fds[0] = pipes[0][1];
	instance->fds[1] = pipes[1][0];
	instance->output.fd = pipes[2][0];
	for (unsigned i = 0; i < generation->slot_count; i++) {
		int ends[2];

		fuzz_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
		generation->slots[i].state = SLOT_READY;
		generation->slots[i].pid = (pid_t)(1000001 + i);
		generation->slots[i].id = i;
		generation->slots[i].channel = ends[0];
	}
	generation->collects.files[1]->open->held[1] = true;
}

static struct conf *
fuzz_conf(void)
{
	struct conf_errors errors = {0};
	struct conf *conf;
	FILE *file;
	char *text = mem_printf(
	    "[hostler]\nworkers = 2\ncontrol = %1$s/control.sock\n"
	    "[service a]\nlisten = 127.0.0.1:0\nprotocol = line\nhandler = program\n"
	    "command = cat\ninstances = 2\n"
	    "[service b]\nlisten = unix:%1$s/b.sock\nprotocol = line\nhandler = collect\n"
	    "file = %1$s/records\n",
	    fuzz_folder);

	file = fmemopen(text, strlen(text), "r");
	conf = conf_parse_stream(file, "fuzz.conf", "/tmp/control", &errors);
	fclose(file);
	free(text);
	fuzz_must(conf != NULL);
	return conf;
}

static void
fuzz_remove(void)
{
	static const char *const names[] = {"control.sock", "b.sock", "records"};

	for (int i = 0; i < 3; i++) {
		char *path = mem_printf("%s/%s", fuzz_folder, names[i]);

		unlink(path);
		free(path);
	}
	rmdir(fuzz_folder);
}

static void
fuzz_drop(void)
{
	state_drop(fuzz_first, fuzz_good);
	free(fuzz_first);
	json_decref(fuzz_good);
}

static void
fuzz_make_good(void)
{
	static const int ours[] = {
	    SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};
	struct master *master = fuzz_first = mem_alloc(1, sizeof(*master));
	int guardian[2], client[2];
	char why[512];

	log_open("master", LOG_LEVEL_ERROR);
	fuzz_must(mkdtemp(fuzz_folder) != NULL);
	atexit(fuzz_remove);
	master_open(master, fuzz_conf());
	fuzz_must(pipe2(guardian, O_CLOEXEC) == 0);
	master->guardian = (struct guardian){.pid = 999999, .pipe = guardian[1]};
	master->state = MASTER_RUNNING;
	fuzz_fill(master->current);
	fuzz_good = state_make(master, why, sizeof(why));
	fuzz_must(fuzz_good != NULL);
	atexit(fuzz_drop);
	fuzz_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client) == 0);
	json_array_append_new(json_object_get(json_object_get(fuzz_good, "control"), "clients"),
	    json_pack("{s:i, s:b, s:b, s:s}", "fd", client[0], "is_ours", 1, "is_asking", 1, "in",
		"{\"comm"));
	/* They are the fuzzer's again. */
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		signal(ours[i], SIG_DFL);
}

/* ---- what the input makes of it ---- */

static json_t *
fuzz_step(json_t *value, const char *word)
{
	return json_is_array(value) ? json_array_get(value, (size_t)strtoul(word, NULL, 10))
				    : json_object_get(value, word);
}

static void
fuzz_put(json_t *state, char *path, json_t *value)
{
	char *word = strsep(&path, "/");

	while (path != NULL && state != NULL) {
		state = fuzz_step(state, word);
		word = strsep(&path, "/");
	}
	if (json_is_array(state))
		json_array_set_new(state, (size_t)strtoul(word, NULL, 10), value);
	else if (json_is_object(state) && value != NULL)
		json_object_set_new(state, word, value);
	else
		json_decref(value);
	if (json_is_object(state) && value == NULL)
		json_object_del(state, word);
}

static json_t *
fuzz_state(char *text)
{
	json_t *state = json_deep_copy(fuzz_good);
	char *line;

	for (int i = 0; i < FUZZ_LINES && (line = strsep(&text, "\n")) != NULL; i++) {
		char *blank = strchr(line, ' ');
		json_t *value;

		if (blank == NULL)
			continue;
		value = json_loads(blank + 1, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		if (blank == line && value != NULL) {
			json_decref(state);
			state = value;
		} else {
			*blank = '\0';
			fuzz_put(state, line, value);
		}
	}
	return state;
}

/* ---- what must hold ---- */

static unsigned
fuzz_count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 512; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* What was read well can be written, and read again. */
static void
fuzz_again(struct master *master)
{
	struct master *second = mem_alloc(1, sizeof(*second));
	char why[512] = "";
	json_t *state = state_make(master, why, sizeof(why));

	fuzz_must(state != NULL);
	second->rehearsal = true;
	if (state_load_json(second, state, why, sizeof(why)))
		state_drop(second, state);
	else
		fuzz_must(false);
	json_decref(state);
	free(second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct master *master = mem_alloc(1, sizeof(*master));
	char why[512] = "";
	unsigned fds;
	json_t *state;
	char *text;

	if (fuzz_good == NULL)
		fuzz_make_good();
	text = mem_strndup((const char *)data, size);
	state = fuzz_state(text);
	fds = fuzz_count_fds();
	master->rehearsal = true;
	if (state_load_json(master, state, why, sizeof(why))) {
		fuzz_again(master);
		state_drop(master, state);
	} else {
		fuzz_must(why[0] != '\0');
	}
	fuzz_must(fuzz_count_fds() == fds);
	json_decref(state);
	free(text);
	free(master);
	return 0;
}
