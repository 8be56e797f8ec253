/*
 * hostlerctl: asks a running hostlerd. Reads the command line, finds the verb in its table and runs
 * it. Knows nothing of sockets and replies.
 */
#include "common/clock.h"
#include "common/unit.h"
#include "ctl/command.h"
#include "ctl/table.h"
#include "ctl/verb.h"

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
	HOSTLERCTL_VERSION,
	HOSTLERCTL_DRY_RUN,
	HOSTLERCTL_QUICK,
	HOSTLERCTL_NOW,
	HOSTLERCTL_BINARY
};

static const struct option hostlerctl_options[] = {
    {"socket", required_argument, NULL, HOSTLERCTL_SOCKET},
    {"json", no_argument, NULL, HOSTLERCTL_JSON},
    {"watch", optional_argument, NULL, HOSTLERCTL_WATCH},
    {"help", no_argument, NULL, HOSTLERCTL_HELP},
    {"version", no_argument, NULL, HOSTLERCTL_VERSION},
    {"dry-run", no_argument, NULL, HOSTLERCTL_DRY_RUN},
    {"quick", no_argument, NULL, HOSTLERCTL_QUICK},
    {"now", no_argument, NULL, HOSTLERCTL_NOW},
    {"binary", required_argument, NULL, HOSTLERCTL_BINARY},
    {NULL, 0, NULL, 0},
};

/* What the command line says, before anything is done. */
struct hostlerctl {
	struct command_line line;
	const struct verb *verb; /* borrows; NULL where none was named */
	bool wants_help, wants_version;
};

static void
hostlerctl_print_help(const struct verb *verb)
{
	if (verb != NULL) {
		printf("usage: hostlerctl %s%s%s [--socket PATH] [--json]\n\n%s", verb->name,
		    verb->synopsis[0] != '\0' ? " " : "", verb->synopsis, verb->help);
		return;
	}
	printf("usage: hostlerctl COMMAND [--socket PATH] [--json]\n\n"
	       "Asks a running hostlerd. Commands:\n");
	for (size_t i = 0; (verb = verb_at(i)) != NULL; i++)
		printf("  %-11s  %s\n", verb->name, verb->summary);
	printf("\nOptions:\n"
	       "  --socket PATH  the control socket; else $HOSTLER_CONTROL, else\n"
	       "                 /run/hostler/control.sock where it answers, else your only\n"
	       "                 running hostlerd\n"
	       "  --json         print the reply as JSON instead of a table\n"
	       "  --help         with a command: more about it, and an example; so does\n"
	       "                 'hostlerctl help COMMAND'\n"
	       "  --version      print the version\n"
	       "\nExit status: 0 ok, 1 refused, 2 usage, 3 unreachable.\n");
}

/* A mistake, and where more is told: the help of the verb, where one was named. */
static enum command_exit
hostlerctl_misused(const struct verb *verb, const char *format, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), format, what);
	command_complain(text);
	if (verb != NULL)
		fprintf(stderr, "Try 'hostlerctl help %s'.\n", verb->name);
	else
		fprintf(stderr, "Try 'hostlerctl --help'.\n");
	return COMMAND_USAGE;
}

static enum command_exit
hostlerctl_usage(const char *format, const char *what)
{
	return hostlerctl_misused(NULL, format, what);
}

/* `near` is what was probably meant, or NULL. */
static enum command_exit
hostlerctl_unknown(const char *kind, const char *word, const char *dashes, const char *near)
{
	char text[256];

	if (near == NULL)
		snprintf(text, sizeof(text), "unknown %s '%.100s'", kind, word);
	else
		snprintf(text, sizeof(text), "unknown %s '%.100s', did you mean %s%s?", kind, word,
		    dashes, near);
	return hostlerctl_usage("%s", text);
}

static enum command_exit
hostlerctl_unknown_verb(const char *word)
{
	const struct verb *verb;
	size_t index = 0;

	while ((verb = verb_at(index)) != NULL && !verb_is_near(word, verb->name))
		index++;
	return hostlerctl_unknown("command", word, "", verb != NULL ? verb->name : NULL);
}

