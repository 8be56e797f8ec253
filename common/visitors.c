/*
 * Addresses of clients in shared memory. Owns nothing: the memory is that of stats.c. Never locks;
 * two workers that count at the same moment may both see one too many, never one too few.
 */
#include "common/visitors.h"

#include "common/clock.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define VISITORS_PAGE 4096
#define VISITORS_WAYS 16 /* cells in which an address may be */

/* `asked`: the second, the requests of the one before, those of this one. */
#define VISITORS_COUNT_BITS 20
#define VISITORS_COUNT_MAX  ((UINT64_C(1) << VISITORS_COUNT_BITS) - 1)
#define VISITORS_SECOND_MAX ((UINT64_C(1) << (64 - 2 * VISITORS_COUNT_BITS)) - 1)

_Static_assert(VISITORS_RATE_MAX < VISITORS_COUNT_MAX, "more than the rate can be counted");
_Static_assert(VISITORS_CELLS < VISITORS_NONE, "each cell has a number");

#define VISITORS_TURNED_AWAY (UINT64_C(1) << 32)
#define VISITORS_OPEN        (VISITORS_TURNED_AWAY - 1)

/* Prefixes that no client has: 0:1::/32 stands for IPv4, 0:2:: for the prefix that is 0. */
#define VISITORS_IPV4 (UINT64_C(1) << 32)
#define VISITORS_ZERO (UINT64_C(2) << 32)

/* ---- where it is ---- */

static size_t
visitors_pages(size_t size)
{
	return (size + VISITORS_PAGE - 1) / VISITORS_PAGE * VISITORS_PAGE;
}

/* The first word is the secret, then one for each worker. */
static size_t
visitors_head(unsigned workers)
{
	return visitors_pages((1 + (size_t)workers) * sizeof(uint64_t));
}

static size_t
visitors_table(void)
{
	return visitors_pages(VISITORS_CELLS * sizeof(struct visitor));
}

size_t
visitors_size(unsigned workers)
{
	return visitors_head(workers) + workers * visitors_table();
}

struct visitors
visitors_at(void *memory, unsigned workers)
{
	return (struct visitors){
	    .memory = memory,
	    .used = (_Atomic uint64_t *)memory + 1,
	    .cells = (struct visitor *)(void *)((char *)memory + visitors_head(workers)),
	    .workers = workers,
	};
}

void
visitors_begin(const struct visitors *visitors)
{
	uint64_t secret;

	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		secret = clock_now();
	memcpy(visitors->memory, &secret, sizeof(secret));
}

static struct visitor *
visitors_cells(const struct visitors *visitors, unsigned worker)
{
	return (struct visitor *)(void *)((char *)visitors->cells + worker * visitors_table());
}

/* ---- addresses ---- */

static uint64_t
visitors_read_bytes(const unsigned char *bytes, unsigned count)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < count; i++)
		number = number << 8 | bytes[i];
	return number;
}

uint64_t
visitors_key(const struct sockaddr *address)
{
	const struct sockaddr_in *ipv4 = (const void *)address;
	const struct sockaddr_in6 *ipv6 = (const void *)address;
	uint64_t prefix;

	if (address->sa_family == AF_INET)
		return VISITORS_IPV4 | ntohl(ipv4->sin_addr.s_addr);
	if (address->sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr))
		return VISITORS_IPV4 | visitors_read_bytes(ipv6->sin6_addr.s6_addr + 12, 4);
	prefix = visitors_read_bytes(ipv6->sin6_addr.s6_addr, 8);
	return prefix != 0 ? prefix : VISITORS_ZERO;
}

/* The cells in which an address may be: `first`, and from there in steps. */
struct visitors_places {
	unsigned at, step;
};

/* A client chooses its address, but cannot know with whose it shares cells. */
static struct visitors_places
visitors_begin_at(const struct visitors *visitors, uint64_t key)
{
	uint64_t sum;

	memcpy(&sum, visitors->memory, sizeof(sum));
	sum ^= key;
	for (int i = 0; i < 2; i++) {
		sum = (sum ^ sum >> 32) * UINT64_C(0xd6e8feb86659fd93);
		sum = (sum ^ sum >> 29) * UINT64_C(0x9e3779b97f4a7c15);
	}
	return (struct visitors_places){
	    .at = (unsigned)(sum >> 32) % VISITORS_CELLS,
	    .step = (unsigned)(sum >> 8 & UINT16_MAX) | 1, /* odd: it meets no cell twice */
	};
}

static struct visitor *
visitors_next(struct visitor *cells, struct visitors_places *places)
{
	struct visitor *cell = &cells[places->at];

	places->at = (places->at + places->step) % VISITORS_CELLS;
	return cell;
}

/* ---- cells ---- */

