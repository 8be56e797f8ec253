/*
 * The answer to the key of a handshake (websocket.h): the one part of RFC 6455 for which a client
 * wants a library. Owns nothing.
 */
#include "ctl/websocket.h"

#include "common/base64.h"

#include <sys/types.h>

#include <sha1.h>

/* Section 1.3 */
static const char websocket_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

void
websocket_accept(const char key[WEBSOCKET_KEY_TEXT], char accept[WEBSOCKET_ACCEPT])
{
	uint8_t digest[SHA1_DIGEST_LENGTH];
	SHA1_CTX context;

	SHA1Init(&context);
	SHA1Update(&context, (const uint8_t *)key, WEBSOCKET_KEY_TEXT);
	SHA1Update(&context, (const uint8_t *)websocket_guid, sizeof(websocket_guid) - 1);
	SHA1Final(digest, &context);
	base64_encode(accept, digest, sizeof(digest));
}
