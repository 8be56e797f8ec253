/*
 * Reads tests/websockets.txt, and writes and reads frames, from RFC 6455 and RFC 7692 alone: it
 * shares nothing with what it tests but UTF-8. Owns nothing; what it fills in stays until the
 * program ends.
 */
#include "tests/unit/websockets.h"

#include "common/utf8.h"
#include "tests/unit/exchanges.h"
#include "tests/unit/seat.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define WEBSOCKETS_INFLATED_MAX (256 * 1024)

/* ---- deflate ---- */

static void
websockets_deflate(struct buf *to, const struct buf *from)
{
	size_t room = buf_length(from) + buf_length(from) / 10 + 64;
	z_stream stream = {0};

	seat_must(
	    deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK, "deflate");
	stream.next_in = (unsigned char *)buf_bytes(from);
	stream.avail_in = (unsigned)buf_length(from);
	stream.next_out = (unsigned char *)buf_reserve(to, room);
	stream.avail_out = (unsigned)room;
	seat_must(deflate(&stream, Z_SYNC_FLUSH) == Z_OK && stream.avail_out > 0, "deflated");
	/* Without the four bytes that end a flush; nothing at all is a byte of zeroes (7.2.3.6). */
	buf_added(to, room - stream.avail_out - 4);
	if (room - stream.avail_out == 4)
		buf_append(to, "", 1);
	deflateEnd(&stream);
}

static void
websockets_inflate(struct buf *to, const char *from, size_t length)
{
	struct buf whole = {0};
	z_stream stream = {0};
	int said;

	buf_append(&whole, from, length);
	buf_append(&whole, "\0\0\xff\xff", 4);
	seat_must(inflateInit2(&stream, -15) == Z_OK, "inflate");
	stream.next_in = (unsigned char *)buf_bytes(&whole);
	stream.avail_in = (unsigned)buf_length(&whole);
	stream.next_out = (unsigned char *)buf_reserve(to, WEBSOCKETS_INFLATED_MAX);
	stream.avail_out = WEBSOCKETS_INFLATED_MAX;
	said = inflate(&stream, Z_SYNC_FLUSH);
	seat_must(said == Z_OK && stream.avail_in == 0 && stream.avail_out > 0,
	    "a reply that is deflated");
	buf_added(to, WEBSOCKETS_INFLATED_MAX - stream.avail_out);
	buf_consume(to, 0);
	inflateEnd(&stream);
	buf_free(&whole);
}

/* ---- writing frames ---- */

struct websockets_frame {
	unsigned kind, reserved, length_bits;
	bool more, bare, zero_key, deflated, has_length;
	uint64_t length;
	size_t cut; /* SIZE_MAX: all of it */
};

static unsigned
websockets_kind(const char **text)
{
	static const struct {
		const char *name;
		unsigned kind;
	} names[] = {
	    {"text", WEBSOCKET_TEXT},
	    {"bin", WEBSOCKET_BIN},
	    {"cont", WEBSOCKET_CONT},
	    {"ping", WEBSOCKET_PING},
	    {"pong", WEBSOCKET_PONG},
	    {"close", WEBSOCKET_CLOSE},
	};
	char *end;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(*text, names[i].name, strlen(names[i].name)) == 0) {
			*text += strlen(names[i].name);
			return names[i].kind;
		}
	seat_must(strncmp(*text, "op", 2) == 0 && isdigit((unsigned char)(*text)[2]), *text);
	unsigned kind = (unsigned)strtoul(*text + 2, &end, 10);
	*text = end;
	return kind;
}

/* What is between the kind and the payload. Returns the payload. */
static const char *
websockets_marks(struct websockets_frame *frame, const char *text)
{
	char *end;

	while (*text != '=') {
		char mark = *text++;

		switch (mark) {
		case '-':
			frame->more = true;
			continue;
		case '!':
			frame->bare = true;
			continue;
		case '&':
			frame->zero_key = true;
			continue;
		case 'z':
			frame->deflated = true;
			frame->reserved |= 4;
			continue;
		}
		seat_must(mark != '\0' && strchr("^~@<", mark) != NULL, "a mark is known");
		uint64_t number = strtoull(text, &end, 10);
		seat_must(end > text, "a mark has its number");
		text = end;
		if (mark == '^')
			frame->reserved |= 8u >> number;
		else if (mark == '~')
			frame->length_bits = (unsigned)number;
		else if (mark == '<')
			frame->cut = (size_t)number;
		else {
			frame->has_length = true;
			frame->length = number;
		}
	}
	return text + 1;
}

/* A Close begins with the number of its code. */
static void
websockets_payload(struct buf *to, unsigned kind, const char *text)
{
	if (kind == WEBSOCKET_CLOSE && isdigit((unsigned char)*text)) {
		char *end;
		unsigned long code = strtoul(text, &end, 10);
		char bytes[2] = {(char)(code >> 8), (char)code};

		buf_append(to, bytes, 2);
		text = end + (*end == ',');
	}
	exchanges_expand(to, text);
}

