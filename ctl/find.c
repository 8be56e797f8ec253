/*
 * Looks for the control socket of a running daemon. Owns the list of those that answer, for the
 * time of the search. Only connects: it asks nothing, and removes no socket, however stale.
 */
#include "ctl/find.h"

#include "common/control_path.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIND_ENTRIES_MAX 4096 /* of one folder; what is beyond is not looked at */

struct find {
	char **alive; /* owns; paths that answer */
	unsigned count;
	char *refusal; /* owns; why the last one that is there cannot be reached, or NULL */
};

/* errno of connecting; 0 when somebody is there. A full backlog is somebody, too. */
static int
find_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == -1)
		error = errno;
	close(fd);
	return error == EAGAIN ? 0 : error;
}

/* Nothing there and nobody listening are ordinary; any other reason is worth telling. */
static bool
find_try(struct find *find, const char *path)
{
	int error = find_connect(path);

	if (error == 0) {
		find->alive = mem_resize(find->alive, find->count + 1, sizeof(*find->alive));
		find->alive[find->count++] = mem_strdup(path);
		return true;
	}
	if (error != ENOENT && error != ENOTDIR && error != ECONNREFUSED) {
		free(find->refusal);
		find->refusal = mem_printf("%s: %s", path, strerror(error));
	}
	return false;
}

static bool
find_is_socket_name(const char *name)
{
	size_t length = strlen(name);

	return length > 5 && strcmp(name + length - 5, ".sock") == 0;
}

static void
find_try_folder(struct find *find, const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	char *path;

	if (dir == NULL)
		return;
	for (unsigned i = 0; i < FIND_ENTRIES_MAX && (entry = readdir(dir)) != NULL; i++) {
		if (!find_is_socket_name(entry->d_name))
			continue;
		path = mem_printf("%s/%s", folder, entry->d_name);
		find_try(find, path);
		free(path);
	}
	closedir(dir);
}

static int
find_on_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *
find_list(struct find *find)
{
	char *text = mem_printf("%u daemons are running; choose one with --socket:", find->count);
	char *longer;

	qsort(find->alive, find->count, sizeof(*find->alive), find_on_compare);
	for (unsigned i = 0; i < find->count; i++) {
		longer = mem_printf("%s\n  %s", text, find->alive[i]);
		free(text);
		text = longer;
	}
	return text;
}

static enum find_result
find_decide(struct find *find, char **path, char **why)
{
	if (find->count == 1) {
		*path = mem_strdup(find->alive[0]);
		return FIND_OK;
	}
	if (find->count > 1) {
		*why = find_list(find);
		return FIND_SEVERAL;
	}
	*why = find->refusal != NULL
		   ? mem_printf("no running hostlerd can be reached (%s)", find->refusal)
		   : mem_strdup("no running hostlerd was found; if its configuration sets "
				"'control', or it is another user's, name its socket: "
				"--socket PATH");
	return FIND_NONE;
}

enum find_result
find_running(
    const char *system, char *const *folders, unsigned folder_count, char **path, char **why)
{
	struct find find = {NULL, 0, NULL};
	enum find_result result;

	if (!find_try(&find, system)) {
		for (unsigned i = 0; i < folder_count; i++)
			find_try_folder(&find, folders[i]);
	}
	result = find_decide(&find, path, why);
	for (unsigned i = 0; i < find.count; i++)
		free(find.alive[i]);
	free(find.alive);
	free(find.refusal);
	return result;
}

enum find_result
find_socket(const char *option, char **path, char **why)
{
	const char *named = option != NULL ? option : getenv("HOSTLER_CONTROL");
	char *folders[CONTROL_FOLDERS_MAX];
	enum find_result result;
	unsigned count;

	if (named != NULL && named[0] != '\0') {
		*path = mem_strdup(named);
		return FIND_OK;
	}
	count = control_private_folders(folders);
	result = find_running(CONTROL_SYSTEM_PATH, folders, count, path, why);
	for (unsigned i = 0; i < count; i++)
		free(folders[i]);
	return result;
}
