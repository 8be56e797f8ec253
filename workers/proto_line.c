/*
 * line: LF ends a message, one CR before it is dropped and that reply gets a CR too, an empty line
 * is a message, and so is a rest without LF at the end of the input. The request's tag is whether
 * it had a CR.
 *
 * With reply_end a reply is several lines and then that line; so is an error, so that a client can
 * always read on to there.
 */
#include "workers/conn.h"
#include "workers/proto.h"
#include "workers/req.h"
#include "workers/service.h"
#include "workers/visit.h"

#include <string.h>

static size_t
proto_line_input(struct conn *conn, const char *data, size_t length)
{
	return proto_input_messages(conn, CODEC_LINE, data, length);
}

static void
proto_line_end(struct conn *conn, const char *data, size_t length)
{
	bool with_cr = length > 0 && data[length - 1] == '\r';

	if (visit_may_ask(conn))
		req_submit(conn, data, length - with_cr, with_cr);
	else
		conn_close(conn, "its address asks too often");
}

static bool
proto_line_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	if (!codec_can_carry(CODEC_LINE, data, length))
		return false;
	proto_write_message(conn, CODEC_LINE, req->tag, data, length);
	return true;
}

static void
proto_line_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	proto_refuse_message(conn, CODEC_LINE, req, outcome);
}

extern const struct proto proto_line;
const struct proto proto_line = {
    .name = "line",
    .input = proto_line_input,
    .end = proto_line_end,
    .reply = proto_line_reply,
    .refuse = proto_line_refuse,
    .freeze = proto_freeze_messages,
    .thaw = proto_thaw_messages,
    .version = PROTO_MESSAGES_VERSION,
};

/* ---- reply_end ---- */

/* Lines without the last one's LF, each with the ending that the request had. */
static void
proto_line_several_write(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	const char *end = data + length, *lf;

	do {
		lf = memchr(data, '\n', (size_t)(end - data));
		length = (size_t)((lf != NULL ? lf : end) - data);
		if (lf != NULL && length > 0 && data[length - 1] == '\r')
			length--;
		proto_write_message(conn, CODEC_LINE, req->tag, data, length);
		if (lf != NULL)
			data = lf + 1;
	} while (lf != NULL);
}

static void
proto_line_several_end(struct conn *conn, const struct req *req)
{
	const char *end = conn->service->conf->reply_end;

	proto_write_message(conn, CODEC_LINE, req->tag, end, strlen(end));
}

static bool
proto_line_several_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	if (data != NULL)
		proto_line_several_write(conn, req, data, length);
	proto_line_several_end(conn, req);
	return true;
}

static void
proto_line_several_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	proto_refuse_message(conn, CODEC_LINE, req, outcome);
	proto_line_several_end(conn, req);
}

extern const struct proto proto_line_several;
const struct proto proto_line_several = {
    .name = "line, several",
    .input = proto_line_input,
    .end = proto_line_end,
    .reply = proto_line_several_reply,
    .refuse = proto_line_several_refuse,
    .freeze = proto_freeze_messages,
    .thaw = proto_thaw_messages,
    .version = PROTO_MESSAGES_VERSION,
};
