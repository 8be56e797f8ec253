/*
 * The list of load_texts.h. Owns the bytes and the two tables that point into them; knows nothing
 * of where replies come from, and never holds more than its bounds.
 */
#include "ctl/load_texts.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Cuts `bytes` at each LF, of which there are `count`. */
static struct load_text *
load_texts_cut(const char *bytes, size_t length, size_t count, size_t *longest)
{
	struct load_text *texts = mem_alloc(count, sizeof(*texts));
	const char *at = bytes, *end;

	*longest = 0;
	for (size_t i = 0; i < count; i++) {
		end = memchr(at, '\n', (size_t)(bytes + length - at));
		texts[i] = (struct load_text){.data = at, .length = (size_t)(end - at)};
		if (texts[i].length > 0 && end[-1] == '\r')
			texts[i].length--;
		if (texts[i].length > *longest)
			*longest = texts[i].length;
		at = end + 1;
	}
	return texts;
}

static size_t
load_texts_count(const char *bytes, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += bytes[i] == '\n';
	return count;
}

void
load_texts_take(struct load_texts *texts, char *bytes, size_t length, size_t count)
{
	*texts = (struct load_texts){.count = count, .bytes = bytes, .length = length};
	texts->requests = load_texts_cut(bytes, length, count, &texts->longest);
	texts->replies = texts->requests;
	texts->longest_reply = texts->longest;
}

static void
load_texts_drop_replies(struct load_texts *texts)
{
	if (texts->replies != texts->requests)
		free(texts->replies);
	free(texts->reply_bytes);
	texts->replies = texts->requests;
	texts->reply_bytes = NULL;
}

void
load_texts_capitals(struct load_texts *texts)
{
	char *bytes = mem_alloc(texts->length, 1);
	size_t found;

	for (size_t i = 0; i < texts->length; i++)
		bytes[i] = texts->bytes[i] >= 'a' && texts->bytes[i] <= 'z'
			       ? (char)(texts->bytes[i] - 'a' + 'A')
			       : texts->bytes[i];
	load_texts_answer(texts, bytes, texts->length, &found);
}

bool
load_texts_answer(struct load_texts *texts, char *bytes, size_t length, size_t *found)
{
	*found = load_texts_count(bytes, length);
	if (*found != texts->count || (length > 0 && bytes[length - 1] != '\n'))
		return false;
	load_texts_drop_replies(texts);
	texts->reply_bytes = bytes;
	texts->replies = load_texts_cut(bytes, length, texts->count, &texts->longest_reply);
	return true;
}

/* All of it, with LF at its end, up to the bound. NULL after a sentence in `why`. */
static char *
load_texts_slurp(int fd, size_t *length, char *why, size_t why_size)
{
	size_t room = 65536;
	char *bytes = mem_alloc(room, 1);
	ssize_t got;

	for (*length = 0;; *length += (size_t)got) {
		if (*length + 1 >= room)
			bytes = mem_resize(bytes, room *= 2, 1);
		got = read(fd, bytes + *length, room - *length - 1);
		if (got == -1 && errno == EINTR)
			got = 0;
		else if (got <= 0)
			break;
		if (*length + (size_t)got > LOAD_TEXTS_BYTES)
			break;
	}
	if (got == 0) {
		if (*length > 0 && bytes[*length - 1] != '\n')
			bytes[(*length)++] = '\n';
		return bytes;
	}
	if (got == -1)
		snprintf(why, why_size, "%s", strerror(errno));
	else
		snprintf(why, why_size, "more than %u MiB", LOAD_TEXTS_BYTES >> 20);
	free(bytes);
	return NULL;
}

bool
load_texts_read(
    struct load_texts *texts, const char *path, size_t longest, char *why, size_t why_size)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0, count;
	char *bytes;

	if (fd == -1) {
		snprintf(why, why_size, "%s", strerror(errno));
		return false;
	}
	bytes = load_texts_slurp(fd, &length, why, why_size);
	if (!standard)
		close(fd);
	if (!bytes)
		return false;
	count = load_texts_count(bytes, length);
	if (count == 0 || count > LOAD_TEXTS_MAX) {
		snprintf(why, why_size, "%zu lines, expected 1 to %u", count, LOAD_TEXTS_MAX);
		free(bytes);
		return false;
	}
	load_texts_take(texts, bytes, length, count);
	if (texts->longest <= longest)
		return true;
	snprintf(
	    why, why_size, "a line of %zu bytes, at most %zu can be sent", texts->longest, longest);
	load_texts_free(texts);
	return false;
}

void
load_texts_free(struct load_texts *texts)
{
	load_texts_drop_replies(texts);
	free(texts->requests);
	free(texts->bytes);
	memset(texts, 0, sizeof(*texts));
}
