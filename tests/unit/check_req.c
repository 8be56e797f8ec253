/* What a request keeps of its message: all of it, and not a byte beyond its own memory. */
#include "tests/unit/run_help.h"
#include "workers/req.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LONGEST (3 * REQ_SMALL)

/* A request whose last byte, which is the last of `small`, has nothing behind it. */
static struct req *
at_the_edge(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = page;
	char *map;

	while (room < sizeof(struct req))
		room += page;
	map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	ck_assert_int_eq(mprotect(map + room, page, PROT_NONE), 0);
	return (struct req *)(void *)(map + room - sizeof(struct req));
}

START_TEST(every_length_is_kept)
{
	struct req *req = at_the_edge();
	char message[LONGEST], copy[LONGEST], *kept;

	for (size_t i = 0; i < LONGEST; i++)
		copy[i] = (char)(i * 31 + 1);
	for (size_t length = 0; length <= LONGEST; length++) {
		memset(req, 0x5a, sizeof(*req)); /* one that was used before */
		memcpy(message, copy, LONGEST);
		req->kept = NULL;
		req->data = message;
		req->length = length;
		req_keep(req);
		memset(message, 0, LONGEST);
		kept = req->kept;
		ck_assert_ptr_eq(req->data, kept);
		ck_assert_msg(memcmp(kept, copy, length) == 0, "%zu bytes differ", length);
		req_keep(req);
		ck_assert_ptr_eq(req->kept, kept);
		/* Short ones cost no memory of their own. */
		ck_assert_msg((kept == req->small) == (length < REQ_SMALL), "%zu bytes", length);
		if (kept != req->small)
			free(kept);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("req");
	TCase *tcase = tcase_create("req");

	tcase_add_test(tcase, every_length_is_kept);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
