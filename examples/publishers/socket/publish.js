// Publish an event and wait until it is on disk. Nothing but Node.js.
//
//     node publish.js 127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON.
// Prints the server's answer; exits 1 if the event was refused or nobody answered.
const net = require("node:net");

const [server, to, key, event] = process.argv.slice(2);
if (event === undefined) {
  console.error("usage: node publish.js HOST:PORT FLOW|SUBJECT KEY JSON");
  process.exit(2);
}
const [host, port] = server.split(":");
const subject = to.includes(".") ? to : `events.${to}`;
const inbox = `_INBOX.${process.pid}.${Date.now()}`;
const header = Buffer.from(`NATS/1.0\r\nNats-Msg-Id: ${to}-${key}\r\n\r\n`);
const body = Buffer.from(event);

const socket = net.connect(Number(port), host, () => {
  socket.write('CONNECT {"verbose":false,"headers":true,"no_responders":true,"name":"publish.js"}\r\n');
  socket.write(`SUB ${inbox} 1\r\n`);
  socket.write(`HPUB ${subject} ${inbox} ${header.length} ${header.length + body.length}\r\n`);
  socket.write(Buffer.concat([header, body, Buffer.from("\r\n")]));
});
socket.setTimeout(10_000, () => fail("no answer: it may be stored; publish it again with the same key"));
socket.on("error", (error) => fail(error.message));

let received = "";
socket.on("data", (data) => {
  received += data;
  const refusal = /^-ERR (.*)\r\n/m.exec(received);
  if (refusal) fail(refusal[1]);
  if (/^HMSG .*\r\nNATS\/1.0 503/m.test(received)) fail(`nobody takes ${subject}: no coordinator was ever started here, or no flow listens`);
  const answer = /^MSG \S+ 1 \d+\r\n(\{.*\})\r\n/m.exec(received);
  if (!answer) return;
  if (JSON.parse(answer[1]).error) fail(answer[1]);
  console.log(answer[1]);
  socket.end();
});

function fail(reason) {
  console.error(`not published: ${reason}`);
  process.exit(1);
}
