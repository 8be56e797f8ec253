/*
 * The messages of load_message.h. Pure: the random letters come from the seed alone. Owns the two
 * tables of letters; borrows texts; keeps nothing for a message that was written.
 */
#include "ctl/load_message.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define LOAD_MESSAGE_PLACES 65536 /* where the letters of a message may begin */
#define LOAD_MESSAGE_DIGITS 16    /* of a sequence number, at most */

static const char load_message_alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* One step of a generator whose outputs look unrelated even for seeds that lie close together. */
static uint64_t
load_message_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static size_t
load_message_place(unsigned connection, uint64_t sequence)
{
	return load_message_mix((uint64_t)connection << 44 ^ sequence) % LOAD_MESSAGE_PLACES;
}

/* Which of the texts. */
static size_t
load_message_text(const struct load_message *message, unsigned connection, uint64_t sequence)
{
	size_t count = message->texts->count;

	return ((uint64_t)connection * count / message->connections + sequence) % count;
}

/* The size of one that is made here. */
static size_t
load_message_size(const struct load_message *message, unsigned connection, uint64_t sequence)
{
	uint64_t random;

	if (message->least == message->size)
		return message->size;
	random = load_message_mix(~((uint64_t)connection << 44 ^ sequence));
	return message->least + random % (message->size - message->least + 1);
}

static void
load_message_capitals(char *to, const char *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		to[i] = from[i] >= 'a' && from[i] <= 'z' ? (char)(from[i] - 'a' + 'A') : from[i];
}

void
load_message_open(struct load_message *message, size_t size, bool upper, uint64_t seed)
{
	size_t length = LOAD_MESSAGE_PLACES + size;
	uint64_t random = load_message_mix(seed);

	memset(message, 0, sizeof(*message));
	message->size = message->least = size;
	message->letters = mem_alloc(length, 1);
	for (size_t i = 0; i < length; i++) {
		random = load_message_mix(random);
		message->letters[i] = load_message_alphabet[random % 36];
	}
	memcpy(message->run, message->letters, LOAD_MESSAGE_RUN);
	message->run[LOAD_MESSAGE_RUN] = '-';
	memcpy(message->run_reply, message->run, sizeof(message->run));
	message->letters_reply = message->letters;
	if (upper) {
		message->letters_reply = mem_alloc(length, 1);
		load_message_capitals(message->letters_reply, message->letters, length);
		load_message_capitals(message->run_reply, message->run, sizeof(message->run));
	}
}

void
load_message_close(struct load_message *message)
{
	if (message->letters_reply != message->letters)
		free(message->letters_reply);
	free(message->letters);
	memset(message, 0, sizeof(*message));
}

void
load_message_vary(struct load_message *message, size_t least)
{
	message->least = least;
}

void
load_message_use(struct load_message *message, const struct load_texts *texts, unsigned connections)
{
	message->texts = texts;
	message->connections = connections;
}

/* Writes the number and a hyphen; returns where it ended. */
static char *
load_message_number(char *to, uint64_t number)
{
	char digits[LOAD_MESSAGE_DIGITS + 4];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	memcpy(to, digits + i, sizeof(digits) - i);
	to += sizeof(digits) - i;
	*to++ = '-';
	return to;
}

size_t
load_message_length(const struct load_message *message, unsigned connection, uint64_t sequence)
{
	if (message->texts)
		return message->texts->requests[load_message_text(message, connection, sequence)]
		    .length;
	return load_message_size(message, connection, sequence);
}

size_t
load_message_write(
    const struct load_message *message, unsigned connection, uint64_t sequence, char *to)
{
	const struct load_text *text;
	size_t size;
	char *end;

	if (message->texts) {
		text = &message->texts->requests[load_message_text(message, connection, sequence)];
		memcpy(to, text->data, text->length);
		return text->length;
	}
	size = load_message_size(message, connection, sequence);
	end = to + size;
	memcpy(to, message->run, sizeof(message->run));
	to = load_message_number(to + sizeof(message->run), connection);
	to = load_message_number(to, sequence);
	memcpy(to, message->letters + load_message_place(connection, sequence), (size_t)(end - to));
	return size;
}

bool
load_message_is(const struct load_message *message, unsigned connection, uint64_t sequence,
    const char *data, size_t length)
{
	const struct load_text *text;
	unsigned whose;
	uint64_t other;

	if (!message->texts)
		return load_message_find(message, data, length, &whose, &other) &&
		       whose == connection && other == sequence;
	text = &message->texts->replies[load_message_text(message, connection, sequence)];
	return text->length == length && memcmp(text->data, data, length) == 0;
}

/* Reads a number as load_message_number() writes it: no zero in front. NULL when it is none. */
static const char *
load_message_read_number(const char *from, const char *end, uint64_t *number)
{
	const char *at = from;
	uint64_t value = 0;

	while (at < end && at - from < LOAD_MESSAGE_DIGITS && *at >= '0' && *at <= '9')
		value = value * 10 + (uint64_t)(*at++ - '0');
	if (at == from || at == end || *at != '-' || (*from == '0' && at - from > 1))
		return NULL;
	*number = value;
	return at + 1;
}

bool
load_message_find(const struct load_message *message, const char *data, size_t length,
    unsigned *connection, uint64_t *sequence)
{
	const char *end = data + length;
	const char *at = data + sizeof(message->run_reply);
	uint64_t number;

	if (length < message->least || length > message->size ||
	    memcmp(data, message->run_reply, sizeof(message->run_reply)) != 0)
		return false;
	at = load_message_read_number(at, end, &number);
	if (!at || number > LOAD_MESSAGE_CONNECTION_MAX)
		return false;
	*connection = (unsigned)number;
	at = load_message_read_number(at, end, sequence);
	return at && length == load_message_size(message, *connection, *sequence) &&
	       memcmp(at, message->letters_reply + load_message_place(*connection, *sequence),
		   (size_t)(end - at)) == 0;
}
