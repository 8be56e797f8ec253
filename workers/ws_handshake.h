/*
 * The handshake of WebSocket (RFC 6455, 4.2): whether an HTTP request may become one, and with what
 * fields it is told so. Pure.
 */
#ifndef WORKERS_WS_HANDSHAKE_H
#define WORKERS_WS_HANDSHAKE_H

#include "workers/http.h"

#define WS_KEY_LENGTH         24  /* characters: 16 bytes in base64 */
#define WS_ACCEPT_LENGTH      28  /* characters of what they are answered with */
#define WS_FIELDS_MAX         512 /* bytes of fields, with a NUL */
#define WS_SUBPROTOCOL_MAX    128 /* characters of the name of one that can be agreed on */
#define WS_HANDSHAKE_FIELDS   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define WS_HANDSHAKE_VERSIONS "Sec-WebSocket-Version: 13\r\n"

struct conf_service;

struct ws_handshake {
	unsigned bits; /* of the window that messages are packed with; 0: they are not */
	char fields[WS_FIELDS_MAX]; /* of the 101, or of the refusal; each with its line end */
};

/*
 * Judges a request that is whole. Returns 0 where it may become one, and what the 101 says is in
 * `fields`; else the status of the refusal.
 */
unsigned ws_handshake_read(struct ws_handshake *handshake, const struct http_request *request,
    const char *data, const struct conf_service *conf);

/* 4.2.2, 5.4: what a key is answered with; no NUL is added. */
void ws_handshake_accept(char accept[WS_ACCEPT_LENGTH], const char key[WS_KEY_LENGTH]);

#endif
