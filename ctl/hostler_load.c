/*
 * hostler-load: a client that checks. This file is the program: its table of commands and its exit
 * status. What a command does is in load_run.c and its neighbours.
 */
#include "common/addr.h"
#include "ctl/load_call.h"
#include "ctl/load_options.h"
#include "ctl/load_report.h"
#include "ctl/load_run.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_USAGE       2
#define STATUS_UNREACHABLE 3

/* Gets the words from the command's own name on; returns the exit status. */
struct hostler_load_command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

static int hostler_load_call(int argc, char **argv);
static int hostler_load_run(int argc, char **argv);

static const struct hostler_load_command hostler_load_commands[] = {
    {"call", hostler_load_call, "ask each TEXT once and print the reply"},
    {"run", hostler_load_run, "send many requests over many connections and check every reply"},
};

static int
hostler_load_report(const struct load_run *run)
{
	char address[ADDR_TEXT_MAX];
	int status = load_report_status(run);

	if (run->options->json)
		load_report_json(run, stdout);
	else if (status != STATUS_UNREACHABLE)
		load_report_table(run, stdout);
	if (status == STATUS_UNREACHABLE)
		fprintf(stderr, "hostler-load run: no connection to %s: %s\n",
		    addr_format(&run->options->address, address),
		    run->connect_why[0] != '\0' ? run->connect_why : "not open in time");
	if (!load_report_adds_up(run))
		fputs("hostler-load run: the outcomes do not add up to the requests\n", stderr);
	if (fflush(stdout) != 0) {
		perror("hostler-load run: standard output");
		return EXIT_FAILURE;
	}
	return status;
}

/* Whether the command goes on; else what it ends with, after its help where that was asked for. */
static bool
hostler_load_goes_on(enum load_options_result result, const char *help, int *status)
{
	*status = STATUS_USAGE;
	if (result == LOAD_OPTIONS_HELP) {
		fputs(help, stdout);
		*status = EXIT_SUCCESS;
	}
	return result == LOAD_OPTIONS_RUN;
}

static int
hostler_load_run(int argc, char **argv)
{
	static struct load_run run;
	struct load_options options;
	int status;

	if (hostler_load_goes_on(
		load_options_read(&options, argc, argv), load_options_help, &status)) {
		if (load_run(&run, &options) == 0)
			status = hostler_load_report(&run);
		load_run_free(&run);
	}
	return status;
}

static int
hostler_load_call(int argc, char **argv)
{
	struct load_call_options options;
	int status;

	if (hostler_load_goes_on(
		load_call_options_read(&options, argc, argv), load_call_options_help, &status))
		status = load_call(&options);
	return status;
}

static void
hostler_load_help(FILE *out)
{
	fputs("usage: hostler-load COMMAND [options]\n"
	      "       hostler-load --help | --version\n"
	      "\n"
	      "Commands; each knows --help:\n",
	    out);
	for (size_t i = 0; i < sizeof(hostler_load_commands) / sizeof(hostler_load_commands[0]);
	     i++)
		fprintf(out, "  %-6s %s\n", hostler_load_commands[i].name,
		    hostler_load_commands[i].help);
	fputs("\n"
	      "Examples:\n"
	      "  hostler-load call 127.0.0.1:10001 'hello world'\n"
	      "  hostler-load run --connections 100 --duration 5s --expect upper 127.0.0.1:10001\n",
	    out);
}

int
main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	setlocale(LC_CTYPE, ""); /* whether the terminal has more than ASCII */
	if (!word) {
		hostler_load_help(stderr);
		return STATUS_USAGE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		hostler_load_help(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		puts("hostler-load " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < sizeof(hostler_load_commands) / sizeof(hostler_load_commands[0]);
	     i++) {
		if (strcmp(hostler_load_commands[i].name, word) == 0)
			return hostler_load_commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "hostler-load: no command '%s' (see hostler-load --help)\n", word);
	return STATUS_USAGE;
}
