/*
 * hostlerd: the command line. Finds the configuration, checks it, and becomes the master. Holds
 * descriptors 0 to 2 before anything else is opened, so that no socket ever becomes one of them.
 */
#include "common/conf.h"
#include "common/control_path.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/master.h"
#include "daemon/notify.h"
#include "daemon/upgrade.h"

#include <event2/event.h>

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAIN_FILE  SYSCONFDIR "/hostler/hostler.conf"
#define MAIN_DEMO  "demo-upper"
#define MAIN_USAGE 2 /* exit status when the command line is wrong */

/* Long options without a short one, which are not for people: beyond every character. */
enum main_hidden { MAIN_REHEARSE = 256, MAIN_RESUME, MAIN_RETURN };

struct main_options {
	const char *file; /* borrows */
	bool check, dump, verbose, is_run;
	int argc; /* what follows the word `run` */
	char **argv;
	char **words; /* all but argv[0] and the hidden options */
	struct upgrade_arrival arrival;
};

static const struct option main_long[] = {
    {"file", required_argument, NULL, 'f'},
    {"check", no_argument, NULL, 't'},
    {"dump", no_argument, NULL, 'T'},
    {"version", no_argument, NULL, 'V'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"rehearse", required_argument, NULL, MAIN_REHEARSE},
    {"resume", required_argument, NULL, MAIN_RESUME},
    {"return", required_argument, NULL, MAIN_RETURN},
    {NULL, 0, NULL, 0},
};

static void
main_print_usage(FILE *out)
{
	fputs(
	    "usage: hostlerd [-tTv] [-f FILE]\n"
	    "       hostlerd [-tTv] run [--KEY VALUE ...] [-- COMMAND ...]\n"
	    "\n"
	    "  -f FILE  the configuration (" MAIN_FILE ")\n"
	    "  -t       check it and exit\n"
	    "  -T       print every value and where it comes from, and exit\n"
	    "  -v       log more\n"
	    "  -V       print version and build, and exit\n"
	    "  -h       print this\n"
	    "\n"
	    "hostlerd run serves one program without a file; alone it is a demonstration.\n"
	    "hostlerd run --help lists its options; hostler.conf.sample has the same for a file.\n",
	    out);
}

/* The words of a build are those of the configuration. */
static void
main_print_version(void)
{
	printf("hostlerd %s (libevent %s, jansson %s, compiler %s)\nprotocols:", PACKAGE_VERSION,
	    event_get_version(), jansson_version_str(), __VERSION__);
	for (enum protocol_kind kind = 0; kind < PROTOCOL_COUNT; kind++)
		if (protocol_lacks(kind) == NULL)
			printf(" %s", protocol_name(kind));
	fputs("\nhandlers:", stdout);
	for (enum handler_kind kind = 0; kind < HANDLER_COUNT; kind++)
		if (handler_lacks(kind) == NULL)
			printf(" %s", handler_name(kind));
	fputs("\n", stdout);
}

/* A closed standard descriptor would be given to the next socket that is opened. */
static void
main_hold_standard(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(1);
}

/* Whether `--help` or `-h` stands among the options of `run`; behind `--` it is the program's. */
static bool
main_wants_help(const struct main_options *options)
{
	for (int i = 0; i < options->argc && strcmp(options->argv[i], "--") != 0; i++)
		if (strcmp(options->argv[i], "--help") == 0 || strcmp(options->argv[i], "-h") == 0)
			return true;
	return false;
}

static void
main_print_run_help(void)
{
	puts(
	    "usage: hostlerd run [--KEY VALUE ...] [-- COMMAND ...]\n"
	    "\n"
	    "  hostlerd run --listen 127.0.0.1:10001 -- python3 upper.py\n"
	    "  hostlerd run --listen unix:/tmp/a.sock --protocol frame --framing frame -- ./model\n"
	    "  hostlerd run --http 127.0.0.1:8080 -- python3 upper.py\n"
	    "\n"
	    "--http ADDRESS is short for --listen ADDRESS --protocol http, and so is --websocket "
	    "ADDRESS.\n"
	    "Every key of a configuration file is an option, shown here with its default or its "
	    "choices:\n");
	conf_print_options(stdout);
}

/* Another hostlerd says where it left everything. False when it was somebody else. */
static bool
main_arrive(struct main_options *options, int option, char **argv)
{
	static const enum upgrade_way ways[] = {UPGRADE_REHEARSE, UPGRADE_RESUME, UPGRADE_RETURN};
	static const char *const names[] = {"rehearse", "resume", "return"};
	int index = option - MAIN_REHEARSE;

	options->words = argv + optind;
	if (upgrade_read_arrival(&options->arrival, ways[index], optarg))
		return true;
	fprintf(stderr,
	    "hostlerd: --%s is what one hostlerd tells another: use hostlerctl upgrade\n",
	    names[index]);
	return false;
}

