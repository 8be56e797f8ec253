// An echo of WebSocket messages in Node, by the module ws; nothing is compressed.
"use strict";

const load = () => {
  try {
    return require("ws");
  } catch {
    return require("/usr/share/nodejs/ws"); // where Debian's package puts it
  }
};
const { WebSocketServer } = load();

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096, perMessageDeflate: false });
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("error", () => socket.terminate());
});
server.on("listening", () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
