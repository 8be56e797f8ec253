/* Time that never jumps: CLOCK_MONOTONIC in nanoseconds. Deadlines are absolute values of it. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_MS     UINT64_C(1000000)
#define CLOCK_SECOND UINT64_C(1000000000)

static inline uint64_t
clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
}

#endif
