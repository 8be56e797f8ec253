/*
 * The default place of the control socket. Makes at most one folder, and checks that nobody but its
 * owner can have put anything into it. Never opens, makes or removes a socket.
 */
#include "common/control_path.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_OTHERS_ANY   (S_IRWXG | S_IRWXO)
#define CONTROL_OTHERS_WRITE (S_IWGRP | S_IWOTH)

/* A directory of the caller, no symlink, with none of the `forbidden` mode bits. */
static bool
control_is_ours(const char *folder, mode_t forbidden)
{
	struct stat st;

	if (lstat(folder, &st) == -1)
		return false;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & forbidden) == 0;
}

/* $XDG_RUNTIME_DIR where it can be used. After `su` or `sudo` it is often somebody else's. */
static const char *
control_runtime_folder(void)
{
	const char *folder = getenv("XDG_RUNTIME_DIR");

	if (folder == NULL || folder[0] != '/' || !control_is_ours(folder, CONTROL_OTHERS_WRITE))
		return NULL;
	return folder;
}

static char *
control_temporary_folder(void)
{
	const char *folder = getenv("TMPDIR");

	if (folder == NULL || folder[0] != '/')
		folder = "/tmp";
	return mem_printf("%s/hostler-%lu", folder, (unsigned long)geteuid());
}

char *
control_name_path(bool is_run)
{
	const char *runtime;
	char *folder, *path;

	if (!is_run && geteuid() == 0)
		return mem_strdup(CONTROL_SYSTEM_PATH);
	runtime = control_runtime_folder();
	if (runtime != NULL)
		return mem_printf("%s/hostler/%ld.sock", runtime, (long)getpid());
	folder = control_temporary_folder();
	path = mem_printf("%s/%ld.sock", folder, (long)getpid());
	free(folder);
	return path;
}

/* Why the folder is refused, as far as one look can tell. */
static char *
control_complaint(const char *folder, mode_t forbidden)
{
	struct stat st;

	if (lstat(folder, &st) == -1)
		return mem_printf("%s: %s", folder, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return mem_printf("%s is not a folder", folder);
	if (st.st_uid != geteuid())
		return mem_printf(
		    "%s belongs to another user (uid %lu)", folder, (unsigned long)st.st_uid);
	return mem_printf("%s has mode %03o; others must not %s (chmod %s)", folder,
	    (unsigned)(st.st_mode & 0777),
	    forbidden == CONTROL_OTHERS_ANY ? "get in" : "write to it",
	    forbidden == CONTROL_OTHERS_ANY ? "700" : "755");
}

/* A private folder is for its user alone; the system's may be passed through by a group. */
static bool
control_make(const char *folder, bool is_private, char **why)
{
	mode_t forbidden = is_private ? CONTROL_OTHERS_ANY : CONTROL_OTHERS_WRITE;
	mode_t mode = is_private ? 0700 : 0755;

	if (mkdir(folder, mode) == -1 && errno != EEXIST) {
		*why = mem_printf("cannot make the folder %s: %s", folder, strerror(errno));
		return false;
	}
	if (!control_is_ours(folder, forbidden)) {
		*why = control_complaint(folder, forbidden);
		return false;
	}
	return true;
}

bool
control_make_folder(const char *path, char **why)
{
	const char *slash = strrchr(path, '/');
	bool is_private = strcmp(path, CONTROL_SYSTEM_PATH) != 0;
	char *folder;
	bool is_made;

	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		*why = mem_printf("%s is too long for the path of a socket", path);
		return false;
	}
	if (slash == NULL || slash == path) {
		*why = mem_printf("%s is in no folder of its own", path);
		return false;
	}
	folder = mem_strndup(path, (size_t)(slash - path));
	is_made = control_make(folder, is_private, why);
	free(folder);
	return is_made;
}

unsigned
control_private_folders(char *folders[CONTROL_FOLDERS_MAX])
{
	const char *runtime = control_runtime_folder();
	char *places[CONTROL_FOLDERS_MAX] = {NULL, NULL};
	unsigned count = 0;

	if (runtime != NULL)
		places[0] = mem_printf("%s/hostler", runtime);
	places[1] = control_temporary_folder();
	for (unsigned i = 0; i < CONTROL_FOLDERS_MAX; i++) {
		if (places[i] != NULL && control_is_ours(places[i], CONTROL_OTHERS_ANY))
			folders[count++] = places[i];
		else
			free(places[i]);
	}
	return count;
}
