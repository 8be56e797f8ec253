/*
 * Which daemon is meant: --socket, else $HOSTLER_CONTROL, else the system's daemon where it
 * answers, else the only running daemon of the caller.
 */
#ifndef CTL_FIND_H
#define CTL_FIND_H

enum find_result {
	FIND_OK,
	FIND_NONE,   /* nobody answers */
	FIND_SEVERAL /* more than one of the caller's own does */
};

/*
 * `option` is what --socket said, or NULL; it and $HOSTLER_CONTROL are taken as they are, without a
 * look. On FIND_OK the caller owns *path, otherwise *why: text with a line for each daemon.
 */
enum find_result find_socket(const char *option, char **path, char **why);

/*
 * The search alone: the socket `system`, then every *.sock in the `folders`. A socket that nobody
 * answers on is stale and skipped.
 */
enum find_result find_running(
    const char *system, char *const *folders, unsigned folder_count, char **path, char **why);

#endif
