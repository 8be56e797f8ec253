/*
 * The option table and how it is looked up. Constant data: nothing here reads a file or keeps a
 * value. A new option is one row here and one field in conf.h.
 */
#include "common/option.h"

#include "common/clock.h"
#include "common/conf.h"
#include "common/visitors.h"

#include <string.h>
#include <unistd.h>

#define MS     CLOCK_MS
#define SECOND CLOCK_SECOND
#define MINUTE (60 * CLOCK_SECOND)
#define DAY    (86400 * CLOCK_SECOND)
#define KIB    (UINT64_C(1) << 10)
#define MIB    (UINT64_C(1) << 20)
#define GIB    (UINT64_C(1) << 30)

#define HOSTLER(name, field)                                                                       \
	.scope = OPTION_HOSTLER, .key = name, .offset = offsetof(struct conf, field)
#define SERVICE(name, field)                                                                       \
	.scope = OPTION_SERVICE, .key = name, .offset = offsetof(struct conf_service, field)
#define COUNT(from, to)    .type = OPTION_UNSIGNED, .unit = UNIT_COUNT, .min = from, .max = to
#define DURATION(from, to) .type = OPTION_WIDE, .unit = UNIT_DURATION, .min = from, .max = to
#define SIZE(from, to)     .type = OPTION_WIDE, .unit = UNIT_SIZE, .min = from, .max = to
#define AUTO(to)           .type = OPTION_AUTO, .unit = UNIT_COUNT, .min = 1, .max = to
#define RANGE(to)          .type = OPTION_RANGE, .unit = UNIT_COUNT, .min = 1, .max = to
#define CHOICE(names)      .type = OPTION_CHOICE, .choices = names
#define TEXT               .type = OPTION_TEXT
/* A resource limit is no limit in the sense of OPTION_LIMIT: a running instance keeps its own. */
#define RLIMIT(name, kind, units, from, to)                                                        \
	SERVICE(name, limits[kind]), .type = OPTION_RLIMIT, .unit = units, .min = from, .max = to, \
				     .flags = OPTION_PROGRAM | OPTION_SHAPES
#define INHERITED .otherwise = "what hostlerd itself was given"

static const char *const option_protocols[] = {
#define X(constant, name, in, help) #name,
    PROTOCOLS(X)
#undef X
	NULL,
};

static const char *const option_handlers[] = {
#define X(constant, name, in, protocols, help) #name,
    HANDLERS(X)
#undef X
	NULL,
};

static const char *const option_log_levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
    NULL,
};

static const char *const option_log_formats[] = {
    [LOG_FORMAT_TEXT] = "text",
    [LOG_FORMAT_JSON] = "json",
    NULL,
};

static const char *const option_backends[] = {
    [BACKEND_AUTO] = "auto",
    [BACKEND_EPOLL] = "epoll",
    [BACKEND_POLL] = "poll",
    [BACKEND_SELECT] = "select",
    NULL,
};

static const char *const option_framings[] = {
    [CODEC_LINE] = "line",
    [CODEC_FRAME] = "frame",
    NULL,
};

static const char *const option_cancels[] = {
    [ON_CANCEL_FINISH] = "finish",
    [ON_CANCEL_KILL] = "kill",
    NULL,
};

static const char *const option_acks[] = {
    [ACK_NONE] = "none",
    [ACK_WRITTEN] = "written",
    [ACK_SYNCED] = "synced",
    NULL,
};

static const char *const option_answers[] = {"no", "yes", NULL};

static const char *const option_messages[] = {
    [MESSAGE_RAW] = "raw",
    [MESSAGE_JSON] = "json",
    NULL,
};

static const char *const option_disciplines[] = {"strict", NULL};

static const char *const option_readies[] = {
    [READY_START] = "start",
    [READY_LINE] = "line",
    NULL,
};

_Static_assert(offsetof(struct conf_service, instances) ==
		   offsetof(struct conf_service, instances_min) + sizeof(unsigned),
    "an OPTION_RANGE is two numbers side by side");

