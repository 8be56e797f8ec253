/* The table of protocols, and what the two that carry messages have in common. */
#include "workers/proto.h"
#include "workers/conn.h"
#include "workers/req.h"
#include "workers/service.h"

#include <string.h>

#define X(constant, name, help) extern const struct proto proto_##name;
PROTOCOLS(X)
#undef X

const struct proto *
proto_find(enum protocol_kind kind)
{
	static const struct proto *const table[] = {
#define X(constant, name, help) &proto_##name,
	    PROTOCOLS(X)
#undef X
	};

	return table[kind];
}

size_t
proto_input_messages(struct conn *conn, enum codec codec, const char *data, size_t length)
{
	size_t max = conn->service->conf->max_message;
	struct codec_message message;
	size_t used = 0;

	while (used < length && conn_may_take(conn)) {
		switch (
		    codec_find(codec, data + used, length - used, max, &conn->scanned, &message)) {
		case CODEC_MORE:
			return used;
		case CODEC_TOO_LARGE:
			req_refuse(conn, OUTCOME_TOO_LARGE);
			conn_end_input(conn);
			return length;
		case CODEC_BAD:
			used += message.used;
			req_refuse(conn, OUTCOME_BAD);
			break;
		case CODEC_MESSAGE:
			conn->scanned = 0;
			used += message.used;
			req_submit(conn, message.data, message.length, message.tag);
			break;
		}
	}
	return used;
}

void
proto_write_message(
    struct conn *conn, enum codec codec, bool with_cr, const char *data, size_t length)
{
	char head[CODEC_HEAD_MAX], tail[CODEC_TAIL_MAX];
	size_t before = codec_head(codec, length, head);
	size_t after = codec_tail(codec, with_cr, tail);
	char *out = buf_reserve(&conn->out, before + length + after);

	memcpy(out, head, before);
	if (length > 0)
		memcpy(out + before, data, length);
	memcpy(out + before + length, tail, after);
	buf_added(&conn->out, before + length + after);
}

void
proto_refuse_message(
    struct conn *conn, enum codec codec, const struct req *req, enum outcome outcome)
{
	const char *text = outcome_text(outcome);

	proto_write_message(conn, codec, req->with_cr, text, strlen(text));
}
