/*
 * What a connection of a run says beside its messages where they travel over a WebSocket: the
 * handshake, pongs, Close.
 */
#ifndef CTL_LOAD_SESSION_H
#define CTL_LOAD_SESSION_H

#include "ctl/load_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct load_conn;

/* The socket is connected: asks for a WebSocket. */
void load_session_greet(struct load_conn *conn);
/*
 * Something came behind that. Returns how many bytes the answer has if it is a good one, 0 if it is
 * not whole yet, -1 if the connection was ended.
 */
ssize_t load_session_read(struct load_conn *conn, char *data, size_t length);
/* Instead of the rest of an answer came the end of the connection, which is ended here, too. */
void load_session_fail(struct load_conn *conn);
/* A control frame came: answers it, books what a Close says. */
void load_session_hear(struct load_conn *conn, const struct load_wire_reply *reply, uint64_t now);
/* Whether the next byte begins a Close. */
bool load_session_is_close(const struct load_conn *conn, char byte);
/* Says Close; the server's is awaited. False where there is nothing to say. */
bool load_session_leave(struct load_conn *conn);

#endif