static const struct option option_table[] = {
    /* ---- [hostler] ---- */
    {HOSTLER("workers", workers), AUTO(OPTION_WORKERS_MAX), .fallback = "auto",
	.flags = OPTION_LIMIT,
	.help = "How many worker processes serve the connections; auto is one for each CPU."},
    {HOSTLER("user", user), TEXT, .example = "nobody",
	.otherwise = "workers become nobody and instances keep the caller's user",
	.flags = OPTION_RESTART,
	.help = "User that workers and instances become. Only root can become somebody else."},
    {HOSTLER("group", group), TEXT, .example = "nogroup", .otherwise = "the primary group of user",
	.flags = OPTION_RESTART, .help = "Group that workers and instances get."},
    {HOSTLER("control", control), TEXT, .example = "/run/hostler/control.sock",
	.otherwise = "/run/hostler/control.sock for root, a private path for everybody else, "
		     "printed at the start",
	.flags = OPTION_RESTART, .help = "Path of the control socket."},
    {HOSTLER("pid_file", pid_file), TEXT, .example = "/run/hostler/hostlerd.pid",
	.otherwise = "no such file is written", .flags = OPTION_RESTART,
	.help = "File to which the master writes its process id."},
    {HOSTLER("log", log), TEXT, .fallback = CONF_LOG_STDERR, .flags = OPTION_LIMIT,
	.help = "Where the log goes: stderr, or the path of a file that lines are appended to. A "
		"relative path belongs to the folder of the configuration file. The file is made "
		"with mode 0640; signal USR1 opens it anew."},
    {HOSTLER("log_format", log_format), CHOICE(option_log_formats), .fallback = "text",
	.flags = OPTION_LIMIT,
	.help = "How lines look, of the log and of every access log; json is one object a line."},
    {HOSTLER("log_level", log_level), CHOICE(option_log_levels), .fallback = "info",
	.flags = OPTION_LIMIT, .help = "The least grave lines that still go to the log."},
    {HOSTLER("event_backend", event_backend), CHOICE(option_backends), .fallback = "auto",
	.flags = OPTION_RESTART,
	.help = "How workers wait for many connections at once; auto is the first of epoll, poll "
		"and select that works here. With poll and select each wake-up costs more with "
		"every connection that is open, and a client that leaves while nothing is read "
		"from it is noticed when its reply is written. A worker on select has 1024 "
		"descriptors at most, so max_connections is lowered to what the workers can carry; "
		"more instances than fit are an error."},
    {HOSTLER("max_connections", max_connections), COUNT(1, 1000000), .fallback = "20000",
	.flags = OPTION_LIMIT,
	.help = "Connections of all services together; beyond them accepting waits."},
    {HOSTLER("shutdown_timeout", shutdown_timeout), DURATION(MS, DAY), .fallback = "30s",
	.flags = OPTION_LIMIT, .help = "How long a graceful stop may take."},
    {HOSTLER("drain_timeout", drain_timeout), DURATION(MS, DAY), .fallback = "30s",
	.flags = OPTION_LIMIT,
	.help = "How long workers that were replaced, by a reload, by an upgrade or to have fewer "
		"of them, may take to answer what is under way; all else moves to others at "
		"once. What is left then is cut: longer requests, and unfinished messages on "
		"connections that cannot move because their service or address is gone."},
    {HOSTLER("rebalance", rebalance), CHOICE(option_answers), .fallback = "no",
	.flags = OPTION_LIMIT,
	.help = "Whether connections are moved away from a worker that has held far more than its "
		"share for a second: a quarter more and 16. New ones are shared as they come; this "
		"is for those that stay for long. hostlerctl rebalance does it once."},
    {HOSTLER("rebalance_rate", rebalance_rate), COUNT(1, 1000000), .fallback = "1000",
	.flags = OPTION_LIMIT, .help = "How many connections a second rebalance moves at most."},
    {HOSTLER("spin", spin), DURATION(0, MS), .fallback = "0", .example = "0.05ms",
	.flags = OPTION_LIMIT,
	.help = "How long a worker that ran out of work looks for more before it sleeps. It "
		"answers single requests sooner, at the cost of CPU time, and only where CPUs are "
		"idle anyway; 0 is not at all."},
    {HOSTLER("worker_timeout", worker_timeout), DURATION(100 * MS, DAY), .fallback = "10s",
	.flags = OPTION_LIMIT,
	.help = "A worker that does not answer the master for so long is killed and replaced."},

    /* ---- [service NAME] ---- */
    {SERVICE("listen", listen_text), TEXT, .flags = OPTION_REQUIRED, .example = "127.0.0.1:10001",
	.help = "Addresses to listen on, separated by blanks or commas: 127.0.0.1:80, [::1]:80, "
		"localhost:80, *:80 for every IPv4 address, 80 alone for 127.0.0.1:80, "
		"unix:/run/x.sock. Port 0 lets the kernel choose. A unix socket is open to every "
		"user (mode 0666) who may reach its folder."},
    {SERVICE("backlog", backlog), COUNT(1, 65535), .fallback = "4096", .flags = OPTION_LIMIT,
	.help = "Connections that may wait in the kernel to be accepted."},
    {SERVICE("protocol", protocol), CHOICE(option_protocols), .lacks = protocol_lacks,
	.flags = OPTION_REQUIRED, .example = "line",
	.help = "How bytes of a client become requests."},
    {SERVICE("ids", ids), CHOICE(option_answers), .fallback = "no",
	.help = "With yes, for protocol frame alone: each request carries an id of four bytes in "
		"front of its payload, each reply the same id and a byte of status, and replies "
		"go out as they come, in any order."},
    {SERVICE("path", path), TEXT, .flags = OPTION_HTTP | OPTION_WEBSOCKET | OPTION_LIMIT,
	.fallback = "/",
	.help = "The requests that the service is for: those whose path is this or below it. "
		"Services that listen on the same address share it, and the longest path wins."},
    {SERVICE("host", host), TEXT, .flags = OPTION_HTTP | OPTION_WEBSOCKET | OPTION_LIMIT,
	.example = "example.org *.example.org", .otherwise = "every host",
	.help = "The hosts that the service is for, without a port, separated by blanks or commas; "
		"*.example.org is everything below it. A service that names the host of a request "
		"goes before those that name none, whatever their paths."},
    {SERVICE("content_type", content_type), TEXT, .flags = OPTION_HTTP | OPTION_LIMIT,
	.fallback = "text/plain; charset=utf-8", .help = "What replies are said to be."},
    {SERVICE("server_field", server_field), CHOICE(option_answers), .fallback = "yes",
	.flags = OPTION_HTTP | OPTION_WEBSOCKET | OPTION_LIMIT,
	.help = "Whether replies have a field Server."},
    {SERVICE("message", message), CHOICE(option_messages), .flags = OPTION_HTTP | OPTION_LIMIT,
	.fallback = "raw",
	.help = "What the handler is given, and gives: the body alone, or one JSON object with "
		"all of the request, and of the reply."},
    {SERVICE("cors_origins", cors_origins), TEXT, .flags = OPTION_HTTP | OPTION_LIMIT,
	.example = "https://example.org", .otherwise = "nothing is said about other origins",
	.help = "Origins whose pages a browser lets read the replies, separated by blanks or "
		"commas, or * for every one. Preflight requests are then answered by hostlerd."},
    {SERVICE("origins", origins), TEXT, .flags = OPTION_WEBSOCKET | OPTION_LIMIT,
	.example = "https://example.org", .otherwise = "pages of the host that was asked",
	.help = "Origins whose pages may open a WebSocket, separated by blanks or commas, or * "
		"for every one; others are refused with 403. Clients that send no Origin are no "
		"browsers and may always."},
    {SERVICE("subprotocols", subprotocols), TEXT, .flags = OPTION_WEBSOCKET | OPTION_LIMIT,
	.example = "chat.v2 chat.v1", .otherwise = "none is agreed on",
	.help = "Names of subprotocols, separated by blanks or commas. The first of the client's "
		"list that is among them is agreed on."},
    {SERVICE("deflate", deflate), CHOICE(option_answers), .flags = OPTION_WEBSOCKET | OPTION_LIMIT,
	.fallback = "no",
	.help = "Whether messages are packed where the client can do that too "
		"(permessage-deflate): fewer bytes on the way for more CPU time. Nothing is kept "
		"between messages."},
    {SERVICE("ping_interval", ping_interval), DURATION(0, DAY),
	.flags = OPTION_WEBSOCKET | OPTION_LIMIT, .fallback = "30s",
	.help = "A WebSocket that was silent for so long is sent a ping, and closed when it is "
		"silent for as long again; one that answers is not idle. 0 is never, and so is as "
		"much as idle_timeout or more."},
    {SERVICE("max_target", max_target), SIZE(16, 64 * KIB),
	.flags = OPTION_HTTP | OPTION_WEBSOCKET | OPTION_LIMIT, .fallback = "8K",
	.help = "Bytes of a request's target, path and query; beyond them 414."},
    {SERVICE("max_head", max_head), SIZE(64, 1 * MIB),
	.flags = OPTION_HTTP | OPTION_WEBSOCKET | OPTION_LIMIT, .fallback = "32K",
	.help = "Bytes of a request's first line and header fields; beyond them 431. There may "
		"be a hundred fields."},
    {SERVICE("handler", handler), CHOICE(option_handlers), .lacks = handler_lacks,
	.flags = OPTION_REQUIRED, .example = "program", .help = "Who answers the requests."},
    {SERVICE("command", command), TEXT, .flags = OPTION_PROGRAM | OPTION_SHAPES,
	.example = "sed -u 's/^/hello, /'", .otherwise = "required with handler = program",
	.help = "The program and its arguments, in words that may be quoted; there is no shell. A "
		"bare name is looked for in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
		"/sbin:/bin, a relative path belongs to directory."},
    {SERVICE("directory", directory), TEXT, .flags = OPTION_PROGRAM | OPTION_SHAPES, .example = "/",
	.otherwise = "the folder of the configuration file", .help = "Where instances start."},
    {SERVICE("environment", environment), TEXT, .flags = OPTION_PROGRAM | OPTION_SHAPES,
	.example = "LANG=C.UTF-8 MODEL='small one'", .otherwise = "nothing is added",
	.help = "Variables to add to the clean environment of instances: words of the form "
		"NAME=VALUE."},
    {SERVICE("user", user), TEXT, .flags = OPTION_PROGRAM | OPTION_SHAPES, .example = "nobody",
	.otherwise = "the user of [hostler]",
	.help = "User that instances become. Only root can become somebody else."},
    {SERVICE("group", group), TEXT, .flags = OPTION_PROGRAM | OPTION_SHAPES, .example = "nogroup",
	.otherwise = "the primary group of user", .help = "Group that instances get."},
    {RLIMIT("limit_nofile", CONF_LIMIT_NOFILE, UNIT_COUNT, 4, 1048576), .example = "256", INHERITED,
	.help = "Descriptors that an instance may have open."},
    {RLIMIT("limit_nproc", CONF_LIMIT_NPROC, UNIT_COUNT, 1, 4194304), .example = "64", INHERITED,
	.help = "Processes that the user of an instance may have."},
    {RLIMIT("limit_as", CONF_LIMIT_AS, UNIT_SIZE, MIB, 1048576 * GIB), .example = "1G", INHERITED,
	.help = "Address space of an instance."},
    {RLIMIT("limit_cpu", CONF_LIMIT_CPU, UNIT_DURATION, SECOND, 365 * DAY), .example = "1h",
	INHERITED, .help = "CPU time of an instance, in whole seconds."},
    {RLIMIT("limit_fsize", CONF_LIMIT_FSIZE, UNIT_SIZE, 0, 1048576 * GIB), .example = "100M",
	INHERITED, .help = "The largest file that an instance may write."},
    {RLIMIT("limit_core", CONF_LIMIT_CORE, UNIT_SIZE, 0, 1048576 * GIB), .example = "1G",
	.otherwise = "0, no core files", .help = "The largest core file of an instance."},
    {RLIMIT("limit_stack", CONF_LIMIT_STACK, UNIT_SIZE, 64 * KIB, 1024 * GIB), .example = "8M",
	INHERITED, .help = "Stack of an instance."},
    {SERVICE("discipline", discipline), CHOICE(option_disciplines),
	.flags = OPTION_PROGRAM | OPTION_SHAPES, .fallback = "strict",
	.help = "What is agreed with the program; strict is one message in, one message out, in "
		"order."},
    {SERVICE("framing", framing), CHOICE(option_framings), .flags = OPTION_PROGRAM | OPTION_SHAPES,
	.fallback = "line", .help = "How messages to and from the program are told apart."},
    {SERVICE("reply_end", reply_end_text), TEXT, .flags = OPTION_PROGRAM | OPTION_SHAPES,
	.example = "END", .otherwise = "each reply is one message",
	.help = "A line that ends each reply of the program, for framing line alone; a reply then "
		"is the lines in front of it, none or many. May stand in quotes: '' is the empty "
		"line. A client of protocol line is sent this line too, behind every reply and "
		"every error; others get the lines without it."},
    {SERVICE("stream", stream), CHOICE(option_answers), .fallback = "no",
	.flags = OPTION_PROGRAM | OPTION_HTTP | OPTION_LIMIT,
	.help = "With yes each line of a reply goes out as soon as it is there, as a chunk; for "
		"reply_end and message raw."},
    {SERVICE("instances", instances_min), RANGE(CONF_INSTANCES_MAX),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "auto",
	.help = "How many processes of the program are kept ready; auto is one for each CPU. With "
		"MIN..MAX one more is started when a request waits, and one that has nothing to do "
		"for instance_idle ends."},
    {SERVICE("instance_idle", instance_idle), DURATION(MS, 365 * DAY),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "1m",
	.help = "With instances = MIN..MAX: an instance beyond MIN that was not needed for so long "
		"ends."},
    {SERVICE("concurrency", concurrency), AUTO(1024),
	.flags = OPTION_PROGRAM | OPTION_SHAPES | OPTION_SELF, .fallback = "auto",
	.help = "Messages that may be in one instance at a time. With auto it is one, and more, up "
		"to 32, only where the program was measured to answer all of them within a "
		"millisecond."},
    {SERVICE("start_rate", start_rate), COUNT(1, 1000), .flags = OPTION_PROGRAM | OPTION_LIMIT,
	.fallback = "10", .help = "Instances started in a second, at most."},
    {SERVICE("ready", ready), CHOICE(option_readies), .flags = OPTION_PROGRAM | OPTION_SHAPES,
	.fallback = "start",
	.help = "When an instance is given its first request: as soon as it was started, or after "
		"it wrote a line to its standard output. That line is thrown away."},
    {SERVICE("start_timeout", start_timeout), DURATION(MS, DAY),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "30s",
	.help = "How long an instance may take for its first lines, where ready = line or "
		"skip_lines waits for some; then it is killed."},
    {SERVICE("skip_lines", skip_lines), COUNT(0, 1000), .flags = OPTION_PROGRAM | OPTION_SHAPES,
	.fallback = "0",
	.help = "Lines of a banner that an instance writes to its standard output when it starts; "
		"they are thrown away."},
    {SERVICE("max_requests", max_requests), COUNT(0, 1000000000),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "0",
	.help = "An instance that has replied so often, or up to a tenth less, is replaced; it "
		"goes on until its replacement is ready. 0 is never."},
    {SERVICE("max_age", max_age), DURATION(0, 365 * DAY), .flags = OPTION_PROGRAM | OPTION_LIMIT,
	.fallback = "0", .example = "1d",
	.help = "An instance that is as old as this, or up to a tenth younger, is replaced; 0 is "
		"never."},
    {SERVICE("max_memory", max_memory), SIZE(0, 1048576 * GIB),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "0", .example = "512M",
	.help = "An instance whose process has more memory resident than this is replaced; it is "
		"looked at once a second. 0 is never."},
    {SERVICE("stop_timeout", stop_timeout), DURATION(MS, DAY),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "5s",
	.help = "How long an instance may take to end once its input is closed."},
    {SERVICE("on_cancel", on_cancel), CHOICE(option_cancels),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "finish",
	.help = "What becomes of a running request whose client has left: it is finished and its "
		"reply dropped, or its instance is killed."},
    {SERVICE("file", file), TEXT, .flags = OPTION_COLLECT | OPTION_LIMIT,
	.example = "/var/spool/hostler/records", .otherwise = "required with handler = collect",
	.help = "The file that whole messages are appended to: a line with its LF, a frame with "
		"its length in front, the bytes of a stream as they come. A relative path belongs "
		"to the folder of the configuration file. The file is made with mode 0640; signal "
		"USR1 opens it anew. Nobody else may write to it."},
    {SERVICE("ack", ack), CHOICE(option_acks), .flags = OPTION_COLLECT | OPTION_LIMIT,
	.fallback = "none",
	.help = "When a message that is collected is answered with OK: never, once all of it is "
		"written to the file, or once it is on the disk, which fdatasync(2) said after "
		"that. ERR failed tells that it could not be. With none not even an error is "
		"told; protocol stream knows none alone."},
    {SERVICE("rotate_size", rotate_size), SIZE(0, 1048576 * GIB),
	.flags = OPTION_COLLECT | OPTION_LIMIT, .fallback = "0", .example = "256M",
	.help = "A file that has become as large as this is renamed to FILE.TIME, and a new one "
		"is begun. 0 is never."},
    {SERVICE("root", root), TEXT, .flags = OPTION_STATIC | OPTION_LIMIT, .example = "/srv/www",
	.otherwise = "required with handler = static",
	.help = "The folder whose files are served. A relative path belongs to the folder of the "
		"configuration file. Workers read the files, so their user must be allowed to."},
    {SERVICE("index", index), TEXT, .flags = OPTION_STATIC | OPTION_LIMIT, .fallback = "index.html",
	.help = "The file that is served in place of its folder."},
    {SERVICE("queue", queue), COUNT(1, CONF_QUEUE_MAX),
	.flags = OPTION_PROGRAM | OPTION_COLLECT | OPTION_LIMIT, .fallback = "1024",
	.help = "Requests that may wait for an instance, or to be written and synced where they "
		"are collected and acknowledged; one more is refused."},
    {SERVICE("queue_timeout", queue_timeout), DURATION(MS, 365 * DAY),
	.flags = OPTION_PROGRAM | OPTION_LIMIT, .fallback = "10s",
	.help = "How long a request may wait for an instance."},
    {SERVICE("request_timeout", request_timeout), DURATION(MS, 365 * DAY),
	.flags = OPTION_PROGRAM | OPTION_COLLECT | OPTION_LIMIT, .fallback = "30s",
	.help = "How long an instance may take for a request; then it is killed. How long it may "
		"take to acknowledge what is collected; it may still be written."},
    {SERVICE("idle_timeout", idle_timeout), DURATION(MS, 365 * DAY), .flags = OPTION_LIMIT,
	.fallback = "5m", .help = "A connection on which nothing happens for so long is closed."},
    {SERVICE("message_timeout", message_timeout), DURATION(MS, 365 * DAY), .flags = OPTION_LIMIT,
	.fallback = "30s", .help = "How long a client may take to send the whole of one message."},
    {SERVICE("write_timeout", write_timeout), DURATION(MS, 365 * DAY), .flags = OPTION_LIMIT,
	.fallback = "30s",
	.help = "A client that has not taken what waits for it after so long is cut off."},
    {SERVICE("pipeline", pipeline), COUNT(1, 65535), .flags = OPTION_LIMIT, .fallback = "32",
	.help = "Requests of one connection that may be under way; then reading waits."},
    {SERVICE("max_message", max_message), SIZE(1, GIB), .flags = OPTION_LIMIT, .fallback = "64K",
	.help = "The largest message, request or reply."},
    {SERVICE("high_water", high_water), SIZE(1, GIB), .flags = OPTION_LIMIT, .fallback = "256K",
	.help = "While more output than this waits for a client, nothing is read from it."},
    {SERVICE("max_connections_per_address", max_connections_per_address), COUNT(0, 1000000),
	.flags = OPTION_LIMIT, .fallback = "0",
	.help = "Connections from one address, an IPv6 /64 counting as one; 0: as many as "
		"max_connections. What comes beyond is closed at once, or told 429."},
    {SERVICE("rate", rate), COUNT(0, VISITORS_RATE_MAX), .flags = OPTION_LIMIT, .fallback = "0",
	.help = "Requests within a second from one address; 0: any number. Who asks more is closed "
		"at once, or told 429."},
    {SERVICE("max_connections", max_connections), COUNT(1, 1000000), .flags = OPTION_LIMIT,
	.fallback = "20000", .help = "Connections of the service; beyond them accepting waits."},
    {SERVICE("access_log", access_log), TEXT, .fallback = CONF_ACCESS_OFF, .flags = OPTION_LIMIT,
	.help =
	    "Where a line is written for every request that ended: off, or the path of a file, as "
	    "for log. Several services may share one."},
};

