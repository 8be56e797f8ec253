/* A file of whole records: short writes, killed writers, other people's bytes, failed syncs. */
#include "common/clock.h"
#include "ipc/ledger.h"
#include "tests/unit/run_help.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL 64 /* bytes that may be cut off at the first look */

static char folder[] = "/tmp/check_ledger.XXXXXX";
static char path[64];
static int page; /* the page of the file at `path` */

static void
set_up(void)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
	page = ledger_new_page();
	ck_assert_int_ge(page, 0);
}

static void
tear_down(void)
{
	close(page);
	unlink(path);
	rmdir(folder);
}

/* One more view of the file, as a process has it. */
static struct ledger *
view(void)
{
	struct ledger *ledger =
	    ledger_open(open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600),
		fcntl(page, F_DUPFD_CLOEXEC, 3), open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	ck_assert_ptr_nonnull(ledger);
	return ledger;
}

/* What somebody else puts into the file. */
static void
put(const char *bytes, size_t length, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

	ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
	close(fd);
}

static void
must_have(const char *bytes, size_t length)
{
	char have[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, have, sizeof(have));

	close(fd);
	ck_assert_int_eq(n, (ssize_t)length);
	ck_assert_mem_eq(have, bytes, length);
}

static struct ledger_result
append(struct ledger *ledger, enum ledger_framing framing, const char *bytes, const size_t *ends,
    size_t count)
{
	struct ledger_result result;

	ledger_append(ledger, framing, TAIL,
	    &(struct ledger_records){.bytes = bytes, .ends = ends, .count = count}, &result);
	return result;
}

/* A single line. */
static struct ledger_result
append_line(struct ledger *ledger, const char *line)
{
	size_t end = strlen(line);

	return append(ledger, LEDGER_LINE, line, &end, 1);
}

/* ---- what it finds ---- */

START_TEST(records_stand_one_behind_the_other)
{
	struct ledger *a = view(), *b = view();
	struct ledger_result result;

	result = append(a, LEDGER_LINE, "one\ntwo\n", (size_t[]){4, 8}, 2);
	ck_assert_uint_eq(result.count, 2);
	ck_assert_int_eq(result.error, 0);
	ck_assert_uint_eq(append_line(b, "three\n").count, 1);
	result = append_line(a, "four\n");
	ck_assert_uint_eq(result.size, 19);
	ck_assert_int_eq(result.foreign, 0);
	must_have("one\ntwo\nthree\nfour\n", 19);
	ledger_close(a);
	ledger_close(b);
}
END_TEST

START_TEST(torn_end_is_cut_at_the_first_look)
{
	static const struct {
		enum ledger_framing framing;
		const char *had;
		size_t length, whole;
	} cases[] = {
	    {LEDGER_LINE, "whole\nhalf", 10, 6},
	    {LEDGER_LINE, "whole\n", 6, 6},
	    {LEDGER_LINE, "\n\nx", 3, 2},
	    {LEDGER_FRAME, "\0\0\0\1a\0\0\0\2b", 10, 5},
	    {LEDGER_FRAME, "\0\0\0\1a\0\0", 7, 5},
	    {LEDGER_FRAME, "\0\0\0\0\0\0\0\1z", 9, 9},
	    {LEDGER_BYTES, "half", 4, 4},
	};
	char want[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ledger_result result;
		struct ledger *ledger;

		put(cases[i].had, cases[i].length, O_TRUNC);
		close(page);
		page = ledger_new_page();
		ledger = view();
		result = append(ledger, cases[i].framing, "new\n", (size_t[]){4}, 1);
		ck_assert_int_eq(result.error, 0);
		ck_assert_uint_eq(result.cut, cases[i].length - cases[i].whole);
		memcpy(want, cases[i].had, cases[i].whole);
		memcpy(want + cases[i].whole, "new\n", 4);
		must_have(want, cases[i].whole + 4);
		ledger_close(ledger);
	}
}
END_TEST

/* Somebody named the wrong file: it must not be cut to pieces. */
START_TEST(what_is_not_ours_is_left_alone)
{
	static const char text[] = "no line feed", frames[] = "\0\0\0\1a and then a text of more "
							      "than the sixty-four bytes that may "
							      "be cut off here";
	struct ledger *ledger;

	put(text, sizeof(text) - 1, O_TRUNC);
	ledger = view();
	ck_assert_int_eq(append_line(ledger, "x\n").error, EILSEQ);
	ck_assert(ledger_is_given_up(ledger));
	must_have(text, sizeof(text) - 1);
	ledger_close(ledger);

	put(frames, sizeof(frames), O_TRUNC);
	close(page);
	page = ledger_new_page();
	ledger = view();
	ck_assert_int_eq(append(ledger, LEDGER_FRAME, "x", (size_t[]){1}, 1).error, EILSEQ);
	must_have(frames, sizeof(frames));
	ledger_close(ledger);
}
END_TEST

