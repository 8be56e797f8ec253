/* What every connection of the load generator begins with. */
#ifndef CTL_LOAD_SOCKET_H
#define CTL_LOAD_SOCKET_H

#include "common/addr.h"

#include <stdbool.h>

/* A socket for that address, not connected: non-blocking, TCP without delay. Or -1 with errno. */
int load_socket(const struct addr *peer);
/*
 * A socket that connects to a free local port may be given that very port and so meet itself: an
 * echo without a server.
 */
bool load_socket_met_itself(int fd, const struct addr *peer);

#endif
