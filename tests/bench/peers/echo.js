// An echo of lines in Node: each line is a request of its own, as for hostlerd; replies to what came
// in one piece go out in one.
"use strict";

const net = require("net");

const reply = (line) => line + "\n";

const server = net.createServer({ noDelay: true }, (socket) => {
  let rest = "";
  socket.setEncoding("latin1");
  socket.on("data", (data) => {
    const lines = (rest + data).split("\n");
    rest = lines.pop();
    socket.write(lines.map(reply).join(""), "latin1");
  });
  socket.on("error", () => socket.destroy());
});

server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
