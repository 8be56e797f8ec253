/*
 * Finds the process behind a listening port: the socket's inode from /proc/net/tcp and tcp6, then
 * the process that has a descriptor on it. Used at start-up only, for one better error message.
 */
#include "daemon/owner.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWNER_LISTEN   0x0a /* TCP_LISTEN as /proc/net/tcp writes it */
#define OWNER_INODES   16   /* listening sockets on one port that are looked for */
#define OWNER_NAME_MAX 64   /* bytes of a process's name with its NUL */
#define OWNER_PARENTS  8    /* how far up the master of a worker is looked for */

struct owner_inodes {
	unsigned long inodes[OWNER_INODES];
	unsigned count;
};

/* The sockets that listen on the port, whatever their address: one of them is in our way. */
static void
owner_read_table(struct owner_inodes *found, const char *table, unsigned port)
{
	FILE *file = fopen(table, "re");
	char line[512];

	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL && found->count < OWNER_INODES) {
		unsigned local, state;
		unsigned long inode;

		if (sscanf(line,
			" %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu",
			&local, &state, &inode) == 3 &&
		    local == port && state == OWNER_LISTEN && inode != 0)
			found->inodes[found->count++] = inode;
	}
	fclose(file);
}

/* Whether the descriptor's link reads "socket:[INODE]" of one of them. */
static bool
owner_is_one(const struct owner_inodes *found, const char *link)
{
	unsigned long inode;

	if (sscanf(link, "socket:[%lu]", &inode) != 1)
		return false;
	for (unsigned i = 0; i < found->count; i++)
		if (found->inodes[i] == inode)
			return true;
	return false;
}

static bool
owner_holds(const struct owner_inodes *found, long pid)
{
	char path[64], link[128];
	struct dirent *entry;
	bool holds = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
	fds = opendir(path);
	if (fds == NULL)
		return false;
	while (!holds && (entry = readdir(fds)) != NULL) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

		if (n <= 0)
			continue;
		link[n] = '\0';
		holds = owner_is_one(found, link);
	}
	closedir(fds);
	return holds;
}

/* The process's name, and its parent; false where there is no such process. */
static bool
owner_look(long pid, char name[OWNER_NAME_MAX], long *parent)
{
	char path[64], stat[512];
	const char *from, *to;
	FILE *file;
	bool is_read;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	is_read = fgets(stat, sizeof(stat), file) != NULL;
	fclose(file);
	/* proc_pid_stat(5): the name stands in parentheses, and may hold some itself. */
	from = is_read ? strchr(stat, '(') : NULL;
	to = is_read ? strrchr(stat, ')') : NULL;
	if (from == NULL || to == NULL || sscanf(to, ") %*c %ld", parent) != 1)
		return false;
	snprintf(name, OWNER_NAME_MAX, "%.*s", (int)(to - from - 1), from + 1);
	return true;
}

/* Who is to be stopped: of a master and its workers, which share the socket, the master. */
static void
owner_name(long pid, char *text, size_t size)
{
	char name[OWNER_NAME_MAX] = "a program", above[OWNER_NAME_MAX];
	long parent = 0, next;

	if (!owner_look(pid, name, &parent))
		parent = 0;
	for (unsigned i = 0; i < OWNER_PARENTS && parent > 1; i++) {
		if (!owner_look(parent, above, &next) || strcmp(above, name) != 0)
			break;
		pid = parent;
		parent = next;
	}
	snprintf(text, size, "%s (pid %ld)", name, pid);
}

bool
owner_find(const struct addr *addr, char *text, size_t size)
{
	struct owner_inodes found = {0};
	struct dirent *entry;
	bool is_found = false;
	DIR *processes;

	owner_read_table(&found, "/proc/net/tcp", addr_port(addr));
	owner_read_table(&found, "/proc/net/tcp6", addr_port(addr));
	processes = found.count > 0 ? opendir("/proc") : NULL;
	if (processes == NULL)
		return false;
	while (!is_found && (entry = readdir(processes)) != NULL) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (pid <= 0 || *end != '\0' || !owner_holds(&found, pid))
			continue;
		owner_name(pid, text, size);
		is_found = true;
	}
	closedir(processes);
	return is_found;
}
