/* The table of protocols and their variants, and what those that carry messages have in common. */
#include "workers/proto.h"
#include "workers/conn.h"
#include "workers/req.h"
#include "workers/service.h"
#include "workers/visit.h"

#include <string.h>

#define X(constant, name, in, help) in(extern const struct proto proto_##name;)
PROTOCOLS(X)
#undef X
extern const struct proto proto_frame_ids, proto_line_several;

static const struct proto *const proto_table[PROTOCOL_COUNT] = {
#define X(constant, name, in, help) in([PROTOCOL_##constant] = &proto_##name, )
    PROTOCOLS(X)
#undef X
};

const struct proto *
proto_find(const struct conf_service *conf)
{
	/* What comes first is its handshake. */
	if (conf->protocol == PROTOCOL_WEBSOCKET)
		return proto_table[PROTOCOL_HTTP];
	if (conf->protocol == PROTOCOL_FRAME && conf->ids)
		return &proto_frame_ids;
	if (conf->protocol == PROTOCOL_LINE && conf->reply_end != NULL)
		return &proto_line_several;
	return proto_table[conf->protocol];
}

const struct proto *
proto_named(const struct conf_service *conf, const char *name)
{
	const struct proto *first = proto_find(conf), *own = proto_table[conf->protocol];

	if (strcmp(first->name, name) == 0)
		return first;
	return own->named != NULL ? own->named(name) : NULL;
}

void
proto_refuse_rest(struct conn *conn, enum outcome outcome)
{
	const struct proto *proto = conn->proto;
	uint32_t tag = 0;

	if (proto->peek != NULL)
		tag = proto->peek(buf_bytes(&conn->busy->in), buf_length(&conn->busy->in));
	req_refuse(conn, outcome, tag);
}

size_t
proto_input_messages(struct conn *conn, enum codec codec, const char *data, size_t length)
{
	size_t max = conn->service->conf->max_message;
	struct codec_message message;
	size_t used = 0;

	while (used < length && conn_may_take(conn)) {
		switch (codec_find(
		    codec, data + used, length - used, max, &conn->busy->scanned, &message)) {
		case CODEC_MORE:
			return used;
		case CODEC_TOO_LARGE:
			req_refuse(conn, OUTCOME_TOO_LARGE, codec == CODEC_IDS ? message.tag : 0);
			conn_end_input(conn);
			return length;
		case CODEC_BAD:
			used += message.used;
			req_refuse(conn, OUTCOME_BAD, 0);
			break;
		case CODEC_MESSAGE:
			used += message.used;
			if (!visit_may_ask(conn)) {
				conn_close(conn, "its address asks too often");
				return used;
			}
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
	char *out = buf_reserve(&conn->busy->out, before + length + after);

	memcpy(out, head, before);
	if (length > 0)
		memcpy(out + before, data, length);
	memcpy(out + before + length, tail, after);
	buf_added(&conn->busy->out, before + length + after);
}

void
proto_refuse_message(
    struct conn *conn, enum codec codec, const struct req *req, enum outcome outcome)
{
	const char *text = outcome_text(outcome);

	proto_write_message(conn, codec, req->tag, text, strlen(text));
}

/* How far the unfinished message was looked through. */
void
proto_freeze_messages(const struct conn *conn, struct buf *state)
{
	uint64_t scanned = conn->busy->scanned;

	buf_append(state, &scanned, sizeof(scanned));
}

bool
proto_thaw_messages(struct conn *conn, const char *state, size_t length)
{
	uint64_t scanned;

	if (length != sizeof(scanned))
		return false;
	memcpy(&scanned, state, sizeof(scanned));
	if (scanned > buf_length(&conn->busy->in))
		return false;
	conn->busy->scanned = (size_t)scanned;
	return true;
}
