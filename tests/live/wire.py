"""Bytes as tests/exchanges.txt and tests/websockets.txt write them."""

import re

SHORT = {
    "G": "GET /?g HTTP/1.1|Host: a|",
    "P": "POST / HTTP/1.1|Host: a|",
    "C": "$PTransfer-Encoding: chunked||",
    "R": "GET / HTTP/1.1|Host: a|",
    "U": "Connection: Upgrade|Upgrade: websocket|",
    "K": "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|",
    "V": "Sec-WebSocket-Version: 13|",
    "W": "$R$U$K$V",
    "E": "Sec-WebSocket-Extensions: permessage-deflate",
    "N": "$E; server_no_context_takeover; client_no_context_takeover",
}
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
PIECE = re.compile(r"\\x(?P<hex>..)|\\(?P<escape>.)|\$(?P<short>.)|(?P<line>\|)|(?P<brace>\{)"
                   r"|(?P<plain>[^\\$|{]+)")


def brace_end(text, at):
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at


def expand(text):
    made, at = b"", 0
    while at < len(text):
        found = PIECE.match(text, at)
        at = found.end()
        if found["hex"]:
            made += bytes.fromhex(found["hex"])
        elif found["escape"]:
            made += ESCAPES[found["escape"]]
        elif found["short"]:
            made += expand(SHORT[found["short"]])
        elif found["line"]:
            made += b"\r\n"
        elif found["brace"]:
            end = brace_end(text, at)
            part, count = text[at:end - 1].rsplit("*", 1)
            made += expand(part) * int(count)
            at = end
        else:
            made += found["plain"].encode()
    return made
