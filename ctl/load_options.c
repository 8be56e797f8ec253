/*
 * Reads the command line of `hostler-load run` by getopt_long. One row in the table of options, one
 * case in load_options_set() and one line of help make an option. Owns nothing, opens nothing.
 */
#include "ctl/load_options.h"

#include "common/clock.h"
#include "common/unit.h"
#include "ctl/load_message.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOAD_OPTIONS_DEPTH_MAX    65536
#define LOAD_OPTIONS_WAITING_MAX  (UINT64_C(1) << 24) /* connections times depth: 128 MiB */
#define LOAD_OPTIONS_COUNT_MAX    UINT64_C(1000000000000000)
#define LOAD_OPTIONS_PATH_MAX     4096
#define LOAD_OPTIONS_DURATION_MAX (365 * 86400 * CLOCK_SECOND)

static const struct load_protocol load_protocols[] = {
    {.name = "line", .codec = CODEC_LINE},
    {.name = "frame", .codec = CODEC_FRAME},
    {.name = "http", .http = true},
};

/* --ids */
static const struct load_protocol load_protocol_ids = {.name = "frame", .codec = CODEC_IDS};

static const char *const load_expects[] = {
    [LOAD_EXPECT_ECHO] = "echo",
    [LOAD_EXPECT_UPPER] = "upper",
    [LOAD_EXPECT_STATUS] = "status",
};

enum {
	OPTION_CONNECTIONS = 256,
	OPTION_DEPTH,
	OPTION_PROTOCOL,
	OPTION_IDS,
	OPTION_EXPECT,
	OPTION_EXPECT_STATUS,
	OPTION_PATH,
	OPTION_SIZE,
	OPTION_DURATION,
	OPTION_COUNT,
	OPTION_TIMEOUT,
	OPTION_CONNECT_TIMEOUT,
	OPTION_PER_REQUEST,
	OPTION_RECONNECT,
	OPTION_HOLD,
	OPTION_JSON
};

static const struct option load_options_table[] = {
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"protocol", required_argument, NULL, OPTION_PROTOCOL},
    {"ids", no_argument, NULL, OPTION_IDS},
    {"expect", required_argument, NULL, OPTION_EXPECT},
    {"expect-status", required_argument, NULL, OPTION_EXPECT_STATUS},
    {"path", required_argument, NULL, OPTION_PATH},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"per-request", no_argument, NULL, OPTION_PER_REQUEST},
    {"new-connection", no_argument, NULL, OPTION_PER_REQUEST}, /* the same */
    {"reconnect", no_argument, NULL, OPTION_RECONNECT},
    {"hold", no_argument, NULL, OPTION_HOLD},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

const char load_options_help[] =
    "usage: hostler-load run [options] ADDRESS\n"
    "\n"
    "Sends messages, no two alike, and checks every reply.\n"
    "ADDRESS is 127.0.0.1:80, [::1]:80, localhost:80, 80 or unix:/run/x.sock.\n"
    "\n"
    "  --connections N       open N connections (default 1)\n"
    "  --depth D             up to D requests of a connection wait for replies (default 1)\n"
    "  --protocol NAME       line (default), frame, or http: GET\n"
    "  --ids                 frames carry ids (ids = yes): replies may come in any order\n"
    "  --expect REPLY        echo (default): the message itself; upper: it in capitals;\n"
    "                        status (http, its default): no message, any body\n"
    "  --size BYTES          bytes of a message, 32 to 16M (default 64)\n"
    "  --path /PATH          http: what to get (default /); a message goes behind a '?'\n"
    "  --expect-status N     http: the status of a right reply (default 200)\n"
    "  --duration TIME       stop sending after TIME (default 10s, unless --count is given)\n"
    "  --count N             stop sending after N requests\n"
    "  --timeout TIME        a reply later than that is overdue (default 10s)\n"
    "  --connect-timeout TIME  a connection not open by then is given up (default 5s)\n"
    "  --per-request, --new-connection  a new connection for each request\n"
    "  --reconnect           connect again when a connection ends; nothing is sent again\n"
    "  --hold                open all the connections before the first request is sent\n"
    "  --json                print one JSON object instead of the table\n"
    "  -h, --help            this text\n"
    "\n"
    "TIME carries a unit: 500ms, 10s, 2m, 1h.\n"
    "Exit status: 0; 1 when a reply was wrong, duplicate or overdue; 2 wrong usage;\n"
    "3 when no connection could be made at all.\n"
    "\n"
    "Examples:\n"
    "  hostler-load run --expect upper 127.0.0.1:10001\n"
    "  hostler-load run --connections 100 --depth 8 --duration 30s --expect upper 10001\n"
    "  hostler-load run --connections 10000 --hold --count 50000 127.0.0.1:10001\n"
    "  hostler-load run --protocol frame --size 64K --json unix:/run/service.sock\n"
    "  hostler-load run --protocol http --reconnect --connections 64 --path /health 8080\n"
    "  hostler-load run --connections 50 --reconnect --duration 1m 10001   (while you kill -9)\n";

