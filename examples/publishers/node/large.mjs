// Send a large message to a queue, wait for its run, and read the run's large output, with the client library of NATS:
//
//     npm install && node large.mjs nats://127.0.0.1:4222 queue.scans scans/in scan-17 scan.tiff > result.tiff
//
// Arguments: server, subject of the queue, flow/trigger that takes from it, idempotency key, file. What is on the disk counts as bytes.
// docs/protocol.md has all of this: "A message for a queue", "Waiting for a run", "Large values".
import { createHash } from "node:crypto";
import { readFileSync, writeSync } from "node:fs";
import { decode, encode, ExtData, ExtensionCodec } from "@msgpack/msgpack";
import { jetstream } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";

const REF = 1;
const [CODEC, LENGTH, HOST, DIGEST, KEY] = [0, 1, 3, 9, 10];
const [servers, subject, taker, key, file] = process.argv.slice(2);
const [flow, trigger] = taker.split("/");
const run = `${flow}-${sha256(`${flow} ${trigger}/${key}`).slice(0, 16)}`;

const extensionCodec = new ExtensionCodec();
extensionCodec.register({ type: REF, encode: () => null, decode: (bytes) => ({ bytes, ref: decode(bytes) }) });

const nats = await connect({ servers });
const ended = nats.subscribe("ended.*"); // before it is published: a notice is sent once
const bytes = headers();
bytes.set("Content-Type", "application/octet-stream");
await jetstream(nats).publish(subject, readFileSync(file), { msgID: key, headers: bytes, retries: 3 });

const [status, output, error] = await end();
if (status !== "completed") throw new Error(`run ${run} ${status}: ${error}`);
for (const chunk of await content(decode(output, { extensionCodec }))) writeSync(1, chunk);
await nats.close();

/** How the run ended. The output of a notice is nil where it is longer than 4 KiB: then the owner of the partition is asked. */
async function end() {
  for await (const notice of ended) {
    const found = decode(notice.data).find(([id]) => id === run);
    if (!found) continue;
    const [, status, , output, error] = found;
    const partition = notice.subject.split(".")[1];
    return [status, output ?? (await ask(`run.${partition}`, encode([run])))[3], error];
  }
}

/** The bytes of a value: those that travelled along, or the chunks of what its ref names, compared with the digest. */
async function content(value) {
  if (!value.ref) return [value];
  if (value.ref[CODEC] !== "bytes" || value.ref[KEY]) throw new Error(`this reads plain bytes, and not ${value.ref[CODEC]}`);
  const digest = value.ref[DIGEST] || (await uploaded(value));
  const [, , chunkBytes] = await ask(`$JS.API.DIRECT.GET.OBJECTS.object.meta.${digest}`);
  const numbers = [...Array(Math.ceil(value.ref[LENGTH] / chunkBytes)).keys()];
  const answers = await Promise.all(numbers.map((n) => nats.request(`$JS.API.DIRECT.GET.OBJECTS.object.chunk.${digest}.${n}`)));
  const chunks = answers.map((answer) => answer.data);
  if (sha256(Buffer.concat(chunks)) !== digest) throw new Error(`the object ${digest} is not what it should be`);
  return chunks;
}

/** What lies in the arena of a host is uploaded by whoever has it; its digest then. */
async function uploaded({ bytes, ref }) {
  for (;;) {
    const [kind, text] = await ask(`upload.${ref[HOST]}`, encode(new ExtData(REF, bytes)));
    if (kind === 1) return text;
    if (kind > 1) throw new Error(text);
  }
}

async function ask(subject, body) {
  return decode((await nats.request(subject, body, { timeout: 5_000 })).data);
}

function sha256(data) {
  return createHash("sha256").update(data).digest("hex");
}
