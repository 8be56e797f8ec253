/*
 * The handshake of WebSocket (RFC 6455, 4.2): whether an HTTP request may become one, and with what
 * fields it is told so. Pure.
 */
#ifndef WORKERS_WS_HANDSHAKE_H
#define WORKERS_WS_HANDSHAKE_H

#include "common/buf.h"
#include "workers/http.h"

#define WS_KEY_LENGTH         24 /* characters: 16 bytes in base64 */
#define WS_ACCEPT_LENGTH      28 /* characters of what they are answered with */
#define WS_HANDSHAKE_VERSIONS "Sec-WebSocket-Version: 13\r\n"

struct conf_service;

/*
 * Judges a request that is whole. Returns 101 where it may become one, and *bits is the window to
 * pack messages with, 0 where they are not packed; else the status of the refusal. Appends what the
 * reply has to say beside Upgrade and Connection, each field with its line end.
 */
unsigned ws_handshake_read(const struct conf_service *conf, const struct http_request *request,
    const char *data, struct buf *fields, unsigned *bits);

/* 4.2.2, 5.4: what a key is answered with; no NUL is added. */
void ws_handshake_accept(char accept[WS_ACCEPT_LENGTH], const char key[WS_KEY_LENGTH]);

#endif
