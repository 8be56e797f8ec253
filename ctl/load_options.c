/*
 * Reads the command line of `hostler-load run` by getopt_long. One row in the table of options, one
 * case in load_options_set() and one line of load_help.c make an option. Owns nothing, opens
 * nothing.
 */
#include "ctl/load_options.h"

#include "common/clock.h"
#include "common/kinds.h"
#include "common/unit.h"
#include "ctl/load_message.h"
#include "ctl/load_url.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LOAD_OPTIONS_DEPTH_MAX    65536
#define LOAD_OPTIONS_WAITING_MAX  (UINT64_C(1) << 24) /* connections times depth: 128 MiB */
#define LOAD_OPTIONS_COUNT_MAX    UINT64_C(1000000000000000)
#define LOAD_OPTIONS_PATH_MAX     4096
#define LOAD_OPTIONS_RATE_MAX     10000000 /* see load_rate.c before there are more */
#define LOAD_OPTIONS_DURATION_MAX (365 * 86400 * CLOCK_SECOND)

static const struct load_protocol load_protocols[] = {
    {.name = "line", .codec = CODEC_LINE},
    {.name = "frame", .codec = CODEC_FRAME},
    {.name = "http", .http = true},
    {.name = "websocket", .websocket = true, IN_WEBSOCKET(.answer = websocket_accept)},
    {.name = "stream", .stream = true},
};

/* --ids */
static const struct load_protocol load_protocol_ids = {.name = "frame", .codec = CODEC_IDS};

static const char *const load_expects[] = {
    [LOAD_EXPECT_ECHO] = "echo",
    [LOAD_EXPECT_UPPER] = "upper",
    [LOAD_EXPECT_STATUS] = "status",
    [LOAD_EXPECT_ANY] = "any",
    [LOAD_EXPECT_COMMAND] = "command",
};

enum {
	OPTION_CONNECTIONS = 256,
	OPTION_DEPTH,
	OPTION_PROTOCOL,
	OPTION_IDS,
	OPTION_EXPECT,
	OPTION_EXPECT_STATUS,
	OPTION_EXPECT_COMMAND,
	OPTION_LINES,
	OPTION_RATE,
	OPTION_WARMUP,
	OPTION_PROGRESS,
	OPTION_HISTOGRAM,
	OPTION_PATH,
	OPTION_GET,
	OPTION_BINARY,
	OPTION_SIZE,
	OPTION_DURATION,
	OPTION_COUNT,
	OPTION_TIMEOUT,
	OPTION_CONNECT_TIMEOUT,
	OPTION_PER_REQUEST,
	OPTION_RECONNECT,
	OPTION_HOLD,
	OPTION_GAPS,
	OPTION_JSON
};

