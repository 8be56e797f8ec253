/*
 * Sockets of load_socket.h. Owns nothing: the descriptor is the caller's.
 */
#include "ctl/load_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int
load_socket(const struct addr *peer)
{
	int one = 1;
	int fd = socket(peer->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd != -1 && !addr_is_unix(peer))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

bool
load_socket_met_itself(int fd, const struct addr *peer)
{
	struct addr local = {.length = sizeof(local.storage)};

	if (addr_is_unix(peer) ||
	    getsockname(fd, (struct sockaddr *)&local.storage, &local.length) == -1)
		return false;
	return addr_port(&local) == addr_port(peer) && addr_equal(&local, peer);
}