unsigned
option_count(void)
{
	return sizeof(option_table) / sizeof(option_table[0]);
}

const struct option *
option_at(unsigned index)
{
	return &option_table[index];
}

unsigned
option_index(const struct option *option)
{
	return (unsigned)(option - option_table);
}

const struct option *
option_find(enum option_scope scope, const char *key)
{
	for (unsigned i = 0; i < option_count(); i++)
		if (option_table[i].scope == scope && strcmp(option_table[i].key, key) == 0)
			return &option_table[i];
	return NULL;
}

static bool
option_is_spoken(const struct option *option, enum protocol_kind protocol)
{
	unsigned only = option->flags & (OPTION_HTTP | OPTION_WEBSOCKET);

	if (only == 0)
		return true;
	if (protocol == PROTOCOL_HTTP)
		return (only & OPTION_HTTP) != 0;
	return protocol_is_http(protocol) && (only & OPTION_WEBSOCKET) != 0;
}

bool
option_is_for(const struct option *option, enum protocol_kind protocol, enum handler_kind handler)
{
	unsigned only = option->flags & (OPTION_PROGRAM | OPTION_COLLECT | OPTION_STATIC);

	if (!option_is_spoken(option, protocol))
		return false;
	return only == 0 || (handler == HANDLER_PROGRAM && (only & OPTION_PROGRAM)) ||
	       (handler == HANDLER_COLLECT && (only & OPTION_COLLECT)) ||
	       (handler == HANDLER_STATIC && (only & OPTION_STATIC));
}

const char *
option_lacks(const struct option *option, unsigned choice)
{
	return option->lacks != NULL ? option->lacks(choice) : NULL;
}

unsigned
option_cpus(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : (unsigned)cpus;
}

uint64_t
option_max(const struct option *option)
{
	uint64_t cpus = option_cpus();

	if (option->max != OPTION_WORKERS_MAX)
		return option->max;
	return cpus > 4 ? 4 * cpus : 16;
}