static const struct option load_options_table[] = {
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"protocol", required_argument, NULL, OPTION_PROTOCOL},
    {"ids", no_argument, NULL, OPTION_IDS},
    {"expect", required_argument, NULL, OPTION_EXPECT},
    {"expect-status", required_argument, NULL, OPTION_EXPECT_STATUS},
    {"expect-command", required_argument, NULL, OPTION_EXPECT_COMMAND},
    {"lines", required_argument, NULL, OPTION_LINES},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"histogram", no_argument, NULL, OPTION_HISTOGRAM},
    {"path", required_argument, NULL, OPTION_PATH},
    {"get", no_argument, NULL, OPTION_GET},
    {"binary", no_argument, NULL, OPTION_BINARY},
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
    {"gaps", required_argument, NULL, OPTION_GAPS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* What begins each message. */
static const char *load_options_program;

void
load_options_begin(const char *program)
{
	load_options_program = program;
}

bool
load_options_wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", load_options_program);
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

bool
load_options_set_count(
    const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
	return load_options_set_number(name, text, UNIT_COUNT, least, most, number);
}

bool
load_options_set_duration(const char *name, const char *text, uint64_t *nanoseconds)
{
	char most[UNIT_TEXT_MAX];

	if (unit_parse(UNIT_DURATION, text, nanoseconds) == UNIT_OK && *nanoseconds > 0 &&
	    *nanoseconds <= LOAD_OPTIONS_DURATION_MAX)
		return true;
	return load_options_wrong("--%s %s: expected a time with a unit, such as 10s, up to %s",
	    name, text, unit_format(UNIT_DURATION, LOAD_OPTIONS_DURATION_MAX, most));
}

bool
load_options_set_protocol(const char *text, const struct load_protocol **protocol)
{
	for (size_t i = 0; i < sizeof(load_protocols) / sizeof(load_protocols[0]); i++) {
		if (strcmp(load_protocols[i].name, text) != 0)
			continue;
		*protocol = &load_protocols[i];
		return !(*protocol)->websocket || (*protocol)->answer != NULL ||
		       load_options_wrong(
			   "--protocol %s: this hostler-load was built without WebSocket", text);
	}
	return load_options_wrong(
	    "--protocol %s: expected line, frame, stream, http or websocket", text);
}

bool
load_options_set_ids(const struct load_protocol **protocol)
{
	if ((*protocol)->codec != CODEC_FRAME)
		return load_options_wrong("--ids wants --protocol frame");
	*protocol = &load_protocol_ids;
	return true;
}

/* What can stand in a request line as it is. */
static bool
load_options_set_path(const char *text, const char **path)
{
	bool good = text[0] == '/' && strlen(text) <= LOAD_OPTIONS_PATH_MAX;

	for (const char *at = text; *at != '\0'; at++)
		good = good && *at > ' ' && *at < 0x7f && *at != '#';
	*path = text;
	return good || load_options_wrong("--path %s: expected /, then up to %u letters of ASCII "
					  "without blanks and '#'",
			   text, LOAD_OPTIONS_PATH_MAX);
}

bool
load_options_set_address(const char *text, struct addr *address,
    const struct load_protocol **protocol, const char **path)
{
	char why[256], host[LOAD_URL_ADDRESS_MAX];
	const char *rest, *speaks;

	if (load_url_split(text, host, &rest, &speaks)) {
		if (*path)
			return load_options_wrong("%s has a path already, what is --path?", text);
		if (!load_options_set_path(rest, path) ||
		    !load_options_set_protocol(speaks, protocol))
			return false;
		text = host;
	} else if (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "wss://", 6) == 0) {
		return load_options_wrong("%s: TLS is not spoken, http:// and ws:// alone", text);
	}
	if (!addr_parse(address, text, why, sizeof(why)))
		return load_options_wrong("%s", why);
	if (!addr_is_unix(address) && addr_port(address) == 0)
		return load_options_wrong("%s: nobody can connect to port 0", text);
	return true;
}

const char *
load_options_expect_text(enum load_expect expect)
{
	return load_expects[expect];
}

static bool
load_options_set_command(struct load_options *options, const char *text)
{
	options->expect = LOAD_EXPECT_COMMAND;
	options->expect_command = text;
	options->expect_given = true;
	return true;
}

/* What is none of the words is a command. */
static bool
load_options_set_expect(struct load_options *options, const char *text)
{
	for (size_t i = 0; i < LOAD_EXPECT_COMMAND; i++) {
		if (strcmp(load_expects[i], text) == 0) {
			options->expect = (enum load_expect)i;
			options->expect_command = NULL;
			options->expect_given = true;
			return true;
		}
	}
	return load_options_set_command(options, text);
}

/* "64", "64K" or "32..4K". */
static bool
load_options_set_size(struct load_options *options, const char *name, const char *text)
{
	const char *dots = strstr(text, "..");
	char least_text[UNIT_TEXT_MAX];
	uint64_t least, most;

	snprintf(least_text, sizeof(least_text), "%.*s", dots ? (int)(dots - text) : 0, text);
	if (!load_options_set_number(
		name, dots ? dots + 2 : text, UNIT_SIZE, LOAD_MESSAGE_MIN, LOAD_MESSAGE_MAX, &most))
		return false;
	least = most;
	if (dots &&
	    !load_options_set_number(name, least_text, UNIT_SIZE, LOAD_MESSAGE_MIN, most, &least))
		return false;
	options->size = (size_t)most;
	options->size_least = (size_t)least;
	options->size_given = true;
	return true;
}

