/*
 * Appending under the lock, and everything that may go wrong with it. Owns the descriptors and the
 * mapping; never opens a file, never retries a sync.
 *
 * The order of the stores is what makes it safe to be killed at any instruction: `writing` is set
 * before the first byte is written and taken back only when `end` is right.
 */
#include "ipc/ledger.h"

#include "common/clock.h"
#include "common/codec.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEDGER_LOOK (256 * 1024)     /* bytes read at a time when a file is looked at */
#define LEDGER_ASK  (100 * CLOCK_MS) /* between two who ask for another file */

struct ledger_page {
	pthread_mutex_t mutex;
	_Atomic uint64_t end;           /* bytes of whole records; under the lock */
	_Atomic uint32_t writing;       /* what stands behind the end is ours and torn; likewise */
	_Atomic uint32_t checked;       /* `end` is known; likewise */
	_Atomic uint32_t given_up;      /* never taken back */
	_Atomic uint32_t folder_synced; /* its name is on the disk */
	_Atomic uint64_t asked;         /* when somebody asked for another file */
};

struct ledger {
	int file, folder;         /* owns */
	struct ledger_page *page; /* owns the mapping */
	int mutex_kind;           /* what a mutex that was not scribbled on has */
};

/* ---- making and opening ---- */

static bool
ledger_new_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;
	bool good;

	if (pthread_mutexattr_init(&attr) != 0)
		return false;
	good = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
	       pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
	       pthread_mutex_init(mutex, &attr) == 0;
	pthread_mutexattr_destroy(&attr);
	return good;
}

