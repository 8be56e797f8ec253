/*
 * The limit of descriptors (load_limit.h). Owns nothing; changes this process's limit and no other.
 */
#include "ctl/load_limit.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

#define LOAD_LIMIT_DESCRIPTORS 32 /* besides connections */

int
load_limit_raise(unsigned connections)
{
	struct rlimit limit;
	rlim_t needed = (rlim_t)connections + LOAD_LIMIT_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return 0; /* then connecting will tell */
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= needed)
		return 0;
	fprintf(stderr,
	    "hostler-load run: %u connections need %ju descriptors, but the limit is %ju "
	    "(see ulimit -Hn)\n",
	    connections, (uintmax_t)needed, (uintmax_t)limit.rlim_max);
	return -1;
}
