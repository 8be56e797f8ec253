/*
 * Where the control socket is: one rule for the daemon that makes it and the client that looks for
 * it.
 *
 * root with a configuration file:  /run/hostler/control.sock
 * `run`, and everybody else:       $XDG_RUNTIME_DIR/hostler/PID.sock where that folder is the
 *                                  caller's own, else hostler-UID/PID.sock in $TMPDIR or /tmp.
 *
 * The folders of the second row are private: the caller's, no symlink, closed to everybody else.
 * Anything else found there is refused, because somebody may have put it there to be talked to.
 */
#ifndef COMMON_CONTROL_PATH_H
#define COMMON_CONTROL_PATH_H

#include <stdbool.h>

#define CONTROL_SYSTEM_FOLDER "/run/hostler"
#define CONTROL_SYSTEM_PATH   CONTROL_SYSTEM_FOLDER "/control.sock"
#define CONTROL_FOLDERS_MAX   2 /* private folders of one user */

/* The path of a new daemon's control socket. Touches nothing; the caller frees it. */
char *control_name_path(bool is_run);

/*
 * Makes the folder of such a path where it is missing, and checks it. Returns false and a sentence
 * in *why, to be freed, when there is no safe place.
 */
bool control_make_folder(const char *path, char **why);

/*
 * The caller's private folders as far as they exist and are safe, for a client that looks for a
 * running daemon. Returns how many; the caller frees each.
 */
unsigned control_private_folders(char *folders[CONTROL_FOLDERS_MAX]);

#endif