static bool load_options_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool
load_options_wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("hostler-load run: ", stderr);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
	return false;
}

/* A count; a size may carry a unit. */
static bool
load_options_set_number(const char *name, const char *text, enum unit unit, uint64_t least,
    uint64_t most, uint64_t *number)
{
	if (unit_parse(UNIT_COUNT, text, number) != UNIT_OK &&
	    unit_parse(unit, text, number) != UNIT_OK)
		*number = least - 1;
	if (*number >= least && *number <= most)
		return true;
	return load_options_wrong(
	    "--%s %s: expected a number from %" PRIu64 " to %" PRIu64, name, text, least, most);
}

static bool
load_options_set_duration(const char *name, const char *text, uint64_t *nanoseconds)
{
	char most[UNIT_TEXT_MAX];

	if (unit_parse(UNIT_DURATION, text, nanoseconds) == UNIT_OK && *nanoseconds > 0 &&
	    *nanoseconds <= LOAD_OPTIONS_DURATION_MAX)
		return true;
	return load_options_wrong("--%s %s: expected a time with a unit, such as 10s, up to %s",
	    name, text, unit_format(UNIT_DURATION, LOAD_OPTIONS_DURATION_MAX, most));
}

static bool
load_options_set_protocol(struct load_options *options, const char *text)
{
	for (size_t i = 0; i < sizeof(load_protocols) / sizeof(load_protocols[0]); i++) {
		if (strcmp(load_protocols[i].name, text) == 0) {
			options->protocol = &load_protocols[i];
			return true;
		}
	}
	return load_options_wrong("--protocol %s: expected line, frame or http", text);
}

const char *
load_options_expect_text(enum load_expect expect)
{
	return load_expects[expect];
}

static bool
load_options_set_expect(struct load_options *options, const char *text)
{
	for (size_t i = 0; i < sizeof(load_expects) / sizeof(load_expects[0]); i++) {
		if (strcmp(load_expects[i], text) == 0) {
			options->expect = (enum load_expect)i;
			options->expect_given = true;
			return true;
		}
	}
	return load_options_wrong("--expect %s: expected echo, upper or status", text);
}

/* What can stand in a request line as it is. */
static bool
load_options_set_path(struct load_options *options, const char *text)
{
	bool good = text[0] == '/' && strlen(text) <= LOAD_OPTIONS_PATH_MAX;

	for (const char *at = text; *at != '\0'; at++)
		good = good && *at > ' ' && *at < 0x7f && *at != '#';
	options->path = text;
	return good || load_options_wrong("--path %s: expected /, then up to %u letters of ASCII "
					  "without blanks and '#'",
			   text, LOAD_OPTIONS_PATH_MAX);
}

/* One option that takes a value. */
static bool
load_options_set_value(struct load_options *options, int option, const char *name, const char *text)
{
	uint64_t number = 0;
	bool good;

	switch (option) {
	case OPTION_CONNECTIONS:
		good = load_options_set_number(
		    name, text, UNIT_COUNT, 1, LOAD_MESSAGE_CONNECTION_MAX + 1, &number);
		options->connections = (unsigned)number;
		return good;
	case OPTION_DEPTH:
		good = load_options_set_number(
		    name, text, UNIT_COUNT, 1, LOAD_OPTIONS_DEPTH_MAX, &number);
		options->depth = (unsigned)number;
		return good;
	case OPTION_SIZE:
		good = load_options_set_number(
		    name, text, UNIT_SIZE, LOAD_MESSAGE_MIN, LOAD_MESSAGE_MAX, &number);
		options->size = (size_t)number;
		return good;
	case OPTION_COUNT:
		return load_options_set_number(
		    name, text, UNIT_COUNT, 1, LOAD_OPTIONS_COUNT_MAX, &options->count);
	case OPTION_DURATION:
		return load_options_set_duration(name, text, &options->duration);
	case OPTION_TIMEOUT:
		return load_options_set_duration(name, text, &options->timeout);
	case OPTION_CONNECT_TIMEOUT:
		return load_options_set_duration(name, text, &options->connect_timeout);
	case OPTION_EXPECT_STATUS:
		good = load_options_set_number(name, text, UNIT_COUNT, 200, 599, &number);
		options->expect_status = (unsigned)number;
		return good;
	case OPTION_PATH:
		return load_options_set_path(options, text);
	case OPTION_PROTOCOL:
		return load_options_set_protocol(options, text);
	default:
		return load_options_set_expect(options, text);
	}
}