START_TEST(others_may_write_and_cut)
{
	struct ledger *ledger = view();
	struct ledger_result result;

	append_line(ledger, "one\n");
	put("by hand", 7, O_APPEND);
	result = append_line(ledger, "two\n");
	ck_assert_int_eq(result.foreign, 7);
	must_have("one\nby hand\ntwo\n", 16);
	ck_assert_int_eq(append_line(ledger, "three\n").foreign, 0);
	ck_assert_int_eq(truncate(path, 0), 0);
	result = append_line(ledger, "four\n");
	ck_assert_int_eq(result.foreign, -22);
	must_have("four\n", 5);
	ledger_close(ledger);
}
END_TEST

/* The border of what is read at a time falls on every byte of a head. */
START_TEST(long_files_are_looked_at_in_pieces)
{
	size_t length = 300000;
	char *bytes = calloc(1, length + 8);

	for (unsigned first = 0; first < 6; first++) {
		struct ledger *ledger;
		size_t at = 0;
		struct stat st;

		/* One frame up to near the border, then small ones. */
		at = 256 * 1024 - 3 - first;
		bytes[0] = 0;
		bytes[1] = (char)((at - 4) >> 16);
		bytes[2] = (char)((at - 4) >> 8);
		bytes[3] = (char)(at - 4);
		for (; at + 5 <= length; at += 5)
			memcpy(bytes + at, "\0\0\0\1z", 5);
		put(bytes, at, O_TRUNC);
		put("\0\0\0\4x", 5, O_APPEND);
		close(page);
		page = ledger_new_page();
		ledger = view();
		ck_assert_uint_eq(
		    append(ledger, LEDGER_FRAME, "\0\0\0\0", (size_t[]){4}, 1).cut, 5);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_eq((size_t)st.st_size, at + 4);
		ledger_close(ledger);
	}
	free(bytes);
}
END_TEST

/* ---- what goes wrong ---- */

/* No check may stand where files are limited: Check itself writes to one. */
static void
limit_file(rlim_t size)
{
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){size, RLIM_INFINITY});
}

START_TEST(short_write_keeps_whole_records)
{
	struct ledger *ledger = view();
	struct ledger_result result;

	signal(SIGXFSZ, SIG_IGN);
	limit_file(10);
	result = append(ledger, LEDGER_LINE, "one\ntwo\nthree\n", (size_t[]){4, 8, 14}, 3);
	limit_file(RLIM_INFINITY);
	ck_assert_uint_eq(result.count, 2);
	ck_assert_int_eq(result.error, EFBIG);
	ck_assert_str_eq(result.what, "write");
	must_have("one\ntwo\n", 8);
	result = append_line(ledger, "four\n");
	ck_assert_uint_eq(result.cut, 0);
	must_have("one\ntwo\nfour\n", 13);
	ledger_close(ledger);
}
END_TEST

/* Killed by SIGXFSZ between two pieces of a record, with the lock in its hand. */
START_TEST(killed_writer_leaves_nothing_torn)
{
	struct ledger *ledger = view();
	struct ledger_result result;
	int status;
	pid_t pid;

	append_line(ledger, "one\n");
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		signal(SIGXFSZ, SIG_DFL);
		limit_file(7);
		append_line(ledger, "three\n");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGXFSZ);
	must_have("one\nthr", 7);
	result = append_line(ledger, "two\n");
	ck_assert_uint_eq(result.cut, 3);
	ck_assert_int_eq(result.foreign, 0);
	must_have("one\ntwo\n", 8);
	ledger_close(ledger);
}
END_TEST

/* fdatasync(2) of a pipe fails: as good as a disk that does. */
START_TEST(failed_sync_ends_it_for_all)
{
	struct ledger *good = view(), *bad;
	const char *what = NULL;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	bad =
	    ledger_open(ends[1], fcntl(page, F_DUPFD_CLOEXEC, 3), open("/", O_RDONLY | O_CLOEXEC));
	ck_assert_uint_eq(append_line(good, "one\n").count, 1);
	ck_assert_int_eq(ledger_sync(good, &what), 0);
	ck_assert_int_eq(ledger_sync(bad, &what), -1);
	ck_assert_str_eq(what, "fdatasync");
	ck_assert(ledger_is_given_up(good));
	ck_assert_int_eq(append_line(good, "two\n").error, EIO);
	/* Its own sync goes well, but who knows what the other one's was about. */
	ck_assert_int_eq(ledger_sync(good, &what), -1);
	must_have("one\n", 4);
	ledger_close(good);
	ledger_close(bad);
}
END_TEST

