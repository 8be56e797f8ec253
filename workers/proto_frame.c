/* frame: four bytes, big-endian, give the length of the payload that follows; replies likewise. */
#include "workers/conn.h"
#include "workers/proto.h"
#include "workers/req.h"

static size_t
proto_frame_input(struct conn *conn, const char *data, size_t length)
{
	return proto_input_messages(conn, CODEC_FRAME, data, length);
}

static void
proto_frame_end(struct conn *conn, const char *data, size_t length)
{
	(void)data;
	(void)length;
	req_refuse(conn, OUTCOME_BAD); /* a frame that was cut short */
}

static bool
proto_frame_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	if (!codec_can_carry(CODEC_FRAME, data, length))
		return false;
	proto_write_message(conn, CODEC_FRAME, req->with_cr, data, length);
	return true;
}

static void
proto_frame_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	proto_refuse_message(conn, CODEC_FRAME, req, outcome);
}

extern const struct proto proto_frame;
const struct proto proto_frame = {
    .input = proto_frame_input,
    .end = proto_frame_end,
    .reply = proto_frame_reply,
    .refuse = proto_frame_refuse,
};
