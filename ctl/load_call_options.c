/*
 * Reads the command line of `hostler-load call` by getopt_long. Owns nothing, opens nothing; what
 * it shares with `run` is in load_options.c.
 */
#include "ctl/load_call_options.h"

#include "common/clock.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define LOAD_CALL_RETRIES_MAX 1000

const char load_call_options_help[] =
    "usage: hostler-load call [options] ADDRESS [TEXT...]\n"
    "\n"
    "Asks each TEXT in turn and prints each reply in a line. Without a TEXT, or for '-', each\n"
    "line of standard input is one.\n"
    "ADDRESS is 127.0.0.1:80, [::1]:80, localhost:80, 80 or unix:/run/x.sock, or\n"
    "http://127.0.0.1:80/path: then each TEXT is POSTed there, or ws://127.0.0.1:80/path.\n"
    "\n"
    "  --protocol NAME        line (default), frame, websocket, or http: a TEXT is a /path\n"
    "                         to GET\n"
    "  --ids                  frames carry ids (ids = yes)\n"
    "  --connect-timeout TIME a connection not open by then is given up (default 5s)\n"
    "  --timeout TIME         a reply not there by then is given up (default 10s)\n"
    "  --retries N            ask up to N times again (default 0) when no connection could be\n"
    "                         made, nothing was sent, or the reply was ERR busy; what may\n"
    "                         have been executed is not asked again\n"
    "  --retry-all            ask that again, too: it does no harm to do it twice\n"
    "  --backoff TIME         the pause before the first retry, doubled each time up to 10s,\n"
    "                         less a random part of up to a half (default 100ms)\n"
    "  -h, --help             this text\n"
    "\n"
    "TIME carries a unit: 500ms, 10s, 2m, 1h.\n"
    "Exit status: 0 when everything was answered; 1 when a reply was an error or there was\n"
    "none; 2 wrong usage; 3 when no connection could be made.\n"
    "\n"
    "Examples:\n"
    "  hostler-load call 10001 'hello world'\n"
    "  hostler-load call --retries 5 --timeout 2s unix:/run/upper.sock one two three\n"
    "  hostler-load call --protocol http 8080 /health\n"
    "  hostler-load call http://localhost:8080/upper 'hello world'\n"
    "  hostler-load call ws://localhost:8080/upper one two three\n"
    "  sort words | hostler-load call 10001\n";

enum {
	OPTION_PROTOCOL = 256,
	OPTION_IDS,
	OPTION_CONNECT_TIMEOUT,
	OPTION_TIMEOUT,
	OPTION_RETRIES,
	OPTION_RETRY_ALL,
	OPTION_BACKOFF
};

static const struct option load_call_options_table[] = {
    {"protocol", required_argument, NULL, OPTION_PROTOCOL},
    {"ids", no_argument, NULL, OPTION_IDS},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"retries", required_argument, NULL, OPTION_RETRIES},
    {"retry-all", no_argument, NULL, OPTION_RETRY_ALL},
    {"backoff", required_argument, NULL, OPTION_BACKOFF},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool
load_call_options_set(
    struct load_call_options *options, int option, const char *name, const char *text)
{
	uint64_t number = 0;
	bool good;

	switch (option) {
	case OPTION_PROTOCOL:
		return load_options_set_protocol(text, &options->protocol);
	case OPTION_IDS:
		options->ids = true;
		return true;
	case OPTION_CONNECT_TIMEOUT:
		return load_options_set_duration(name, text, &options->connect_timeout);
	case OPTION_TIMEOUT:
		return load_options_set_duration(name, text, &options->timeout);
	case OPTION_BACKOFF:
		return load_options_set_duration(name, text, &options->backoff);
	case OPTION_RETRIES:
		good = load_options_set_count(name, text, 0, LOAD_CALL_RETRIES_MAX, &number);
		options->retries = (unsigned)number;
		return good;
	case OPTION_RETRY_ALL:
		options->retry_all = true;
		return true;
	default:
		return false; /* getopt_long said why */
	}
}

static bool
load_call_options_check(struct load_call_options *options, int argc, char **argv)
{
	if (argc == 0)
		return load_options_wrong("an address is missing (see --help)");
	if (!load_options_set_address(
		argv[0], &options->address, &options->protocol, &options->path))
		return false;
	if (options->protocol->stream)
		return load_options_wrong("--protocol stream has no end of a reply to wait for");
	if (options->ids && !load_options_set_ids(&options->protocol))
		return false;
	options->texts = argv + 1;
	options->count = (size_t)argc - 1;
	if (options->count == 1 && strcmp(options->texts[0], "-") == 0)
		options->count = 0;
	return true;
}

enum load_options_result
load_call_options_read(struct load_call_options *options, int argc, char **argv)
{
	static char program[] = "hostler-load call";
	int option, row = 0;

	*options = (struct load_call_options){
	    .connect_timeout = 5 * CLOCK_SECOND,
	    .timeout = 10 * CLOCK_SECOND,
	    .backoff = 100 * CLOCK_MS,
	};
	load_options_begin(program);
	load_options_set_protocol("line", &options->protocol);
	argv[0] = program; /* getopt_long begins its messages with it */
	optind = 0;
	/* '+': a TEXT may begin with a hyphen. */
	while ((option = getopt_long(argc, argv, "+h", load_call_options_table, &row)) != -1) {
		if (option == 'h')
			return LOAD_OPTIONS_HELP;
		if (!load_call_options_set(
			options, option, load_call_options_table[row].name, optarg))
			return LOAD_OPTIONS_WRONG;
	}
	if (!load_call_options_check(options, argc - optind, argv + optind))
		return LOAD_OPTIONS_WRONG;
	return LOAD_OPTIONS_RUN;
}