START_TEST(scribbled_lock_ends_it)
{
	struct ledger *ledger = view();
	char noise[128];

	memset(noise, 0x5a, sizeof(noise));
	ck_assert_int_eq(pwrite(page, noise, 40, 0), 40);
	ck_assert_int_eq(append_line(ledger, "one\n").error, EINVAL);
	ck_assert(ledger_is_given_up(ledger));
	ledger_close(ledger);
}
END_TEST

START_TEST(one_asks_at_a_time)
{
	struct ledger *a = view(), *b = view();
	uint64_t now = 5 * CLOCK_SECOND;

	ck_assert(ledger_may_ask(a, now));
	ck_assert(!ledger_may_ask(b, now + 99 * CLOCK_MS));
	ck_assert(ledger_may_ask(b, now + 100 * CLOCK_MS));
	ck_assert(!ledger_may_ask(a, now + 100 * CLOCK_MS));
	ledger_close(a);
	ledger_close(b);
}
END_TEST

/* ---- all at once ---- */

#define WRITERS 4
#define LENGTH  20000 /* of a record: several pages, so that a kill can come in the middle */

/* Appends numbered records of one letter until it is killed; says which are in the file. */
static void
write_until_killed(unsigned writer, unsigned first, int said)
{
	struct ledger *ledger = view();
	char *record = malloc(LENGTH + 16);

	for (unsigned number = first;; number++) {
		size_t end = LENGTH + 8;
		struct ledger_result result;

		memset(record, (int)('a' + writer), LENGTH);
		snprintf(record + LENGTH, 16, "%07u\n", number);
		ledger_append(ledger, LEDGER_LINE, LENGTH + 16,
		    &(struct ledger_records){.bytes = record, .ends = &end, .count = 1}, &result);
		if (result.count != 1 || pwrite(said, &number, sizeof(number), writer * 4) != 4)
			_exit(1);
	}
}

static void
check_all_records(const unsigned least[WRITERS])
{
	FILE *file = fopen(path, "re");
	unsigned last[WRITERS] = {0}, number;
	char *line = NULL;
	size_t size = 0;
	ssize_t length;

	while ((length = getline(&line, &size, file)) > 0) {
		unsigned writer = (unsigned)(line[0] - 'a');

		ck_assert_int_eq(length, LENGTH + 8);
		ck_assert_int_eq(line[length - 1], '\n');
		ck_assert_uint_lt(writer, WRITERS);
		ck_assert_uint_eq(strspn(line, (char[]){line[0], 0}), LENGTH);
		number = (unsigned)strtoul(line + LENGTH, NULL, 10);
		ck_assert_uint_gt(number, last[writer]);
		last[writer] = number;
	}
	ck_assert(feof(file));
	for (unsigned i = 0; i < WRITERS; i++)
		ck_assert_uint_ge(last[i], least[i]);
	free(line);
	fclose(file);
}

START_TEST(writers_are_killed_at_any_moment)
{
	unsigned said[WRITERS] = {0}, first[WRITERS] = {0};
	pid_t pids[WRITERS] = {0};
	int shared = memfd_create("said", MFD_CLOEXEC);
	struct ledger *last;

	ck_assert_int_eq(ftruncate(shared, sizeof(said)), 0);
	srand(1);
	for (int round = 0; round < 150; round++) {
		unsigned victim = (unsigned)round % WRITERS;

		if (pids[victim] != 0) {
			kill(pids[victim], SIGKILL);
			waitpid(pids[victim], NULL, 0);
		}
		ck_assert_int_eq(pread(shared, said, sizeof(said), 0), sizeof(said));
		/* The one that the last writer died over may be there, but was never told. */
		if (first[victim] <= said[victim])
			first[victim] = said[victim] + 1;
		first[victim]++;
		pids[victim] = fork();
		if (pids[victim] == 0)
			write_until_killed(victim, first[victim], shared);
		usleep(500 + (unsigned)rand() % 1500);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	ck_assert_int_eq(pread(shared, said, sizeof(said), 0), sizeof(said));
	close(shared);
	/* As after the death of all: the next one makes it whole. */
	last = view();
	append_line(last, "");
	ledger_close(last);
	check_all_records(said);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ledger");
	TCase *tcase = tcase_create("ledger");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, records_stand_one_behind_the_other);
	tcase_add_test(tcase, torn_end_is_cut_at_the_first_look);
	tcase_add_test(tcase, what_is_not_ours_is_left_alone);
	tcase_add_test(tcase, others_may_write_and_cut);
	tcase_add_test(tcase, long_files_are_looked_at_in_pieces);
	tcase_add_test(tcase, short_write_keeps_whole_records);
	tcase_add_test(tcase, killed_writer_leaves_nothing_torn);
	tcase_add_test(tcase, failed_sync_ends_it_for_all);
	tcase_add_test(tcase, scribbled_lock_ends_it);
	tcase_add_test(tcase, one_asks_at_a_time);
	tcase_add_test(tcase, writers_are_killed_at_any_moment);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