/* "500", "500/s" or "30/m". */
static bool
load_options_set_rate(struct load_options *options, const char *name, const char *text)
{
	const char *slash = strchr(text, '/');
	char count[UNIT_TEXT_MAX];

	options->rate.per = CLOCK_SECOND;
	if (slash && strcmp(slash, "/m") == 0)
		options->rate.per = 60 * CLOCK_SECOND;
	else if (slash && strcmp(slash, "/s") != 0)
		return load_options_wrong(
		    "--rate %s: expected a number, as it is or with /s or /m", text);
	snprintf(
	    count, sizeof(count), "%.*s", slash ? (int)(slash - text) : (int)strlen(text), text);
	return load_options_set_number(
	    name, count, UNIT_COUNT, 1, LOAD_OPTIONS_RATE_MAX, &options->rate.count);
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
		return load_options_set_size(options, name, text);
	case OPTION_RATE:
		return load_options_set_rate(options, name, text);
	case OPTION_WARMUP:
		return load_options_set_duration(name, text, &options->warmup);
	case OPTION_LINES:
		options->lines = text;
		return true;
	case OPTION_EXPECT_COMMAND:
		return load_options_set_command(options, text);
	case OPTION_COUNT:
		return load_options_set_number(
		    name, text, UNIT_COUNT, 1, LOAD_OPTIONS_COUNT_MAX, &options->count);
	case OPTION_DURATION:
		return load_options_set_duration(name, text, &options->duration);
	case OPTION_TIMEOUT:
		return load_options_set_duration(name, text, &options->timeout);
	case OPTION_CONNECT_TIMEOUT:
		return load_options_set_duration(name, text, &options->connect_timeout);
	case OPTION_GAPS:
		return load_options_set_duration(name, text, &options->slice);
	case OPTION_EXPECT_STATUS:
		good = load_options_set_number(name, text, UNIT_COUNT, 200, 599, &number);
		options->expect_status = (unsigned)number;
		return good;
	case OPTION_PATH:
		return load_options_set_path(text, &options->path);
	case OPTION_PROTOCOL:
		return load_options_set_protocol(text, &options->protocol);
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
	case OPTION_GET:
		options->get = true;
		return true;
	case OPTION_BINARY:
		options->binary = true;
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
	case OPTION_PROGRESS:
		options->progress = true;
		return true;
	case OPTION_HISTOGRAM:
		options->histogram = true;
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
	bool http = options->protocol->http, websocket = options->protocol->websocket;

	if (!http && !websocket && options->path)
		return load_options_wrong("--path needs --protocol http or websocket");
	if (!http && (options->get || options->expect_status > 0))
		return load_options_wrong("--get and --expect-status need --protocol http");
	if (!websocket && options->binary)
		return load_options_wrong("--binary needs --protocol websocket");
	if (!http && options->expect == LOAD_EXPECT_STATUS)
		return load_options_wrong("--expect status needs --protocol http");
	if (options->ids && !load_options_set_ids(&options->protocol))
		return false;
	if (http && !options->expect_given)
		options->expect = LOAD_EXPECT_STATUS;
	options->get = options->get || options->expect == LOAD_EXPECT_STATUS;
	if (!options->path)
		options->path = "/";
	if (options->expect_status == 0)
		options->expect_status = websocket ? 101 : 200;
	return true;
}

/* Where messages come from. */
static bool
load_options_check_messages(const struct load_options *options)
{
	if (options->lines && options->size_given)
		return load_options_wrong("--lines and --size exclude each other");
	if (options->lines && options->protocol->http && options->get)
		return load_options_wrong(options->expect == LOAD_EXPECT_STATUS
					      ? "--lines needs another --expect than status"
					      : "--lines and --get exclude each other");
	if (options->lines && options->protocol->stream)
		return load_options_wrong("--lines cannot be told apart in --protocol stream");
	if (options->expect == LOAD_EXPECT_COMMAND && options->protocol->stream)
		return load_options_wrong("a command tells lines, --protocol stream has none");
	return true;
}

/* What no single option can tell. */
static bool
load_options_check(struct load_options *options, int argc, char **argv)
{
	if (argc == 0)
		return load_options_wrong("an address is missing (see --help)");
	if (argc > 1)
		return load_options_wrong("one address is enough; what is '%s'?", argv[1]);
	if (!load_options_set_address(
		argv[0], &options->address, &options->protocol, &options->path))
		return false;
	if (!load_options_check_protocol(options) || !load_options_check_messages(options))
		return false;
	if (options->per_request && options->depth > 1)
		return load_options_wrong("--per-request and --depth above 1 exclude each other");
	if (options->per_request && options->hold)
		return load_options_wrong("--per-request and --hold exclude each other");
	if ((uint64_t)options->connections * options->depth > LOAD_OPTIONS_WAITING_MAX)
		return load_options_wrong(
		    "--connections times --depth is more than %" PRIu64, LOAD_OPTIONS_WAITING_MAX);
	if (options->slice > 0 && !options->json)
		return load_options_wrong("--gaps needs --json");
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
	    .size_least = 64,
	    .timeout = 10 * CLOCK_SECOND,
	    .connect_timeout = 5 * CLOCK_SECOND,
	};
	load_options_begin(program);
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