/* Returns -1 to go on, else the exit status. */
static int
main_parse(struct main_options *options, int argc, char **argv)
{
	int option;

	options->words = argv + 1;
	while ((option = getopt_long(argc, argv, "+f:tTvVh", main_long, NULL)) != -1) {
		switch (option) {
		case 'f':
			options->file = optarg;
			break;
		case 't':
			options->check = true;
			break;
		case 'T':
			options->dump = true;
			break;
		case 'v':
			options->verbose = true;
			break;
		case 'V':
			main_print_version();
			return 0;
		case 'h':
			main_print_usage(stdout);
			return 0;
		case MAIN_REHEARSE:
		case MAIN_RESUME:
		case MAIN_RETURN:
			if (!main_arrive(options, option, argv))
				return MAIN_USAGE;
			break;
		default:
			main_print_usage(stderr);
			return MAIN_USAGE;
		}
	}
	options->is_run = optind < argc && strcmp(argv[optind], "run") == 0;
	if (optind < argc && !options->is_run && access(argv[optind], R_OK) == 0)
		fprintf(stderr, "%s: did you mean -f %s?\n", argv[optind], argv[optind]);
	else if (optind < argc && !options->is_run)
		fprintf(stderr, "hostlerd: no command '%s'; there is only run\n", argv[optind]);
	else if (options->is_run && options->file != NULL)
		fputs(
		    "hostlerd: -f and run exclude each other: run is set up by options\n", stderr);
	if ((optind < argc && !options->is_run) || (options->is_run && options->file != NULL)) {
		main_print_usage(stderr);
		return MAIN_USAGE;
	}
	options->argc = argc - optind - options->is_run;
	options->argv = argv + optind + options->is_run;
	if (options->is_run && main_wants_help(options)) {
		main_print_run_help();
		return 0;
	}
	return -1;
}

/* The demo program lies beside us in a build, and with the other helpers once installed. */
static char *
main_find_demo(void)
{
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *demo;

	self[length > 0 ? length : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL) {
		*slash = '\0';
		demo = mem_printf("%s/%s", self, MAIN_DEMO);
		if (access(demo, X_OK) == 0)
			return demo;
		free(demo);
	}
	return mem_strdup(PKGLIBEXECDIR "/" MAIN_DEMO);
}

/* Whether the path leads to the program that runs. */
static bool
main_is_binary(const char *path)
{
	struct stat ours, named;

	return stat("/proc/self/exe", &ours) == 0 && stat(path, &named) == 0 &&
	       ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/*
 * The path that we were started by, absolute: it may be a link that will lead to another version.
 * Where the name alone does not tell, it is the file itself.
 */
static char *
main_find_binary(const char *name)
{
	const char *folders = getenv("PATH");
	char self[4096];
	ssize_t length;
	char *path;

	if (strchr(name, '/') != NULL) {
		char *folder = getcwd(NULL, 0);

		path = name[0] == '/' ? mem_strdup(name)
				      : mem_printf("%s/%s", folder != NULL ? folder : "", name);
		free(folder);
		if (main_is_binary(path))
			return path;
		free(path);
	}
	while (strchr(name, '/') == NULL && folders != NULL && folders[0] != '\0') {
		size_t part = strcspn(folders, ":");

		path = mem_printf("%.*s/%s", (int)part, folders, name);
		if (path[0] == '/' && main_is_binary(path))
			return path;
		free(path);
		folders += part + (folders[part] == ':');
	}
	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	return mem_strndup(self, length > 0 ? (size_t)length : 0);
}

static struct conf *
main_load(const struct main_options *options, const char *control)
{
	struct conf_errors errors = {0};
	struct conf *conf;

	if (options->is_run) {
		char *demo = main_find_demo();

		conf = conf_run(options->argc, options->argv, demo, control, &errors);
		free(demo);
	} else {
		conf =
		    conf_load(options->file != NULL ? options->file : MAIN_FILE, control, &errors);
	}
	for (unsigned i = 0; i < errors.count; i++)
		fprintf(stderr, "%s%s\n", log_error_prefix(), errors.lines[i]);
	conf_errors_free(&errors);
	return conf;
}

/* Returns the exit status. The master takes the configuration over. */
static int
main_start(const struct main_options *options, struct conf **conf_at, const char *control,
    const char *name)
{
	struct upgrade_start start = {.words = options->words};
	struct conf *conf = *conf_at;
	char *why;
	int status;

	if (options->dump) {
		conf_dump(conf, stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (options->check) {
		printf("%s is fine\n", conf->file != NULL ? conf->file : "the command line");
		return 0;
	}
	/* What else we were started with is no child's business. */
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	log_open("master", options->verbose ? LOG_LEVEL_DEBUG : conf->log_level);
	if (strcmp(conf->control, control) == 0 && !control_make_folder(control, &why))
		fatalx("control socket: %s", why);
	start.binary = main_find_binary(name);
	notify_open();
	*conf_at = NULL;
	status = master_run(conf, control, &start);
	notify_close();
	return status;
}

int
main(int argc, char **argv)
{
	struct main_options options = {0};
	struct conf *conf;
	char *control;
	int status;

	main_hold_standard();
	status = main_parse(&options, argc, argv);
	if (status >= 0)
		return status;
	control = control_name_path(options.is_run);
	if (options.arrival.way != UPGRADE_NOT) {
		status = upgrade_arrive(&options.arrival, options.words, control);
		free(control);
		return status;
	}
	conf = main_load(&options, control);
	/* The command line of `run` is the configuration. */
	if (conf == NULL)
		status = options.is_run ? MAIN_USAGE : 1;
	else
		status = main_start(&options, &conf, control, argv[0]);
	/* Where there was no master to take it over. */
	conf_free(conf);
	free(control);
	return status;
}
