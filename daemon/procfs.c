/*
 * Reads proc(5). Keeps nothing open and no memory; every read is one small file, but for PSS, which
 * the kernel counts page by page, and the list of descriptors.
 */
#include "daemon/procfs.h"

#include "common/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCFS_TEXT_MAX 2048
#define PROCFS_HUGE     (INT64_C(4) << 30) /* bytes resident; its pages are not counted one by one */
#define PROCFS_LOOK     256                /* descriptors listed between two looks at the clock */

/* The beginning of a file of the process, as text. Returns its length, 0 when there is none. */
static size_t
procfs_text(pid_t pid, const char *name, char text[PROCFS_TEXT_MAX])
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, PROCFS_TEXT_MAX - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

int64_t
procfs_rss(pid_t pid)
{
	char text[PROCFS_TEXT_MAX];
	long long pages;

	if (procfs_text(pid, "statm", text) == 0 || sscanf(text, "%*s %lld", &pages) != 1)
		return PROCFS_UNKNOWN;
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int64_t
procfs_pss(pid_t pid)
{
	char text[PROCFS_TEXT_MAX];
	const char *line;
	long long kib;

	if (procfs_text(pid, "smaps_rollup", text) == 0)
		return PROCFS_UNKNOWN;
	line = strstr(text, "\nPss:");
	return line != NULL && sscanf(line, "\nPss: %lld", &kib) == 1 ? (int64_t)kib * 1024
								      : PROCFS_UNKNOWN;
}

static int64_t
procfs_cpu(pid_t pid)
{
	char text[PROCFS_TEXT_MAX];
	unsigned long long user, system;
	const char *rest;
	long ticks = sysconf(_SC_CLK_TCK);

	/* The name in parentheses may hold anything, parentheses too. */
	if (procfs_text(pid, "stat", text) == 0 || (rest = strrchr(text, ')')) == NULL ||
	    sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &user,
		&system) != 2)
		return PROCFS_UNKNOWN;
	return (int64_t)((user + system) * 1000 / (unsigned long long)(ticks > 0 ? ticks : 100));
}

static int64_t
procfs_descriptors(pid_t pid, uint64_t until)
{
	const struct dirent *entry;
	int64_t count = 0;
	char path[64];
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	folder = opendir(path);
	if (folder == NULL)
		return PROCFS_UNKNOWN;
	while (count != PROCFS_UNKNOWN && (entry = readdir(folder)) != NULL) {
		count += isdigit((unsigned char)entry->d_name[0]) != 0;
		if (count % PROCFS_LOOK == PROCFS_LOOK - 1 && clock_now() >= until)
			count = PROCFS_UNKNOWN;
	}
	closedir(folder);
	return count;
}

void
procfs_read(pid_t pid, uint64_t until, struct procfs_figures *figures)
{
	figures->rss = procfs_rss(pid);
	figures->cpu = procfs_cpu(pid);
	figures->pss = figures->descriptors = PROCFS_UNKNOWN;
	if (clock_now() < until)
		figures->descriptors = procfs_descriptors(pid, until);
	if (clock_now() < until && figures->rss < PROCFS_HUGE)
		figures->pss = procfs_pss(pid);
}
