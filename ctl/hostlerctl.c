/*
 * hostlerctl: asks a running hostlerd. Reads the command line, finds the verb in the table below
 * and runs it. A new verb is one file and one row. Knows nothing of sockets and replies.
 */
#include "common/clock.h"
#include "common/unit.h"
#include "ctl/command.h"
#include "ctl/stats_view.h"
#include "ctl/status.h"
#include "ctl/table.h"
#include "ctl/trace.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTLERCTL_TIMEOUT   (5 * CLOCK_SECOND)
#define HOSTLERCTL_WATCH_MIN (100 * CLOCK_MS)
#define HOSTLERCTL_WATCH_MAX (3600 * CLOCK_SECOND)

/* Long options without a short one: beyond every character. */
enum hostlerctl_option {
	HOSTLERCTL_SOCKET = 256,
	HOSTLERCTL_JSON,
	HOSTLERCTL_WATCH,
	HOSTLERCTL_HELP,
	HOSTLERCTL_VERSION
};

struct hostlerctl_command {
	const char *name;
	const char *summary; /* one line of --help */
	const char *help; /* what `VERB --help` says after the usage line; ends with an example */
	enum command_exit (*run)(const struct command_line *line);
	const char *arguments; /* for the usage line, with a space in front; NULL for none */
	unsigned words;        /* how many words may follow the verb */
	bool may_watch;
};

static const struct hostlerctl_command hostlerctl_commands[] = {
    {"status", "services, workers and instances: addresses, pids, states, last exits",
	"Shows the daemon, its services with their real addresses, its workers and the\n"
	"instances of its programs, each with pid, state and why the last one ended.\n"
	"Long texts are cut to the width of the terminal; --json has everything.\n"
	"\n"
	"Example: the pids of all instances\n"
	"  hostlerctl status --json | jq '.services[].instances[].pid'\n",
	status_run, NULL, 0, false},
    {"stats", "rates, waiting line and times of each service, once or --watch",
	"Shows for each service how many instances are busy, how long the line is, and\n"
	"for each outcome of its requests how many there were, how many a second, and the\n"
	"percentiles of their times: whole (from arrival to the end), of replies also\n"
	"queue (until it was given to an instance) and run (from there to the reply).\n"
	"Figures are of all time since the start; with --watch of each interval, a second\n"
	"unless SECONDS says else, until q or Ctrl-C. NO_COLOR turns colours off.\n"
	"\n"
	"Example: one service, every five seconds\n"
	"  hostlerctl stats upper --watch 5\n"
	"Example: the median whole time of its replies, in nanoseconds\n"
	"  hostlerctl stats upper --json |\n"
	"    jq '.services[].outcomes[] | select(.outcome == \"replies\") | .whole.p50'\n",
	stats_view_run, " [SERVICE] [--watch [SECONDS]]", 1, true},
    {"trace", "which request was given which instance, in the order of the grants",
	"Shows the newest grants of every pool, oldest first: the number of the request\n"
	"in the order of arrival, when it was given an instance (in seconds after the\n"
	"first one shown; in --json nanoseconds of the monotonic clock), the slot and the\n"
	"incarnation of the instance, the worker, and whether it was given again.\n"
	"\n"
	"Example: how many requests each instance was given\n"
	"  hostlerctl trace --json | jq '.services[].grants[].slot' | sort | uniq -c\n",
	trace_run, NULL, 0, false},
};

#define HOSTLERCTL_COMMANDS (sizeof(hostlerctl_commands) / sizeof(hostlerctl_commands[0]))

/* What the command line says, before anything is done. */
struct hostlerctl {
	struct command_line line;
	const struct hostlerctl_command *command; /* borrows; NULL where none was named */
	bool wants_help, wants_version;
};

static const struct hostlerctl_command *
hostlerctl_find(const char *name)
{
	for (size_t i = 0; i < HOSTLERCTL_COMMANDS; i++) {
		if (strcmp(hostlerctl_commands[i].name, name) == 0)
			return &hostlerctl_commands[i];
	}
	return NULL;
}

static void
hostlerctl_print_help(const struct hostlerctl_command *command)
{
	printf("usage: hostlerctl %s%s [--socket PATH] [--json]\n\n",
	    command != NULL ? command->name : "COMMAND",
	    command != NULL && command->arguments != NULL ? command->arguments : "");
	if (command != NULL) {
		fputs(command->help, stdout);
		return;
	}
	printf("Asks a running hostlerd. Commands:\n");
	for (size_t i = 0; i < HOSTLERCTL_COMMANDS; i++)
		printf("  %-8s  %s\n", hostlerctl_commands[i].name, hostlerctl_commands[i].summary);
	printf("\nOptions:\n"
	       "  --socket PATH  the control socket; else $HOSTLER_CONTROL, else\n"
	       "                 /run/hostler/control.sock where it answers, else your only\n"
	       "                 running hostlerd\n"
	       "  --json         print the reply as JSON instead of a table\n"
	       "  --help         with a command: more about it, and an example\n"
	       "  --version      print the version\n"
	       "\nExit status: 0 ok, 1 refused, 2 usage, 3 unreachable.\n");
}

