/*
 * The replies of load_http.h. Pure: no memory but the caller's. Each byte is looked at once,
 * however the stream is cut; only the chunks of a whole reply are walked again, to push them
 * together.
 *
 * Not taken although the RFC lets a client: LF alone at the end of a line, folded lines, the same
 * Content-Length twice, any transfer coding but chunked.
 */
#include "ctl/load_http.h"

#include "ctl/websocket.h"

#include <string.h>
#include <strings.h>

#define LOAD_HTTP_LENGTH_DIGITS 18 /* fits 64 bits */
#define LOAD_HTTP_CHUNK_DIGITS  15

/* A part of the input: a line without its CR LF, a word of it. */
struct load_http_text {
	const char *data;
	size_t length;
};

static bool
load_http_is(struct load_http_text text, const char *word)
{
	return text.length == strlen(word) && strncasecmp(text.data, word, text.length) == 0;
}

static bool
load_http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9110, 5.6.2 */
static bool
load_http_is_token(char c)
{
	return load_http_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* Nothing that could end or hide a line: RFC 9110, 5.5. */
static bool
load_http_is_plain(struct load_http_text text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Without the blanks around it. */
static struct load_http_text
load_http_trim(struct load_http_text text)
{
	while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.length--;
	}
	while (text.length > 0 &&
	       (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t'))
		text.length--;
	return text;
}

static const char *
load_http_read_status(struct load_http *state, struct load_http_text line)
{
	const char *at = line.data;

	if (line.length < 12 || memcmp(at, "HTTP/1.", 7) != 0 || !load_http_is_digit(at[7]) ||
	    at[8] != ' ' || (line.length > 12 && at[12] != ' ') || !load_http_is_plain(line))
		return "no status line";
	for (unsigned i = 9; i < 12; i++) {
		if (!load_http_is_digit(at[i]))
			return "no status line";
		state->status = state->status * 10 + (unsigned)(at[i] - '0');
	}
	if (state->status < 100 || state->status > 599 || (state->status == 101 && !state->accept))
		return "a status that cannot be";
	state->minor = (unsigned)(at[7] - '0');
	state->phase = LOAD_HTTP_FIELDS;
	return NULL;
}

static const char *
load_http_read_length(struct load_http *state, struct load_http_text value)
{
	if (state->has_length)
		return "two Content-Length";
	if (value.length == 0 || value.length > LOAD_HTTP_LENGTH_DIGITS)
		return "a Content-Length that is no number";
	for (size_t i = 0; i < value.length; i++) {
		if (!load_http_is_digit(value.data[i]))
			return "a Content-Length that is no number";
		state->length = state->length * 10 + (size_t)(value.data[i] - '0');
	}
	state->has_length = true;
	return NULL;
}

/* Connection: a list of words. */
static void
load_http_read_connection(struct load_http *state, struct load_http_text value)
{
	while (value.length > 0) {
		const char *comma = memchr(value.data, ',', value.length);
		size_t length = comma ? (size_t)(comma - value.data) : value.length;
		struct load_http_text word =
		    load_http_trim((struct load_http_text){value.data, length});

		state->told_close = state->told_close || load_http_is(word, "close");
		state->told_keep = state->told_keep || load_http_is(word, "keep-alive");
		state->told_upgrade = state->told_upgrade || load_http_is(word, "upgrade");
		length += comma ? 1 : 0;
		value.data += length;
		value.length -= length;
	}
}

/* Splits a header field. */
static const char *
load_http_split(
    struct load_http_text line, struct load_http_text *name, struct load_http_text *value)
{
	size_t length = 0;

	while (length < line.length && load_http_is_token(line.data[length]))
		length++;
	if (length == 0 || length == line.length || line.data[length] != ':' ||
	    !load_http_is_plain(line))
		return "a damaged header field";
	*name = (struct load_http_text){line.data, length};
	*value = load_http_trim(
	    (struct load_http_text){line.data + length + 1, line.length - length - 1});
	return NULL;
}

/* What only a 101 has to say. RFC 6455, 4.2.2; of what it may add nothing was offered. */
static const char *
load_http_read_upgrade(
    struct load_http *state, struct load_http_text name, struct load_http_text value)
{
	if (load_http_is(name, "upgrade")) {
		state->told_websocket = load_http_is(value, "websocket");
	} else if (load_http_is(name, "sec-websocket-accept")) {
		if (state->told_accept || value.length != WEBSOCKET_ACCEPT ||
		    memcmp(value.data, state->accept, WEBSOCKET_ACCEPT) != 0)
			return "a Sec-WebSocket-Accept that is not the key's";
		state->told_accept = true;
	} else if (load_http_is(name, "sec-websocket-extensions") ||
		   load_http_is(name, "sec-websocket-protocol")) {
		return "an extension or subprotocol that was not offered";
	}
	return NULL;
}

static const char *
load_http_read_upgrade_end(struct load_http *state)
{
	if (state->minor == 0)
		return "a 101 in HTTP/1.0";
	if (!state->told_upgrade || !state->told_websocket)
		return "a 101 that upgrades to no WebSocket";
	if (!state->told_accept)
		return "a 101 without Sec-WebSocket-Accept";
	if (state->has_length || state->chunked)
		return "a 101 with a body";
	state->body = state->at;
	state->phase = LOAD_HTTP_DONE;
	return NULL;
}

/* The head is whole: how the body ends. RFC 9112, 6.3. */
static const char *
load_http_read_head_end(struct load_http *state)
{
	if (state->chunked && state->has_length)
		return "both Content-Length and Transfer-Encoding";
	if (state->chunked && state->minor == 0)
		return "chunks in HTTP/1.0";
	if (state->status == 101)
		return load_http_read_upgrade_end(state);
	if (state->status < 200) {
		/* Interim: the reply itself follows. */
		*state = (struct load_http){
		    .at = state->at, .scanned = state->at, .accept = state->accept};
		return NULL;
	}
	state->body = state->at;
	if (state->status == 204 || state->status == 304) {
		state->length = 0;
		state->phase = LOAD_HTTP_DONE;
	} else if (state->chunked) {
		state->phase = LOAD_HTTP_SIZE;
	} else {
		state->phase = state->has_length ? LOAD_HTTP_LENGTH : LOAD_HTTP_CLOSE;
	}
	return NULL;
}

static const char *
load_http_read_field(struct load_http *state, struct load_http_text line)
{
	struct load_http_text name, value;
	const char *why;

	if (line.length == 0)
		return load_http_read_head_end(state);
	why = load_http_split(line, &name, &value);
	if (why)
		return why;
	if (load_http_is(name, "content-length"))
		return load_http_read_length(state, value);
	if (load_http_is(name, "connection"))
		load_http_read_connection(state, value);
	if (state->status == 101) {
		why = load_http_read_upgrade(state, name, value);
		if (why)
			return why;
	}
	if (!load_http_is(name, "transfer-encoding"))
		return NULL;
	if (state->chunked || !load_http_is(value, "chunked"))
		return "a transfer coding that was not asked for";
	state->chunked = true;
	return NULL;
}

/* The value of a hexadecimal digit, or -1. */
static int
load_http_hex(char c)
{
	if (load_http_is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A chunk's size and, not looked at, its extensions. */
static const char *
load_http_read_size(struct load_http *state, struct load_http_text line)
{
	size_t digits = 0;

	state->chunk = 0;
	for (; digits < line.length && load_http_hex(line.data[digits]) >= 0; digits++) {
		if (digits == LOAD_HTTP_CHUNK_DIGITS)
			return "a chunk too large";
		state->chunk = state->chunk * 16 + (size_t)load_http_hex(line.data[digits]);
	}
	line = load_http_trim((struct load_http_text){line.data + digits, line.length - digits});
	if (digits == 0 || (line.length > 0 && line.data[0] != ';') || !load_http_is_plain(line))
		return "a damaged chunk size";
	state->phase = state->chunk > 0 ? LOAD_HTTP_CHUNK : LOAD_HTTP_TRAILERS;
	return NULL;
}

static const char *
load_http_read_trailer(struct load_http *state, struct load_http_text line)
{
	struct load_http_text name, value;

	if (line.length > 0)
		return load_http_split(line, &name, &value);
	state->phase = LOAD_HTTP_DONE;
	return NULL;
}

/* Reads the next line. Returns false when it is not there yet; `why` is what is wrong with it. */
static bool
load_http_read_line(struct load_http *state, const char *data, size_t length, const char **why)
{
	/* Each returns what is wrong, or NULL. */
	static const char *(*const steps[])(struct load_http *, struct load_http_text) = {
	    [LOAD_HTTP_STATUS] = load_http_read_status,
	    [LOAD_HTTP_FIELDS] = load_http_read_field,
	    [LOAD_HTTP_SIZE] = load_http_read_size,
	    [LOAD_HTTP_TRAILERS] = load_http_read_trailer,
	};
	const char *lf = NULL;
	struct load_http_text line = {.data = data + state->at};
	enum load_http_phase phase = state->phase;

	if (length > state->scanned)
		lf = memchr(data + state->scanned, '\n', length - state->scanned);
	state->scanned = lf ? (size_t)(lf - data) + 1 : length;
	if (state->scanned - state->at > LOAD_HTTP_LINE_MAX)
		*why = "a line too long";
	else if (lf && (lf == line.data || lf[-1] != '\r'))
		*why = "a line that does not end with CR LF";
	if (*why || !lf)
		return *why != NULL;
	line.length = (size_t)(lf - line.data) - 1;
	state->at = state->scanned;
	*why = steps[phase](state, line);
	if (!*why && state->body == 0 && state->at > LOAD_HTTP_HEAD_MAX)
		*why = "a head too long";
	return true;
}

/* Reads a chunk and its CR LF. Returns false when they are not there yet. */
static bool
load_http_read_chunk(struct load_http *state, const char *data, size_t length, const char **why)
{
	const char *end;

	if (length - state->at < state->chunk + 2)
		return false;
	end = data + state->at + state->chunk;
	if (end[0] != '\r' || end[1] != '\n')
		*why = "a chunk that does not end with CR LF";
	state->length += state->chunk;
	state->at += state->chunk + 2;
	state->scanned = state->at;
	state->phase = LOAD_HTTP_SIZE;
	return true;
}

/* One step further: a line, a chunk, a body. Returns false when that is not there yet. */
static bool
load_http_read(struct load_http *state, const char *data, size_t length, const char **why)
{
	switch (state->phase) {
	case LOAD_HTTP_LENGTH:
		if (length - state->at < state->length)
			return false;
		state->at += state->length;
		state->phase = LOAD_HTTP_DONE;
		return true;
	case LOAD_HTTP_CLOSE:
		return false;
	case LOAD_HTTP_CHUNK:
		return load_http_read_chunk(state, data, length, why);
	default:
		return load_http_read_line(state, data, length, why);
	}
}

/* Pushes the chunks of a whole body together. They were found good before. */
static void
load_http_join(const struct load_http *state, char *data)
{
	struct load_http walk = {.phase = LOAD_HTTP_SIZE, .at = state->body, .body = state->body};
	char *to = data + state->body;
	const char *why = NULL;

	walk.scanned = walk.at;
	while (walk.length < state->length) {
		load_http_read(&walk, data, state->at, &why);
		memmove(to, data + walk.at, walk.chunk);
		to += walk.chunk;
		load_http_read(&walk, data, state->at, &why);
	}
}

static enum load_http_found
load_http_finish(struct load_http *state, char *data, struct load_http_reply *reply)
{
	if (state->chunked && state->status != 204 && state->status != 304)
		load_http_join(state, data);
	*reply = (struct load_http_reply){
	    .status = state->status,
	    .closes = state->told_close || (state->minor == 0 && !state->told_keep),
	    .body = data + state->body,
	    .length = state->length,
	    .used = state->at,
	};
	*state = (struct load_http){0};
	return LOAD_HTTP_REPLY;
}

static enum load_http_found
load_http_refuse(struct load_http *state, struct load_http_reply *reply, const char *why)
{
	*state = (struct load_http){0};
	*reply = (struct load_http_reply){.why = why};
	return LOAD_HTTP_BAD;
}

/* Whether what is known of the body already is more than it may have. */
static bool
load_http_is_too_large(const struct load_http *state, size_t length, size_t max)
{
	size_t known = length - state->body;

	if (state->body == 0)
		return false;
	if (state->phase == LOAD_HTTP_LENGTH)
		known = state->length;
	else if (state->phase == LOAD_HTTP_CHUNK)
		known = state->at - state->body + state->chunk;
	else if (state->phase != LOAD_HTTP_CLOSE)
		known = state->at - state->body;
	return known > max;
}

enum load_http_found
load_http_find(
    struct load_http *state, char *data, size_t length, size_t max, struct load_http_reply *reply)
{
	const char *why = NULL;
	bool found = true;

	while (found && !why && state->phase != LOAD_HTTP_DONE) {
		found = load_http_read(state, data, length, &why);
		if (!why && load_http_is_too_large(state, length, max))
			why = "a body larger than any can be";
	}
	if (why)
		return load_http_refuse(state, reply, why);
	return found ? load_http_finish(state, data, reply) : LOAD_HTTP_MORE;
}

enum load_http_found
load_http_end(struct load_http *state, char *data, size_t length, struct load_http_reply *reply)
{
	if (length == 0)
		return LOAD_HTTP_MORE;
	if (state->phase != LOAD_HTTP_CLOSE)
		return load_http_refuse(state, reply, "a reply that is cut short");
	state->length = length - state->at;
	state->at = length;
	state->told_close = true;
	return load_http_finish(state, data, reply);
}
