/*
 * line: LF ends a message, one CR before it is dropped and that reply gets a CR too, an empty line
 * is a message, and so is a rest without LF at the end of the input.
 */
#include "workers/conn.h"
#include "workers/proto.h"
#include "workers/req.h"

static size_t
proto_line_input(struct conn *conn, const char *data, size_t length)
{
	return proto_input_messages(conn, CODEC_LINE, data, length);
}

static void
proto_line_end(struct conn *conn, const char *data, size_t length)
{
	bool with_cr = length > 0 && data[length - 1] == '\r';

	req_submit(conn, data, length - with_cr, with_cr);
}

static bool
proto_line_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	if (!codec_can_carry(CODEC_LINE, data, length))
		return false;
	proto_write_message(conn, CODEC_LINE, req->with_cr, data, length);
	return true;
}

static void
proto_line_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	proto_refuse_message(conn, CODEC_LINE, req, outcome);
}

extern const struct proto proto_line;
const struct proto proto_line = {
    .input = proto_line_input,
    .end = proto_line_end,
    .reply = proto_line_reply,
    .refuse = proto_line_refuse,
};
