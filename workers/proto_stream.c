/* stream: bytes as they come; each chunk that was read is a request, replies are bare bytes. */
#include "workers/conn.h"
#include "workers/proto.h"
#include "workers/req.h"
#include "workers/service.h"

static size_t
proto_stream_input(struct conn *conn, const char *data, size_t length)
{
	size_t max = conn->service->conf->max_message;
	size_t used = 0;

	while (used < length && conn_may_take(conn)) {
		size_t chunk = length - used < max ? length - used : max;

		req_submit(conn, data + used, chunk, 0);
		used += chunk;
	}
	return used;
}

static void
proto_stream_end(struct conn *conn, const char *data, size_t length)
{
	req_submit(conn, data, length, 0);
}

static bool
proto_stream_reply(struct conn *conn, const struct req *req, const char *data, size_t length)
{
	(void)req;
	buf_append(&conn->busy->out, data, length);
	return true;
}

static void
proto_stream_refuse(struct conn *conn, const struct req *req, enum outcome outcome)
{
	/* A stream has no place for a word of ours: it ends. */
	(void)req;
	(void)outcome;
	conn_end_input(conn);
}

extern const struct proto proto_stream;
const struct proto proto_stream = {
    .name = "stream",
    .input = proto_stream_input,
    .end = proto_stream_end,
    .reply = proto_stream_reply,
    .refuse = proto_stream_refuse,
    .freeze = proto_freeze_messages,
    .thaw = proto_thaw_messages,
    .version = PROTO_MESSAGES_VERSION,
};