static uint64_t
visitors_load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void
visitors_store(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

static uint64_t
visitors_second(uint64_t now)
{
	return now / CLOCK_SECOND & VISITORS_SECOND_MAX;
}

/* How many asked in this second and in the one before; *second is when it was last written. */
static void
visitors_split(uint64_t asked, uint64_t second, uint64_t *before, uint64_t *count)
{
	uint64_t written = asked >> 2 * VISITORS_COUNT_BITS;
	uint64_t age = (second - written) & VISITORS_SECOND_MAX;
	uint64_t newest = asked & VISITORS_COUNT_MAX;

	*before = age == 0   ? asked >> VISITORS_COUNT_BITS & VISITORS_COUNT_MAX
		  : age == 1 ? newest
			     : 0;
	*count = age == 0 ? newest : 0;
}

static bool
visitors_is_free(const struct visitor *cell, uint64_t now)
{
	uint64_t before, count;

	visitors_split(visitors_load(&cell->asked), visitors_second(now), &before, &count);
	return visitors_load(&cell->open) == 0 && before + count == 0;
}

/*
 * The cell of an address, or NULL. The first that is free is taken, and none is ever empty again:
 * at an empty one the search may end.
 */
static struct visitor *
visitors_find(const struct visitors *visitors, unsigned worker, uint64_t key)
{
	struct visitor *cells = visitors_cells(visitors, worker);
	struct visitors_places places = visitors_begin_at(visitors, key);

	for (unsigned i = 0; i < VISITORS_WAYS; i++) {
		struct visitor *cell = visitors_next(cells, &places);
		uint64_t found = atomic_load_explicit(&cell->key, memory_order_acquire);

		if (found == key)
			return cell;
		if (found == 0)
			return NULL;
	}
	return NULL;
}

static struct visitor *
visitors_claim(const struct visitors *visitors, unsigned worker, uint64_t key, uint64_t now)
{
	struct visitor *cells = visitors_cells(visitors, worker);
	struct visitors_places places = visitors_begin_at(visitors, key);

	for (unsigned i = 0; i < VISITORS_WAYS; i++) {
		struct visitor *cell = visitors_next(cells, &places);

		if (!visitors_is_free(cell, now))
			continue;
		visitors_store(&cell->asked, 0);
		atomic_store_explicit(&cell->key, key, memory_order_release);
		atomic_store(&visitors->used[worker], 1);
		return cell;
	}
	return NULL;
}

uint16_t
visitors_enter(const struct visitors *visitors, unsigned worker, uint64_t key, uint64_t now)
{
	struct visitor *cell;

	if (key == 0)
		return VISITORS_NONE;
	cell = visitors_find(visitors, worker, key);
	if (cell == NULL)
		cell = visitors_claim(visitors, worker, key, now);
	if (cell == NULL)
		return VISITORS_NONE;
	/* Seen by all before others are counted: of two at once one sees the other, at least. */
	atomic_store(&cell->open, visitors_load(&cell->open) + 1);
	return (uint16_t)(cell - visitors_cells(visitors, worker));
}

void
visitors_turn_away(const struct visitors *visitors, unsigned worker, uint16_t cell)
{
	_Atomic uint64_t *open = &visitors_cells(visitors, worker)[cell].open;

	visitors_store(open, visitors_load(open) - 1 + VISITORS_TURNED_AWAY);
}

void
visitors_leave(const struct visitors *visitors, unsigned worker, uint16_t cell, bool turned_away)
{
	_Atomic uint64_t *open = &visitors_cells(visitors, worker)[cell].open;

	visitors_store(open, visitors_load(open) - (turned_away ? VISITORS_TURNED_AWAY : 1));
}

/* ---- sums ---- */

static uint64_t
visitors_sum(const struct visitors *visitors, uint64_t key)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < visitors->workers; i++) {
		const struct visitor *cell =
		    atomic_load(&visitors->used[i]) ? visitors_find(visitors, i, key) : NULL;

		/* Both halves at once: neither comes near its end. */
		sum += cell != NULL ? atomic_load(&cell->open) : 0;
	}
	return sum;
}

uint64_t
visitors_open(const struct visitors *visitors, uint64_t key)
{
	return visitors_sum(visitors, key) & VISITORS_OPEN;
}

uint64_t
visitors_turned_away(const struct visitors *visitors, uint64_t key)
{
	return visitors_sum(visitors, key) / VISITORS_TURNED_AWAY;
}

/* What lies in the second that ends now, in nanoseconds of requests, so that nothing is lost. */
static uint64_t
visitors_asked(const struct visitors *visitors, uint64_t key, uint64_t now)
{
	uint64_t left = CLOCK_SECOND - now % CLOCK_SECOND, sum = 0;

	for (unsigned i = 0; i < visitors->workers; i++) {
		const struct visitor *cell =
		    atomic_load(&visitors->used[i]) ? visitors_find(visitors, i, key) : NULL;
		uint64_t before, count;

		if (cell == NULL)
			continue;
		visitors_split(visitors_load(&cell->asked), visitors_second(now), &before, &count);
		sum += count * CLOCK_SECOND + before * left;
	}
	return sum;
}

bool
visitors_ask(
    const struct visitors *visitors, unsigned worker, uint16_t number, uint64_t rate, uint64_t now)
{
	struct visitor *cell = &visitors_cells(visitors, worker)[number];
	uint64_t second = visitors_second(now), before, count;

	if (visitors_asked(visitors, visitors_load(&cell->key), now) + CLOCK_SECOND >
	    rate * CLOCK_SECOND)
		return false;
	visitors_split(visitors_load(&cell->asked), second, &before, &count);
	visitors_store(&cell->asked,
	    second << 2 * VISITORS_COUNT_BITS | before << VISITORS_COUNT_BITS | (count + 1));
	return true;
}

void
visitors_bury(const struct visitors *visitors, unsigned worker)
{
	struct visitor *cells = visitors_cells(visitors, worker);

	if (visitors_load(&visitors->used[worker]) == 0)
		return;
	visitors_store(&visitors->used[worker], 0);
	/* Its pages are given back, which makes them zeros. */
	if (madvise(cells, visitors_table(), MADV_REMOVE) != 0)
		memset(cells, 0, visitors_table());
}