static enum command_exit
hostlerctl_usage(const char *format, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), format, what);
	command_complain(text);
	fprintf(stderr, "Try 'hostlerctl --help'.\n");
	return COMMAND_USAGE;
}

static enum command_exit
hostlerctl_read_words(struct hostlerctl *ctl, int count, char **words)
{
	if (count == 0)
		return COMMAND_OK;
	ctl->command = hostlerctl_find(words[0]);
	if (ctl->command == NULL)
		return hostlerctl_usage("unknown command '%.100s'", words[0]);
	ctl->line.words = words + 1;
	ctl->line.word_count = (unsigned)count - 1;
	if (ctl->line.word_count > ctl->command->words)
		return hostlerctl_usage(
		    "unexpected argument '%.100s'", words[1 + ctl->command->words]);
	if (ctl->line.watch > 0 && !ctl->command->may_watch)
		return hostlerctl_usage("--watch does not go with '%.100s'", words[0]);
	return COMMAND_OK;
}

/* A number of seconds, or a duration with its unit; false for anything else. */
static bool
hostlerctl_read_seconds(const char *text, uint64_t *value)
{
	char seconds[32];

	if (unit_parse(UNIT_DURATION, text, value) == UNIT_OK)
		return true;
	return snprintf(seconds, sizeof(seconds), "%ss", text) < (int)sizeof(seconds) &&
	       unit_parse(UNIT_DURATION, seconds, value) == UNIT_OK;
}

/* The seconds may be a word of their own; what is no time is the next argument. */
static enum command_exit
hostlerctl_read_watch(struct hostlerctl *ctl, int argc, char **argv)
{
	ctl->line.watch = CLOCK_SECOND;
	if (optarg == NULL && optind < argc && argv[optind][0] >= '0' && argv[optind][0] <= '9')
		optarg = argv[optind++];
	if (optarg == NULL)
		return COMMAND_OK;
	if (!hostlerctl_read_seconds(optarg, &ctl->line.watch) ||
	    ctl->line.watch < HOSTLERCTL_WATCH_MIN || ctl->line.watch > HOSTLERCTL_WATCH_MAX)
		return hostlerctl_usage("--watch takes 0.1 to 3600 seconds, not '%.100s'", optarg);
	return COMMAND_OK;
}

static enum command_exit
hostlerctl_bad_option(int option, const char *word)
{
	char letter[] = {'-', (char)optopt, '\0'};

	if (option == ':')
		return hostlerctl_usage("%.100s needs a value", word);
	/* Letters may stand in a cluster, so the word says too much, or too little. */
	if (optopt > 0 && optopt < HOSTLERCTL_SOCKET)
		word = letter;
	return hostlerctl_usage("unknown option '%.100s'", word);
}

/* Options may stand before and after the command. */
static enum command_exit
hostlerctl_read(struct hostlerctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", required_argument, NULL, HOSTLERCTL_SOCKET},
	    {"json", no_argument, NULL, HOSTLERCTL_JSON},
	    {"watch", optional_argument, NULL, HOSTLERCTL_WATCH},
	    {"help", no_argument, NULL, HOSTLERCTL_HELP},
	    {"version", no_argument, NULL, HOSTLERCTL_VERSION},
	    {NULL, 0, NULL, 0},
	};
	enum command_exit result = COMMAND_OK;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":hV", options, NULL)) != -1) {
		if (option == HOSTLERCTL_SOCKET)
			ctl->line.socket = optarg;
		else if (option == HOSTLERCTL_JSON)
			ctl->line.wants_json = true;
		else if (option == HOSTLERCTL_WATCH)
			result = hostlerctl_read_watch(ctl, argc, argv);
		else if (option == HOSTLERCTL_HELP || option == 'h')
			ctl->wants_help = true;
		else if (option == HOSTLERCTL_VERSION || option == 'V')
			ctl->wants_version = true;
		else
			return hostlerctl_bad_option(option, argv[optind - 1]);
		if (result != COMMAND_OK)
			return result;
	}
	if (ctl->line.socket != NULL && ctl->line.socket[0] == '\0')
		return hostlerctl_usage("%s needs a path", "--socket");
	return hostlerctl_read_words(ctl, argc - optind, argv + optind);
}

static enum command_exit
hostlerctl_run(const struct hostlerctl *ctl)
{
	if (ctl->wants_version) {
		printf("hostlerctl %s\n", PACKAGE_VERSION);
		return COMMAND_OK;
	}
	if (ctl->wants_help) {
		hostlerctl_print_help(ctl->command);
		return COMMAND_OK;
	}
	if (ctl->command == NULL)
		return hostlerctl_usage("%s", "which command?");
	return ctl->command->run(&ctl->line);
}

int
main(int argc, char **argv)
{
	struct hostlerctl ctl = {.line.timeout = HOSTLERCTL_TIMEOUT};
	enum command_exit result;

	ctl.line.width = table_terminal_width(STDOUT_FILENO);
	result = hostlerctl_read(&ctl, argc, argv);
	if (result == COMMAND_OK)
		result = hostlerctl_run(&ctl);
	if (result == COMMAND_OK && (fflush(stdout) == EOF || ferror(stdout))) {
		fprintf(stderr, "hostlerctl: cannot write: %s\n", strerror(errno));
		result = COMMAND_REFUSED;
	}
	return result;
}