static bool
load_options_set(struct load_options *options, int option, const char *name, const char *text)
{
	switch (option) {
	case OPTION_IDS:
		options->ids = true;
		return true;
	case OPTION_PER_REQUEST:
		options->per_request = true;
		return true;
	case OPTION_RECONNECT:
		options->reconnect = true;
		return true;
	case OPTION_HOLD:
		options->hold = true;
		return true;
	case OPTION_JSON:
		options->json = true;
		return true;
	case '?':
		return false; /* getopt_long said why */
	default:
		return load_options_set_value(options, option, name, text);
	}
}

/* What --protocol has to do with the others. */
static bool
load_options_check_protocol(struct load_options *options)
{
	bool http = options->protocol->http;

	if (!http && (options->path || options->expect_status > 0))
		return load_options_wrong("--path and --expect-status need --protocol http");
	if (!http && options->expect == LOAD_EXPECT_STATUS)
		return load_options_wrong("--expect status needs --protocol http");
	if (options->ids && options->protocol->codec != CODEC_FRAME)
		return load_options_wrong("--ids wants --protocol frame");
	if (options->ids)
		options->protocol = &load_protocol_ids;
	if (http && !options->expect_given)
		options->expect = LOAD_EXPECT_STATUS;
	if (!options->path)
		options->path = "/";
	if (options->expect_status == 0)
		options->expect_status = 200;
	return true;
}

/* What no single option can tell. */
static bool
load_options_check(struct load_options *options, int argc, char **argv)
{
	char why[256];

	if (argc == 0)
		return load_options_wrong("an address is missing (see --help)");
	if (argc > 1)
		return load_options_wrong("one address is enough; what is '%s'?", argv[1]);
	if (!addr_parse(&options->address, argv[0], why, sizeof(why)))
		return load_options_wrong("%s", why);
	if (!addr_is_unix(&options->address) && addr_port(&options->address) == 0)
		return load_options_wrong("%s: nobody can connect to port 0", argv[0]);
	if (!load_options_check_protocol(options))
		return false;
	if (options->per_request && options->depth > 1)
		return load_options_wrong("--per-request and --depth above 1 exclude each other");
	if (options->per_request && options->hold)
		return load_options_wrong("--per-request and --hold exclude each other");
	if ((uint64_t)options->connections * options->depth > LOAD_OPTIONS_WAITING_MAX)
		return load_options_wrong(
		    "--connections times --depth is more than %" PRIu64, LOAD_OPTIONS_WAITING_MAX);
	if (options->duration == 0 && options->count == 0)
		options->duration = 10 * CLOCK_SECOND;
	return true;
}

enum load_options_result
load_options_read(struct load_options *options, int argc, char **argv)
{
	static char program[] = "hostler-load run";
	int option, row = 0;

	*options = (struct load_options){
	    .protocol = &load_protocols[0],
	    .connections = 1,
	    .depth = 1,
	    .size = 64,
	    .timeout = 10 * CLOCK_SECOND,
	    .connect_timeout = 5 * CLOCK_SECOND,
	};
	argv[0] = program; /* getopt_long begins its messages with it */
	optind = 0;
	while ((option = getopt_long(argc, argv, "h", load_options_table, &row)) != -1) {
		if (option == 'h')
			return LOAD_OPTIONS_HELP;
		if (!load_options_set(options, option, load_options_table[row].name, optarg))
			return LOAD_OPTIONS_WRONG;
	}
	if (!load_options_check(options, argc - optind, argv + optind))
		return LOAD_OPTIONS_WRONG;
	return LOAD_OPTIONS_RUN;
}