static struct ledger_page *
ledger_map(int fd)
{
	void *memory =
	    mmap(NULL, sizeof(struct ledger_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return memory != MAP_FAILED ? memory : NULL;
}

int
ledger_new_page(void)
{
	int fd = memfd_create("hostler-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING), reason;
	struct ledger_page *page = NULL;
	bool good;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, sizeof(*page)) == 0)
		page = ledger_map(fd);
	good = page != NULL && ledger_new_mutex(&page->mutex) &&
	       fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
	reason = errno;
	if (page != NULL)
		munmap(page, sizeof(*page));
	if (good)
		return fd;
	close(fd);
	errno = reason;
	return -1;
}

struct ledger *
ledger_open(int file, int page, int folder)
{
	struct ledger *ledger = mem_alloc(1, sizeof(*ledger));
	pthread_mutex_t sample;
	int reason;

	ledger->file = file;
	ledger->folder = folder;
	ledger->page = ledger_map(page);
	reason = errno;
	close(page);
	if (ledger->page != NULL && ledger_new_mutex(&sample)) {
		ledger->mutex_kind = sample.__data.__kind;
		pthread_mutex_destroy(&sample);
		return ledger;
	}
	ledger_close(ledger);
	errno = reason;
	return NULL;
}

void
ledger_close(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	if (ledger->page != NULL)
		munmap(ledger->page, sizeof(*ledger->page));
	close(ledger->file);
	close(ledger->folder);
	free(ledger);
}

/* ---- the lock ---- */

/* 0, or an errno. Who died with it left `writing` behind, which is all that matters of him. */
static int
ledger_lock(struct ledger *ledger)
{
	pthread_mutex_t *mutex = &ledger->page->mutex;
	int error;

	/* The C library aborts on a mutex of a kind that it does not expect. */
	if (mutex->__data.__kind != ledger->mutex_kind)
		return EINVAL;
	error = pthread_mutex_lock(mutex);
	return error == EOWNERDEAD ? pthread_mutex_consistent(mutex) : error;
}

static void
ledger_fail(struct ledger_result *result, const char *what, int error)
{
	result->what = what;
	result->error = error;
}

/* ---- what a file has already ---- */

/* As pread(2), but all of it unless the file ends before. */
static ssize_t
ledger_read(const struct ledger *ledger, char *to, size_t length, uint64_t from)
{
	size_t got = 0;

	while (got < length) {
		ssize_t n = pread(ledger->file, to + got, length - got, (off_t)(from + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Where the last whole line ends; looks no further back than it must. -1 with errno. */
static int64_t
ledger_end_of_lines(const struct ledger *ledger, char *scratch, uint64_t size, size_t tail_max)
{
	uint64_t at = size, least = size > tail_max ? size - tail_max - 1 : 0;

	while (at > least) {
		uint64_t from = at - least > LEDGER_LOOK ? at - LEDGER_LOOK : least;
		ssize_t n = ledger_read(ledger, scratch, (size_t)(at - from), from);
		const char *lf = n > 0 ? memrchr(scratch, '\n', (size_t)n) : NULL;

		if (n < 0)
			return -1;
		if (lf != NULL)
			return (int64_t)(from + (size_t)(lf + 1 - scratch));
		at = from;
	}
	return 0;
}

/* Where the last whole frame ends: from the first on, since nothing tells where one begins. */
static int64_t
ledger_end_of_frames(const struct ledger *ledger, char *scratch, uint64_t size)
{
	uint64_t at = 0, from = 0;
	size_t have = 0;

	while (size - at >= CODEC_NUMBER) {
		uint64_t length;

		if (at < from || at + CODEC_NUMBER > from + have) {
			ssize_t n = ledger_read(ledger, scratch, LEDGER_LOOK, at);

			if (n < 0)
				return -1;
			from = at;
			have = (size_t)n;
			if (have < CODEC_NUMBER)
				break;
		}
		length = CODEC_NUMBER + (uint64_t)codec_number(scratch + (at - from));
		if (length > size - at)
			break;
		at += length;
	}
	return (int64_t)at;
}

static int64_t
ledger_find_end(
    const struct ledger *ledger, enum ledger_framing framing, uint64_t size, size_t tail_max)
{
	int64_t end = (int64_t)size;
	char *scratch;

	if (size == 0 || framing == LEDGER_BYTES)
		return end;
	scratch = mem_alloc(1, LEDGER_LOOK);
	if (framing == LEDGER_LINE)
		end = ledger_end_of_lines(ledger, scratch, size, tail_max);
	else
		end = ledger_end_of_frames(ledger, scratch, size);
	free(scratch);
	return end;
}

/* Cuts what is torn. False when that cannot be done; then it is tried again next time. */
static bool
ledger_cut(struct ledger *ledger, uint64_t size, struct ledger_result *result)
{
	uint64_t end = atomic_load(&ledger->page->end);

	if (size > end && ftruncate(ledger->file, (off_t)end) != 0) {
		ledger_fail(result, "ftruncate", errno);
		return false;
	}
	result->cut += size > end ? size - end : 0;
	atomic_store(&ledger->page->writing, 0);
	return true;
}

/*
 * The first writer of all looks at what is there: those who were killed together with the master,
 * or with the machine, left nobody who knew the end. A short rest behind whole records is torn and
 * cut off. Anything else was not ours: the master will put it aside, nothing in it is touched.
 */
static bool
ledger_check(struct ledger *ledger, enum ledger_framing framing, size_t tail_max, uint64_t size,
    struct ledger_result *result)
{
	struct ledger_page *page = ledger->page;
	int64_t end = ledger_find_end(ledger, framing, size, tail_max);

	if (end < 0) {
		ledger_fail(result, "pread", errno);
		return false;
	}
	if ((uint64_t)end < size && (end == 0 || size - (uint64_t)end > tail_max)) {
		atomic_store(&page->given_up, 1);
		ledger_fail(result, "looking at what it has", EILSEQ);
		return false;
	}
	atomic_store(&page->end, (uint64_t)end);
	if (!ledger_cut(ledger, size, result))
		return false;
	atomic_store(&page->checked, 1);
	return true;
}

/*
 * Somebody else has written or cut: it is the operator's file, and we go on behind that. A line
 * that he did not finish must not become the beginning of ours.
 */
static bool
ledger_accept(
    struct ledger *ledger, enum ledger_framing framing, uint64_t size, struct ledger_result *result)
{
	struct ledger_page *page = ledger->page;
	char last = '\n';

	result->foreign = (int64_t)(size - atomic_load(&page->end));
	if (framing == LEDGER_LINE && size > 0 && ledger_read(ledger, &last, 1, size - 1) < 0) {
		ledger_fail(result, "pread", errno);
		return false;
	}
	if (last != '\n' && write(ledger->file, "\n", 1) != 1) {
		ledger_fail(result, "write", errno);
		return false;
	}
	atomic_store(&page->end, size + (last != '\n'));
	atomic_store(&page->writing, 0);
	return true;
}

/* The file is whole records up to the end, and ends there. */
static bool
ledger_mend(struct ledger *ledger, enum ledger_framing framing, size_t tail_max,
    struct ledger_result *result)
{
	struct ledger_page *page = ledger->page;
	uint64_t end = atomic_load(&page->end), size;
	struct stat st;

	if (fstat(ledger->file, &st) != 0) {
		ledger_fail(result, "fstat", errno);
		return false;
	}
	size = (uint64_t)st.st_size;
	if (atomic_load(&page->checked) == 0)
		return ledger_check(ledger, framing, tail_max, size, result);
	if (size > end && atomic_load(&page->writing) != 0)
		return ledger_cut(ledger, size, result);
	if (size != end)
		return ledger_accept(ledger, framing, size, result);
	atomic_store(&page->writing, 0);
	return true;
}

int64_t
ledger_settle(int file, int page)
{
	struct ledger_page *shared = ledger_map(page);
	int64_t cut = 0;
	struct stat st;
	uint64_t end;

	if (shared == NULL)
		return -1;
	end = atomic_load(&shared->end);
	if (atomic_load(&shared->checked) != 0 && atomic_load(&shared->writing) != 0) {
		if (fstat(file, &st) != 0)
			cut = -1;
		else if ((uint64_t)st.st_size > end)
			cut = ftruncate(file, (off_t)end) == 0 ? st.st_size - (int64_t)end : -1;
	}
	if (cut >= 0)
		atomic_store(&shared->writing, 0);
	munmap(shared, sizeof(*shared));
	return cut;
}

/* ---- appending ---- */

/* All of it, or as much as goes before an error, which is left in errno. */
static size_t
ledger_write(int fd, const char *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = write(fd, bytes + done, length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

/* Where record i ends, as bytes from the first on. */
static size_t
ledger_record_end(const struct ledger_records *records, size_t i)
{
	return records->ends[i] - records->before;
}

/* How many records go into one write. */
static size_t
ledger_fits(const struct ledger_records *records)
{
	size_t low = 1, high = records->count;

	while (low < high) {
		size_t middle = low + (high - low + 1) / 2;

		if (ledger_record_end(records, middle - 1) <= LEDGER_WRITE_MAX)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* Under the lock; the file ends at the end. */
static void
ledger_append_some(struct ledger *ledger, enum ledger_framing framing,
    const struct ledger_records *records, struct ledger_result *result)
{
	struct ledger_page *page = ledger->page;
	uint64_t end = atomic_load(&page->end);
	size_t count = ledger_fits(records), done, whole;
	size_t length = ledger_record_end(records, count - 1);
	int error;

	atomic_store(&page->writing, 1);
	done = ledger_write(ledger->file, records->bytes, length);
	error = errno;
	whole = done;
	if (done < length) {
		while (count > 0 && ledger_record_end(records, count - 1) > done)
			count--;
		whole = count > 0 ? ledger_record_end(records, count - 1) : 0;
		if (framing == LEDGER_BYTES)
			whole = done; /* a stream has no records to tear */
		ledger_fail(result, "write", error);
	}
	result->count = count;
	result->size = end + whole;
	atomic_store(&page->end, end + whole);
	if (whole == done)
		atomic_store(&page->writing, 0);
	else if (ftruncate(ledger->file, (off_t)(end + whole)) == 0)
		atomic_store(&page->writing, 0);
	/* Else the next one who comes cuts it. */
}

void
ledger_append(struct ledger *ledger, enum ledger_framing framing, size_t tail_max,
    const struct ledger_records *records, struct ledger_result *result)
{
	int error = ledger_lock(ledger);

	*result = (struct ledger_result){.count = 0};
	if (error != 0) {
		atomic_store(&ledger->page->given_up, 1);
		ledger_fail(result, "locking", error);
		return;
	}
	if (ledger_is_given_up(ledger))
		ledger_fail(result, "an earlier sync", EIO);
	else if (ledger_mend(ledger, framing, tail_max, result))
		ledger_append_some(ledger, framing, records, result);
	pthread_mutex_unlock(&ledger->page->mutex);
}

/* ---- on the disk ---- */

static int
ledger_sync_all(struct ledger *ledger, const char **what)
{
	*what = "fdatasync";
	if (fdatasync(ledger->file) != 0)
		return -1;
	if (atomic_load(&ledger->page->folder_synced) == 0) {
		*what = "fsync of its folder";
		/* EINVAL: this file system has no such thing. */
		if (fsync(ledger->folder) != 0 && errno != EINVAL)
			return -1;
		atomic_store(&ledger->page->folder_synced, 1);
	}
	*what = "another worker's sync";
	errno = EIO;
	return ledger_is_given_up(ledger) ? -1 : 0;
}

int
ledger_sync(struct ledger *ledger, const char **what)
{
	int reason;

	if (ledger_sync_all(ledger, what) == 0)
		return 0;
	reason = errno;
	atomic_store(&ledger->page->given_up, 1);
	errno = reason;
	return -1;
}

bool
ledger_is_given_up(const struct ledger *ledger)
{
	return atomic_load(&ledger->page->given_up) != 0;
}

bool
ledger_may_ask(struct ledger *ledger, uint64_t now)
{
	uint64_t asked = atomic_load(&ledger->page->asked);

	return (asked == 0 || now >= asked + LEDGER_ASK) &&
	       atomic_compare_exchange_strong(&ledger->page->asked, &asked, now);
}
