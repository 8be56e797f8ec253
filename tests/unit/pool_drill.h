/* Kills a worker inside each operation of the pool, at each place, and looks at what is left. */
#ifndef TESTS_POOL_DRILL_H
#define TESTS_POOL_DRILL_H

struct world;

/* Who is who in the small pool of a drill. */
enum { VICTIM, SALLY, TOM, GHOST, FIXER, WORKERS };

/* One row for each operation: the pool before it, and what the victim does. */
struct drill {
	const char *name;
	void (*prepare)(struct world *world);
	void (*act)(struct world *world);
};

extern const struct drill drill_table[]; /* pool_drill_table.c */
extern const unsigned drill_table_size;

/* How many operations there are; each has a name for messages. */
unsigned drill_count(void);
const char *drill_name(unsigned drill);

/* How many injected points the operation passes. */
unsigned drill_points(unsigned drill);

/*
 * A worker is killed at injected point `point` (one past the last: right after the operation). With
 * `repair` > 0, the one who repairs is killed too, at its point of that number. `way` chooses what
 * the survivors do first. Returns what is wrong, or NULL.
 */
const char *drill_kill(unsigned drill, unsigned point, unsigned repair, unsigned way);
#define DRILL_WAYS 10

/* How many points the repair after the last drill_kill() passed at most. */
unsigned drill_repair_points(unsigned drill, unsigned point);

/*
 * The same with a kill after `step` machine instructions, by ptrace(2). drill_steps() tells how
 * many the operation takes; 0 where tracing is not allowed.
 */
unsigned long drill_steps(unsigned drill);
const char *drill_kill_step(unsigned drill, unsigned long step, unsigned way);

#endif
