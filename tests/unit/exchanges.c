/* Reads tests/exchanges.txt. Owns nothing; what it fills in stays until the program ends. */
#include "tests/unit/exchanges.h"

#include "tests/unit/seat.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
exchanges_add(struct buf *to, const char *text)
{
	buf_append(to, text, strlen(text));
}

/* The place of the brace that ends what begins at `text`. */
static const char *
exchanges_brace(const char *text)
{
	for (int depth = 1;; text++) {
		seat_must(*text != '\0', "a repetition ends");
		depth += (*text == '{') - (*text == '}');
		if (depth == 0)
			return text;
	}
}

/* Text, a star and how often. */
static void
exchanges_repeat(struct buf *to, const char *text, const char *end)
{
	const char *star = end;
	char *part;

	while (star > text && *star != '*')
		star--;
	seat_must(star > text && isdigit((unsigned char)star[1]), "a repetition has a count");
	part = strndup(text, (size_t)(star - text));
	for (unsigned long i = strtoul(star + 1, NULL, 10); i > 0; i--)
		exchanges_expand(to, part);
	free(part);
}

static const char *
exchanges_escape(struct buf *to, const char *text)
{
	static const char names[] = "rnt\\", bytes[] = "\r\n\t\\";
	const char *found = strchr(names, *text);
	char hex[3] = {0}, byte;

	if (*text == 'x') {
		memcpy(hex, text + 1, 2);
		byte = (char)strtoul(hex, NULL, 16);
		buf_append(to, &byte, 1);
		return text + 3;
	}
	seat_must(*text != '\0' && found != NULL, "an escape is known");
	buf_append(to, &bytes[found - names], 1);
	return text + 1;
}

static void
exchanges_short(struct buf *to, char name)
{
	static const char *const shorts[128] = {
	    ['G'] = "GET /?g HTTP/1.1|Host: a|",
	    ['P'] = "POST / HTTP/1.1|Host: a|",
	    ['C'] = "$PTransfer-Encoding: chunked||",
	    ['R'] = "GET / HTTP/1.1|Host: a|",
	    ['U'] = "Connection: Upgrade|Upgrade: websocket|",
	    ['K'] = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|",
	    ['V'] = "Sec-WebSocket-Version: 13|",
	    ['W'] = "$R$U$K$V",
	    ['E'] = "Sec-WebSocket-Extensions: permessage-deflate",
	    ['N'] = "$E; server_no_context_takeover; client_no_context_takeover",
	};

	seat_must(name > 0 && shorts[(int)name] != NULL, "a short form is known");
	exchanges_expand(to, shorts[(int)name]);
}

void
exchanges_expand(struct buf *to, const char *text)
{
	while (*text != '\0') {
		const char *end;

		switch (*text++) {
		case '|':
			exchanges_add(to, "\r\n");
			break;
		case '\\':
			text = exchanges_escape(to, text);
			break;
		case '$':
			exchanges_short(to, *text++);
			break;
		case '{':
			end = exchanges_brace(text);
			exchanges_repeat(to, text, end);
			text = end + 1;
			break;
		default:
			buf_append(to, text - 1, 1);
		}
	}
}

static void
exchanges_read_answer(struct exchange *exchange, const char *word)
{
	struct exchange_answer *answer = &exchange->answers[exchange->answer_count++];
	char *end;

	seat_must(exchange->answer_count < EXCHANGES_ANSWER_MAX, "few answers");
	answer->status = (unsigned)strtoul(word, &end, 10);
	answer->kind = *end;
	if (*end == '~')
		answer->length = strtoul(end + 1, NULL, 10);
	else if (*end == '=')
		exchanges_expand(&answer->body, end + 1);
	else
		seat_must(*end == '\0', "an answer is a status");
}

static void
exchanges_read(struct exchange *exchange, char *line)
{
	char *bytes = strstr(line, " :: "), *rest;

	seat_must(bytes != NULL, "answers and bytes");
	*bytes = '\0';
	exchanges_expand(&exchange->bytes, bytes + 4);
	for (char *word = strtok_r(line, " ", &rest); word != NULL;
	     word = strtok_r(NULL, " ", &rest)) {
		seat_must(exchange->end == 0, "the end is last");
		if (isdigit((unsigned char)*word))
			exchanges_read_answer(exchange, word);
		else
			exchange->end = *word;
	}
	seat_must(exchange->end != 0 && strchr("+.?", exchange->end) != NULL, "an end");
}

unsigned
exchanges_load(struct exchange list[EXCHANGES_MAX])
{
	const char *top = getenv("srcdir");
	unsigned count = 0, number = 0;
	char path[4096], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/exchanges.txt", top != NULL ? top : ".");
	file = fopen(path, "re");
	seat_must(file != NULL, path);
	while (getline(&line, &size, file) > 0) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		seat_must(count < EXCHANGES_MAX, "not too many");
		list[count].line = number;
		exchanges_read(&list[count++], line);
	}
	free(line);
	fclose(file);
	return count;
}