static enum command_exit
hostlerctl_unknown_option(const char *word)
{
	const struct option *option = hostlerctl_options;

	while (option->name != NULL && !verb_is_near(word + strspn(word, "-"), option->name))
		option++;
	return hostlerctl_unknown("option", word, "--", option->name);
}

/* `help`, `help VERB`. */
static enum command_exit
hostlerctl_read_help(struct hostlerctl *ctl, int count, char **words)
{
	ctl->wants_help = true;
	if (count == 0)
		return COMMAND_OK;
	ctl->verb = verb_find(words[0]);
	if (ctl->verb == NULL)
		return hostlerctl_unknown_verb(words[0]);
	if (count > 1)
		return hostlerctl_usage("unexpected argument '%.100s'", words[1]);
	return COMMAND_OK;
}

/* Too many words, too few, or an option of another verb. */
static enum command_exit
hostlerctl_check(const struct hostlerctl *ctl)
{
	const struct verb *verb = ctl->verb;

	if (ctl->line.is_dry && !(verb->options & VERB_DRY_RUN))
		return hostlerctl_misused(verb, "%.100s has no option --dry-run", verb->name);
	if (ctl->line.is_quick && !(verb->options & VERB_QUICK))
		return hostlerctl_misused(verb, "%.100s has no option --quick", verb->name);
	if (ctl->line.is_now && !(verb->options & VERB_NOW))
		return hostlerctl_misused(verb, "%.100s has no option --now", verb->name);
	if (ctl->line.binary != NULL && !(verb->options & VERB_BINARY))
		return hostlerctl_misused(verb, "%.100s has no option --binary", verb->name);
	if (ctl->line.watch > 0 && !(verb->options & VERB_WATCH))
		return hostlerctl_misused(verb, "%.100s has no option --watch", verb->name);
	if (ctl->line.word_count > verb->words_max)
		return hostlerctl_misused(
		    verb, "unexpected argument '%.100s'", ctl->line.words[verb->words_max]);
	if (ctl->line.word_count < verb->words_min && !ctl->wants_help)
		return hostlerctl_misused(verb, "%.100s needs more words", verb->name);
	return COMMAND_OK;
}

static enum command_exit
hostlerctl_read_words(struct hostlerctl *ctl, int count, char **words)
{
	if (count == 0)
		return COMMAND_OK;
	if (strcmp(words[0], "help") == 0)
		return hostlerctl_read_help(ctl, count - 1, words + 1);
	ctl->verb = verb_find(words[0]);
	if (ctl->verb == NULL)
		return hostlerctl_unknown_verb(words[0]);
	ctl->line.words = words + 1;
	ctl->line.word_count = (unsigned)count - 1;
	return hostlerctl_check(ctl);
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
		return hostlerctl_usage("unknown option '%.100s'", letter);
	return hostlerctl_unknown_option(word);
}

/* Options may stand before and after the command. */
static enum command_exit
hostlerctl_read(struct hostlerctl *ctl, int argc, char **argv)
{
	enum command_exit result = COMMAND_OK;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":hV", hostlerctl_options, NULL)) != -1) {
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
		else if (option == HOSTLERCTL_DRY_RUN)
			ctl->line.is_dry = true;
		else if (option == HOSTLERCTL_QUICK)
			ctl->line.is_quick = true;
		else if (option == HOSTLERCTL_NOW)
			ctl->line.is_now = true;
		else if (option == HOSTLERCTL_BINARY)
			ctl->line.binary = optarg;
		else
			return hostlerctl_bad_option(option, argv[optind - 1]);
		if (result != COMMAND_OK)
			return result;
	}
	if (ctl->line.socket != NULL && ctl->line.socket[0] == '\0')
		return hostlerctl_usage("%s needs a path", "--socket");
	if (ctl->line.binary != NULL && ctl->line.binary[0] == '\0')
		return hostlerctl_usage("%s needs a path", "--binary");
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
		hostlerctl_print_help(ctl->verb);
		return COMMAND_OK;
	}
	if (ctl->verb == NULL)
		return hostlerctl_usage("%s", "which command?");
	return ctl->verb->run(&ctl->line);
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
