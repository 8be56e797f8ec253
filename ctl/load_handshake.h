/* How a WebSocket begins, and what its end means: for load_conn.c and load_ask.c. */
#ifndef CTL_LOAD_HANDSHAKE_H
#define CTL_LOAD_HANDSHAKE_H

#include "common/addr.h"
#include "common/buf.h"
#include "ctl/load_check.h"
#include "ctl/websocket.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Appends the request for a WebSocket, with a new key; `accept` becomes what has to come back,
 * which `answer` knows.
 */
void load_handshake_make(struct buf *out, websocket_answer *answer, const struct addr *address,
    const char *path, char accept[WEBSOCKET_ACCEPT]);
/* Appends one masked frame: a whole message or a control frame. */
void load_handshake_frame(
    struct buf *out, enum websocket_opcode opcode, const char *data, size_t length);
/* Appends a Close with that code, or with none for WEBSOCKET_NO_CODE. */
void load_handshake_close(struct buf *out, unsigned code);
/*
 * Whether a Close with that code and reason says that a request could not be answered, and how. If
 * not, the server only ends the connection.
 */
bool load_handshake_error(unsigned code, const char *reason, size_t length, enum load_error *error);

#endif
