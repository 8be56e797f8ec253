/*
 * For the tests of the account of replies: one account, requests that were made and sent in it, and
 * replies to them. Everything is static: each test is one program.
 */
#ifndef TESTS_UNIT_LOAD_HELP_H
#define TESTS_UNIT_LOAD_HELP_H

#include "common/clock.h"
#include "ctl/load_check.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CONNECTIONS 3
#define DEPTH       8
#define SIZE        64
#define TIMEOUT     (100 * CLOCK_MS)
#define START       (5 * CLOCK_SECOND)

static struct load_check check;
static char texts[CONNECTIONS][100][SIZE]; /* what was sent, by connection and sequence */
static uint64_t made[CONNECTIONS], begun[CONNECTIONS];

static inline void
enter(void)
{
	load_check_open(&check, CONNECTIONS, DEPTH, SIZE, false, TIMEOUT, 7);
	memset(made, 0, sizeof(made));
	memset(begun, 0, sizeof(begun));
}

/* Every request has come to one end or still waits. */
static inline void
assert_balanced(void)
{
	const struct load_counts *c = &check.counts;
	uint64_t errors = 0;

	for (unsigned i = 0; i < LOAD_ERROR_COUNT; i++)
		errors += c->errors[i];
	ck_assert_uint_eq(errors, c->error);
	ck_assert_uint_eq(check.latency.count, c->right);
	ck_assert_uint_eq(c->right + c->error + c->overdue + c->broken + c->unsent + check.waiting +
			      check.spoiled,
	    c->requests);
	ck_assert_uint_eq(load_check_outcomes(&check), c->requests);
	ck_assert_uint_eq(load_check_stray(&check), c->wrong - check.spoiled);
	ck_assert_uint_le(c->broken_new, c->broken);
}

static inline void
leave(void)
{
	assert_balanced();
	load_check_close(&check);
}

static inline void
make_at(unsigned connection, unsigned count, uint64_t now)
{
	for (unsigned i = 0; i < count; i++) {
		ck_assert(load_check_may_make(&check, connection));
		load_check_make(&check, connection, now, texts[connection][made[connection]++]);
	}
}

static inline void
ask(unsigned connection, unsigned count)
{
	make_at(connection, count, START);
	begun[connection] += count;
	load_check_sent(&check, connection, begun[connection]);
}

static inline enum load_found
answer_at(unsigned connection, const char *text, uint64_t now)
{
	return load_check_reply(&check, connection, text, SIZE, now);
}

static inline enum load_found
answer(unsigned connection, const char *text)
{
	return answer_at(connection, text, START + CLOCK_MS);
}

static inline enum load_found
answer_text(unsigned connection, const char *text)
{
	return load_check_reply(&check, connection, text, strlen(text), START + CLOCK_MS);
}

#endif
