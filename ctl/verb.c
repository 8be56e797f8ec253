/*
 * The verbs of hostlerctl with their help. Pure: what they do stands in a file for each.
 */
#include "ctl/verb.h"

#include "common/option.h"
#include "ctl/connections.h"
#include "ctl/generations.h"
#include "ctl/order.h"
#include "ctl/reload.h"
#include "ctl/settings.h"
#include "ctl/stats_view.h"
#include "ctl/status.h"
#include "ctl/trace.h"
#include "ctl/upgrade.h"

#include <string.h>

static const struct verb verb_table[] = {
    {"status", "", "services, workers, instances: addresses, pids, states, last exits",
	"Shows the daemon, its services with their real addresses, its workers and the\n"
	"instances of its programs, each with pid and state; below each table, why the\n"
	"last process in a place ended. Names and addresses are cut to the width of the\n"
	"terminal; --json has everything.\n"
	"\n"
	"Example: the pids of all instances\n"
	"  hostlerctl status --json | jq '.services[].instances[].pid'\n",
	0, 0, 0, status_run},
    {"services", "", "the services: addresses, connections, requests that wait",
	"Shows the first table of 'hostlerctl status'. --json has the limits and all\n"
	"counters as well.\n"
	"\n"
	"Example: services whose waiting line is not empty\n"
	"  hostlerctl services --json | jq -r '.services[]|select(.waiting>0).name'\n",
	0, 0, 0, status_run_services},
    {"workers", "", "the worker processes: pids, states, connections",
	"Shows each worker, and below the table why the one before it ended.\n"
	"\n"
	"Example: how evenly connections are spread\n"
	"  hostlerctl workers --json | jq '.workers[].connections'\n",
	0, 0, 0, status_run_workers},
    {"instances", "", "the instances of all programs, and what they said last",
	"Shows each instance; below the table why the one before it in its slot ended,\n"
	"and the last line of its standard error.\n"
	"\n"
	"Example: instances that were started more than once\n"
	"  hostlerctl instances --json | jq '.instances[]|select(.starts>1)'\n",
	0, 0, 0, status_run_instances},
    {"generations", "[end N [--now]]", "what reloads have left; end an old one before its time",
	"Shows each generation, the oldest first: its workers and connections, requests\n"
	"under way now, and how long one that drains has left; below the table, what it\n"
	"waits for. A generation is a configuration with the workers that run it: a\n"
	"reload or an upgrade makes one, and the one before ends when its clients have\n"
	"been answered.\n"
	"\n"
	"  end N  end generation N, which must not be the current one: its clients get\n"
	"         what is whole, and after a second its workers are killed\n"
	"  --now  kill its processes at once, its own programs too\n"
	"\n"
	"Examples:\n"
	"  hostlerctl generations --json | jq '.generations[]|select(.left!=null)'\n"
	"  hostlerctl generations end 3\n",
	VERB_NOW, 0, 2, generations_run},
    {"connections", "", "who is connected: address, state, requests, bytes that wait",
	"Shows the connections of every worker, at most 1000 of each, the oldest first:\n"
	"state (idle, reading, waiting for an instance, running, writing, draining), age,\n"
	"requests so far, those under way now, and bytes that wait to be read or sent.\n"
	"A worker that does not answer within a second is named below the table.\n"
	"\n"
	"Example: which clients have requests under way\n"
	"  hostlerctl connections --json | jq '.connections[]|select(.under_way>0).peer'\n",
	0, 0, 0, connections_run},
    {"stats", "[SERVICE] [--watch [SECONDS]]",
	"rates, waiting line and times of each service, once or --watch",
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
	VERB_WATCH, 0, 1, stats_view_run},
    {"config", "", "what runs: every value, and where it comes from",
	"Shows the configuration that is in force, with defaults. It may differ from the\n"
	"file, which counts at the next reload: see 'hostlerctl reload --dry-run'.\n"
	"\n"
	"Example: what was not left at its default\n"
	"  hostlerctl config --json | jq -r '.config[]|select(.origin!=\"default\" and\n"
	"      .value!=null)|[.section,.key,.value]|@tsv'\n",
	0, 0, 0, settings_run},
    {"reload", "[--dry-run]", "read the file again; print what changed",
	"Reads the configuration again, builds and proves everything that is new, and\n"
	"only then lets it take over. Waits for that, and prints for each service whether\n"
	"it is unchanged, has changed limits, is made anew (and because of which key),\n"
	"was added or was removed. Where anything is wrong nothing is changed: every\n"
	"error is printed, a line each, and the exit status is 1.\n"
	"\n"
	"  --dry-run  compare the file with what runs, and change nothing; it opens no\n"
	"             port and no log and starts no program: it does not try them\n"
	"\n"
	"Examples:\n"
	"  hostlerctl reload --dry-run && hostlerctl reload\n"
	"  hostlerctl reload --json | jq '.services[]|select(.change!=\"unchanged\").name'\n",
	VERB_DRY_RUN, 0, 0, reload_run},
    {"reopen", "", "open the logs anew, after the files were moved away",
	"Opens the daemon's log, all access logs and the files that services collect in\n"
	"anew, as the signal USR1 does, and has every worker use them. What cannot be\n"
	"opened stays as it is, and is told; then the exit status is 1.\n"
	"\n"
	"Example: in the script that rotates them\n"
	"  hostlerctl reopen\n",
	0, 0, 0, order_run_reopen},
    {"scale", "workers N | SERVICE N", "change how many workers or instances there are",
	"Changes the number of workers, or of the instances of a service, until the next\n"
	"reload sets it again. New ones are started; those that are too many finish what\n"
	"they have first.\n"
	"\n"
	"Examples:\n"
	"  hostlerctl scale workers 4\n"
	"  hostlerctl scale upper 8\n",
	0, 2, 2, order_run_scale},
    {"rebalance", "", "even out how many connections each worker has",
	"Moves connections from workers that have more than others to those, once, and\n"
	"does not wait for it; 'hostlerctl workers' shows how many each has. No client\n"
	"notices. Those that come are shared as they come, so this is for those that\n"
	"stay, as after 'scale workers'. With rebalance = yes it happens by itself.\n"
	"\n"
	"Example:\n"
	"  hostlerctl rebalance && hostlerctl workers\n",
	0, 0, 0, order_run_rebalance},
    {"stop", "[--quick]", "stop the daemon",
	"Begins to stop, as the signal TERM does: no new connections, what is under way\n"
	"is answered, within shutdown_timeout. Prints what was begun and does not wait.\n"
	"While the daemon drains already, this makes it quick.\n"
	"\n"
	"  --quick  as the signal INT: at once, whatever is under way\n"
	"\n"
	"Example:\n"
	"  hostlerctl stop\n",
	VERB_QUICK, 0, 0, order_run_stop},
    {"upgrade", "[--binary PATH]", "let another version take over, without a break",
	"Executes the hostlerd that lies at the path where this one was started, or the\n"
	"one that is named, in place of the one that runs: same pid, same sockets, same\n"
	"programs. It is tried as a child first; only then it takes over, with workers of\n"
	"its own. Where anything is wrong the old one goes on, the reason is printed, and\n"
	"the exit status is 1. Clients notice nothing of either.\n"
	"\n"
	"  --binary PATH  another hostlerd; later upgrades take this path too\n"
	"\n"
	"Examples:\n"
	"  hostlerctl upgrade\n"
	"  hostlerctl upgrade --binary /opt/hostler-1.2/sbin/hostlerd\n",
	VERB_BINARY, 0, 0, upgrade_run},
    {"verbose", "[LEVEL]", "change the level of the log until the next reload",
	"Sets the level of the log of the master and all workers: error, warn, info or\n"
	"debug. Without a level it is debug. A reload sets log_level of the file again.\n"
	"\n"
	"Examples:\n"
	"  hostlerctl verbose\n"
	"  hostlerctl verbose info\n",
	0, 0, 1, order_run_verbose},
    {"trace", "", "which request was given which instance, in order",
	"Shows the newest grants of every pool, oldest first: the number of the request\n"
	"in the order of arrival, when it was given an instance (in seconds after the\n"
	"first one shown; in --json nanoseconds of the monotonic clock), the slot and the\n"
	"incarnation of the instance, the worker, and whether it was given again.\n"
	"\n"
	"Example: how many requests each instance was given\n"
	"  hostlerctl trace --json | jq '.services[].grants[].slot' | sort | uniq -c\n",
	0, 0, 0, trace_run},
    {"version", "", "the versions of hostlerctl and of the daemon",
	"Shows both versions and the daemon's pid. --version asks no daemon.\n"
	"\n"
	"Example:\n"
	"  hostlerctl version\n",
	0, 0, 0, settings_run_version},
};

#define VERB_COUNT (sizeof(verb_table) / sizeof(verb_table[0]))

const struct verb *
verb_find(const char *name)
{
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (strcmp(verb_table[i].name, name) == 0)
			return &verb_table[i];
	return NULL;
}

bool
verb_is_near(const char *word, const char *name)
{
	return option_is_near(word, name);
}

const struct verb *
verb_at(size_t index)
{
	return index < VERB_COUNT ? &verb_table[index] : NULL;
}