static void
websockets_number(struct buf *to, uint64_t number, int bytes)
{
	while (bytes-- > 0) {
		char byte = (char)(number >> (8 * bytes));

		buf_append(to, &byte, 1);
	}
}

static void
websockets_write(struct buf *to, const struct websockets_frame *frame, const struct buf *payload)
{
	static uint32_t key = 0x37fa213d;
	uint64_t length = frame->has_length ? frame->length : buf_length(payload);
	unsigned bits = frame->length_bits, masked = frame->bare ? 0 : 128;

	if (bits == 0)
		bits = length < 126 ? 7 : length < 65536 ? 16 : 64;
	websockets_number(to, (frame->more ? 0 : 128) | frame->reserved << 4 | frame->kind, 1);
	websockets_number(to, masked | (bits == 7 ? length : bits == 16 ? 126 : 127), 1);
	websockets_number(to, length, bits == 7 ? 0 : (int)bits / 8);
	key = frame->zero_key ? key : key * 1664525 + 1013904223;
	if (!frame->bare)
		websockets_number(to, frame->zero_key ? 0 : key, 4);
	for (size_t i = 0; i < buf_length(payload); i++) {
		char byte = buf_bytes(payload)[i];

		if (!frame->bare && !frame->zero_key)
			byte = (char)(byte ^ (char)(key >> (24 - i % 4 * 8)));
		buf_append(to, &byte, 1);
	}
}

void
websockets_frame(struct buf *to, const char *text)
{
	struct websockets_frame frame = {.kind = websockets_kind(&text), .cut = SIZE_MAX};
	struct buf plain = {0}, deflated = {0}, whole = {0};

	text = websockets_marks(&frame, text);
	websockets_payload(&plain, frame.kind, text);
	if (frame.deflated)
		websockets_deflate(&deflated, &plain);
	websockets_write(&whole, &frame, frame.deflated ? &deflated : &plain);
	seat_must(frame.cut == SIZE_MAX || frame.cut < buf_length(&whole), "less than all of it");
	buf_append(to, buf_bytes(&whole), frame.cut == SIZE_MAX ? buf_length(&whole) : frame.cut);
	buf_free(&plain);
	buf_free(&deflated);
	buf_free(&whole);
}

/* ---- reading frames ---- */

unsigned
websockets_code(const struct websocket_heard *heard)
{
	const unsigned char *bytes = (const unsigned char *)buf_bytes(&heard->payload);

	return buf_length(&heard->payload) < 2 ? 0 : bytes[0] * 256u + bytes[1];
}

/* What RFC 6455, 7.4, and the registry know. */
static bool
websockets_may_say(unsigned code)
{
	return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
	       (code >= 3000 && code <= 4999);
}

static void
websockets_must_make_sense(const struct websocket_heard *heard)
{
	size_t length = buf_length(&heard->payload);
	const char *bytes = buf_bytes(&heard->payload);

	if (heard->kind == WEBSOCKET_TEXT)
		seat_must(length == 0 || utf8_is_valid(bytes, length), "a text is UTF-8");
	if (heard->kind != WEBSOCKET_CLOSE || length == 0)
		return;
	seat_must(websockets_may_say(websockets_code(heard)), "a code that may be sent");
	seat_must(length == 2 || utf8_is_valid(bytes + 2, length - 2), "a reason is UTF-8");
}

static uint64_t
websockets_read_number(const unsigned char *at, int bytes)
{
	uint64_t number = 0;

	while (bytes-- > 0)
		number = number << 8 | *at++;
	return number;
}

size_t
websockets_hear(struct websocket_heard *heard, const char *data, size_t length, bool may_deflate)
{
	const unsigned char *bytes = (const unsigned char *)data;
	size_t head = 2;
	uint64_t size;

	*heard = (struct websocket_heard){0};
	if (length < 2)
		return 0;
	seat_must((bytes[0] & 0x80) != 0 && (bytes[1] & 0x80) == 0, "whole and not masked");
	head += bytes[1] == 126 ? 2 : bytes[1] == 127 ? 8 : 0;
	if (length < head)
		return 0;
	size = head == 2 ? bytes[1] : websockets_read_number(bytes + 2, (int)head - 2);
	seat_must(head == 2 || size > (head == 4 ? 125 : 65535), "its length is short");
	heard->kind = bytes[0] & 15;
	heard->is_deflated = (bytes[0] & 0x40) != 0;
	seat_must((bytes[0] & 0x30) == 0, "no reserved bits");
	seat_must(
	    heard->kind == WEBSOCKET_TEXT || heard->kind == WEBSOCKET_BIN ||
		(heard->kind >= WEBSOCKET_CLOSE && heard->kind <= WEBSOCKET_PONG && size <= 125),
	    "a kind of frame");
	seat_must(!heard->is_deflated || (may_deflate && heard->kind <= WEBSOCKET_BIN),
	    "deflated where that was agreed on");
	if (length - head < size)
		return 0;
	if (heard->is_deflated)
		websockets_inflate(&heard->payload, data + head, size);
	else
		buf_append(&heard->payload, data + head, size);
	websockets_must_make_sense(heard);
	return head + size;
}

