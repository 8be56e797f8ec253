/*
 * frame: four bytes, big-endian, give the length of the payload that follows; replies likewise.
 *
 * With ids the payload follows an id of four bytes that the client chose, and a reply says to which
 * request it belongs: length, the same id, a byte of status, payload. So replies need no order, and
 * an error cannot be taken for a reply.
 */
#include "workers/conn.h"
#include "workers/proto.h"
#include "workers/req.h"
#include "workers/service.h"

#include <string.h>

#define PROTO_FRAME_IDS_HEAD (CODEC_IDS_HEAD + 1) /* with the status */

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
	req_refuse(conn, OUTCOME_BAD, 0); /* a frame that was cut short */
}

static bool
proto_frame_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	if (!codec_can_carry(CODEC_FRAME, data, length))
		return false;
	proto_write_message(conn, CODEC_FRAME, req->tag, data, length);
	return true;
}

static void
proto_frame_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	proto_refuse_message(conn, CODEC_FRAME, req, outcome);
}

extern const struct proto proto_frame;
const struct proto proto_frame = {
    .name = "frame",
    .input = proto_frame_input,
    .end = proto_frame_end,
    .reply = proto_frame_reply,
    .refuse = proto_frame_refuse,
    .freeze = proto_freeze_messages,
    .thaw = proto_thaw_messages,
    .version = PROTO_MESSAGES_VERSION,
};

/* ---- ids = yes ---- */

static size_t
proto_frame_ids_input(struct conn *conn, const char *data, size_t length)
{
	return proto_input_messages(conn, CODEC_IDS, data, length);
}

static uint32_t
proto_frame_ids_peek(const char *data, size_t length)
{
	return length < CODEC_IDS_HEAD ? 0 : codec_number(data + CODEC_NUMBER);
}

static void
proto_frame_ids_end(struct conn *conn, const char *data, size_t length)
{
	uint64_t max = conn->service->conf->max_message;

	/* Too large was known, but its id did not come any more. */
	if (length >= CODEC_NUMBER && codec_number(data) > max + CODEC_NUMBER)
		req_refuse(conn, OUTCOME_TOO_LARGE, 0);
	else
		req_refuse(conn, OUTCOME_BAD, proto_frame_ids_peek(data, length));
}

static void
proto_frame_ids_write(
    struct conn *conn, const struct req *req, char status, const char *data, size_t length)
{
	char *out = buf_reserve(&conn->busy->out, PROTO_FRAME_IDS_HEAD + length);

	codec_head_ids(req->tag, 1 + length, out);
	out[CODEC_IDS_HEAD] = status;
	if (length > 0)
		memcpy(out + PROTO_FRAME_IDS_HEAD, data, length);
	buf_added(&conn->busy->out, PROTO_FRAME_IDS_HEAD + length);
}

static bool
proto_frame_ids_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	if (length == SIZE_MAX || !codec_can_carry(CODEC_IDS, data, 1 + length))
		return false;
	proto_frame_ids_write(conn, req, 0, data, length);
	return true;
}

static void
proto_frame_ids_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	static const char statuses[] = {
	    [OUTCOME_BUSY] = 1,
	    [OUTCOME_TIMEOUT] = 2,
	    [OUTCOME_FAILED] = 3,
	    [OUTCOME_TOO_LARGE] = 4,
	    [OUTCOME_BAD] = 5,
	};

	proto_frame_ids_write(conn, req, statuses[outcome], NULL, 0);
}

extern const struct proto proto_frame_ids;
const struct proto proto_frame_ids = {
    .name = "frame, ids",
    .input = proto_frame_ids_input,
    .end = proto_frame_ids_end,
    .reply = proto_frame_ids_reply,
    .refuse = proto_frame_ids_refuse,
    .peek = proto_frame_ids_peek,
    .any_order = true,
    .freeze = proto_freeze_messages,
    .thaw = proto_thaw_messages,
    .version = PROTO_MESSAGES_VERSION,
};
