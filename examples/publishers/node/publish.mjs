// Start a run by an event, with the client library of NATS:
//
//     npm install && node publish.mjs nats://127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON. Prints the server's answer.
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const [servers, to, key, event] = process.argv.slice(2);
const { NATS_USER: user, NATS_PASSWORD: pass, NATS_CA: caFile, NATS_INBOX_PREFIX: inboxPrefix = "_INBOX" } = process.env;
const subject = to.includes(".") ? to : `events.${to}`;

try {
  const nats = await connect({ servers, user, pass, inboxPrefix, tls: caFile ? { caFile } : undefined });
  // What is not answered is published again: with the same id it stays one event.
  const answer = await jetstream(nats).publish(subject, event, { msgID: `${to}-${key}`, timeout: 5_000, retries: 3 });
  console.log(JSON.stringify(answer));
  await nats.close();
} catch (error) {
  console.error(`not published: ${error}`);
  process.exit(1);
}