/* ---- the table ---- */

/* Ends the word at `text`; a space in brackets is none. Returns the next, or NULL. */
static char *
websockets_next(char *text)
{
	bool bracket = false;

	for (; *text != '\0'; text++) {
		bracket = *text == '[' || (bracket && *text != ']');
		if (*text == ' ' && !bracket) {
			*text++ = '\0';
			return text + strspn(text, " ");
		}
	}
	return NULL;
}

/* The first word behind spaces, or NULL. */
static char *
websockets_first(char *text)
{
	text += strspn(text, " ");
	return *text != '\0' ? text : NULL;
}

/* How often a word counts: a number and a star may be in front of it. */
static unsigned
websockets_times(char **word)
{
	char *end;
	unsigned long times = strtoul(*word, &end, 10);

	if (end == *word || *end != '*')
		return 1;
	*word = end + 1;
	return (unsigned)times;
}

static void
websockets_read_bracket(struct buf *to, const char *text)
{
	size_t length = strlen(text);
	char *inside;

	seat_must(length >= 2 && text[0] == '[' && text[length - 1] == ']', "brackets");
	inside = strndup(text + 1, length - 2);
	exchanges_expand(to, inside);
	free(inside);
}

static void
websockets_read_sent(struct websocket *websocket, char *text)
{
	char *next;

	for (char *word = websockets_first(text); word != NULL; word = next) {
		next = websockets_next(word);
		if (*word == '[') {
			websockets_read_bracket(&websocket->bytes, word);
			continue;
		}
		for (unsigned times = websockets_times(&word); times > 0; times--)
			websockets_frame(&websocket->bytes, word);
	}
}

void
websockets_read_answer(struct websocket_answer *answer, const char *text)
{
	char *end;

	*answer = (struct websocket_answer){.may_miss = *text == '?'};
	text += answer->may_miss;
	if (isdigit((unsigned char)*text)) {
		answer->status = (unsigned)strtoul(text, &end, 10);
		if (*end != '\0')
			websockets_read_bracket(&answer->text, end);
		return;
	}
	answer->kind = websockets_kind(&text);
	answer->is_deflated = *text == 'z';
	text += answer->is_deflated;
	seat_must(*text++ == '=', "an answer has its payload");
	if (answer->kind == WEBSOCKET_CLOSE)
		answer->code = (unsigned)strtoul(text, NULL, 10);
	else
		exchanges_expand(&answer->text, text);
}

static void
websockets_read_answers(struct websocket *websocket, char *text)
{
	char *next;

	for (char *word = websockets_first(text); word != NULL; word = next) {
		next = websockets_next(word);
		if (next == NULL || *next == '\0') {
			seat_must(strlen(word) == 1 && strchr("+.?", *word) != NULL, "an end");
			websocket->end = *word;
			return;
		}
		for (unsigned times = websockets_times(&word); times > 0; times--) {
			seat_must(websocket->answer_count < WEBSOCKETS_ANSWER_MAX, "few answers");
			websockets_read_answer(
			    &websocket->answers[websocket->answer_count++], word);
		}
	}
	seat_must(false, "an end");
}

/* @ SERVICE [bytes] */
static void
websockets_read_section(struct websocket *section, char *text)
{
	static const char *const names[] = WEBSOCKETS_SERVICES;
	char *word = websockets_first(text + 1), *opening = websockets_next(word);

	section->service = 0;
	while (strcmp(names[section->service], word) != 0)
		seat_must(++section->service < sizeof(names) / sizeof(names[0]), word);
	buf_free(&section->opening);
	if (opening != NULL)
		websockets_read_bracket(&section->opening, opening);
}

static void
websockets_read(struct websocket *websocket, const struct websocket *section, char *line)
{
	char *sent = strstr(line, " ::");

	seat_must(sent != NULL, "answers and what is sent");
	*sent = '\0';
	websocket->service = section->service;
	if (buf_length(&section->opening) > 0)
		buf_append(&websocket->opening, buf_bytes(&section->opening),
		    buf_length(&section->opening));
	websockets_read_sent(websocket, sent + 3);
	websockets_read_answers(websocket, line);
}

unsigned
websockets_load(struct websocket list[WEBSOCKETS_MAX])
{
	const char *top = getenv("srcdir");
	struct websocket section = {0};
	unsigned count = 0, number = 0;
	char path[4096], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/websockets.txt", top != NULL ? top : ".");
	file = fopen(path, "re");
	seat_must(file != NULL, path);
	while (getline(&line, &size, file) > 0) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '@') {
			websockets_read_section(&section, line);
		} else if (line[0] != '#' && line[0] != '\0') {
			seat_must(count < WEBSOCKETS_MAX, "not too many");
			list[count].line = number;
			websockets_read(&list[count++], &section, line);
		}
	}
	buf_free(&section.opening);
	free(line);
	fclose(file);
	return count;
}
