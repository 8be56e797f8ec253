/*
 * Fuzzing of what a program says with message = json: any bytes. What goes out for it is a head of
 * which nothing was said by the program but a status, a type and fields that it may set, each on
 * one line, and a body as long as the head says; or it is refused with a reason.
 *
 * Bit 1 of the first byte: hostlerd answers for other origins; 2: to a HEAD. The rest is the reply.
 */
#include "tests/unit/seat.h"
#include "workers/http.h"
#include "workers/http_json.h"
#include "workers/http_reply.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was found in a head. */
struct fuzz_head {
	unsigned dates, lengths, types, closes;
	size_t length;
};

/* Behind the name of a field of that line, or NULL. */
static const char *
fuzz_field(const char *line, const char *name)
{
	size_t length = strlen(name);

	return strncasecmp(line, name, length) == 0 && line[length] == ':' ? line + length + 1
									   : NULL;
}

static void
fuzz_read_field(struct fuzz_head *head, const char *line, bool has_cors)
{
	static const char *const never[] = {
	    "Transfer-Encoding", "Keep-Alive", "Trailer", "Upgrade", "TE", "X-Request-Id"};
	const char *length = fuzz_field(line, "Content-Length");

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		seat_must(fuzz_field(line, never[i]) == NULL, "a field of ours");
	seat_must(!has_cors || fuzz_field(line, "Access-Control-Allow-Origin") == NULL,
	    "origins are ours");
	seat_must(line[strcspn(line, ": \t")] == ':' && *line != ':', "a name and a colon");
	head->dates += fuzz_field(line, "Date") != NULL;
	head->types += fuzz_field(line, "Content-Type") != NULL;
	head->closes += fuzz_field(line, "Connection") != NULL;
	head->lengths += length != NULL;
	if (length != NULL)
		head->length = strtoul(length, NULL, 10);
}

/* Returns the place behind the head. `text` ends with a NUL that is none of it. */
static char *
fuzz_read_head(struct fuzz_head *head, char *text, const char *end, bool has_cors)
{
	bool first = true;

	for (;;) {
		char *line = text, *lf = memchr(text, '\n', (size_t)(end - text));

		seat_must(lf != NULL && lf > line && lf[-1] == '\r', "a line ends with CR LF");
		text = lf + 1;
		lf[-1] = '\0';
		seat_must(strlen(line) == (size_t)(lf - 1 - line), "no NUL");
		for (const char *at = line; *at != '\0'; at++)
			seat_must(((unsigned char)*at >= ' ' && *at != 0x7f) || *at == '\t',
			    "no control character");
		if (*line == '\0')
			return text;
		if (!first)
			fuzz_read_field(head, line, has_cors);
		first = false;
	}
}

static void
fuzz_must_be_whole(const struct http_answer *answer, unsigned flags, bool has_cors)
{
	struct http_reply reply = {.status = answer->status,
	    .flags = flags,
	    .type = answer->type != NULL ? answer->type : "text/plain",
	    .fields = buf_bytes(&answer->fields),
	    .has_server = answer->names_server};
	bool has_length = answer->status != 204 && answer->status != 304;
	struct fuzz_head head = {0};
	struct buf out = {0};
	char *body, *end;

	http_reply_write(&out, &reply, answer->body, answer->length);
	buf_append(&out, "", 1);
	end = buf_bytes(&out) + buf_length(&out) - 1;
	body = fuzz_read_head(&head, buf_bytes(&out), end, has_cors);
	seat_must(head.dates == 1 && head.closes == 1, "what we say is said once");
	seat_must(head.lengths == has_length && head.types == has_length, "its length is known");
	if (!has_length || (flags & HTTP_REPLY_NO_BODY))
		seat_must(body == end, "no body");
	else
		seat_must((size_t)(end - body) == head.length && head.length == answer->length,
		    "as long as it says");
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[HTTP_ANSWER_WHY_MAX] = "";
	struct http_answer answer;
	bool has_cors;
	char *text;

	if (size < 1)
		return 0;
	has_cors = data[0] & 1;
	/* A copy without a byte behind it, so that reading too far is noticed. */
	text = malloc(size - 1 + (size == 1));
	memcpy(text, data + 1, size - 1);
	if (http_answer_read(&answer, text, size - 1, has_cors, why)) {
		seat_must(answer.status >= 200 && answer.status <= 599, "a status");
		fuzz_must_be_whole(&answer,
		    HTTP_REPLY_CLOSE | (data[0] & 2 ? (unsigned)HTTP_REPLY_NO_BODY : 0), has_cors);
	} else {
		seat_must(*why != '\0' && memchr(why, '\0', sizeof(why)) != NULL, "a reason");
	}
	http_answer_free(&answer);
	free(text);
	return 0;
}
