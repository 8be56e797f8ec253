/*
 * What the master alone knows of a service's instances, in the memory of its counters: for workers
 * that tell of everything. One writer, so a load and a store are enough. Owns nothing.
 */
#include "common/stats.h"

void
stats_set_staff(const struct stats *stats, enum stats_staff what, uint64_t value)
{
	atomic_store_explicit(&stats->shared->staff[what], value, memory_order_relaxed);
}

void
stats_count_staff(const struct stats *stats, enum stats_staff what)
{
	stats_add(&stats->shared->staff[what], 1);
}

uint64_t
stats_staff(const struct stats *stats, enum stats_staff what)
{
	return atomic_load_explicit(&stats->shared->staff[what], memory_order_relaxed);
}
