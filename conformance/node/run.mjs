// One process drives one client: `node run.mjs openai`. It reads orders, one
// JSON object a line, and writes what the program would have seen, one line
// each, in whatever order they end. Orders run at the same time, because most of
// their time is an SDK's own waiting.
//
// An order names a flow of the client's module and has what that needs: base,
// key, model, stream, prompt. The answer has the flow's result or its error, and
// how many HTTP requests were made.
import { AsyncLocalStorage } from "node:async_hooks";
import { createInterface } from "node:readline";

// Every client here sends with the global fetch, so this counts each of their
// requests, retries included. It changes nothing.
const order = new AsyncLocalStorage();
const send = globalThis.fetch;
globalThis.fetch = (resource, ...rest) => {
  const running = order.getStore();
  // Some ask for "data:," to learn what fetch can do; nobody sees that.
  if (running && /^http/.test(resource?.url ?? String(resource))) running.requests++;
  return send(resource, ...rest);
};

// Jitter and made-up ids are pinned, so that two runs can be compared. Every
// wait that follows is one that the client might have chosen.
Math.random = () => 0;

// A program would die of it; the harness tells of it and goes on.
process.on("unhandledRejection", (reason) => console.error("unhandled rejection:", reason));

const { flows } = await import(`./${process.argv[2]}.mjs`);

function describe(error) {
  const name = error?.name && error.name !== "Error" ? error.name : error?.constructor?.name;
  const said = { class: name ?? typeof error, message: String(error?.message ?? error) };
  const status = error?.status ?? error?.statusCode;
  if (typeof status === "number") said.status = status;
  if (typeof error?.code === "string") said.code = error.code;
  if (typeof error?.type === "string") said.type = error.type;
  const inner = error?.lastError ?? error?.cause;
  if (inner && inner !== error) said.inner = describe(inner);
  return said;
}

async function run(o) {
  const running = { requests: 0 };
  const leave = new AbortController();
  let late;
  const deadline = new Promise((resolve) => {
    late = setTimeout(() => resolve({ late: true }), o.deadline_ms);
  });
  const work = order.run(running, async () => {
    // heard is what a stream said before it broke.
    const heard = { text: "" };
    try {
      return { result: (await flows[o.flow]({ ...o, heard, signal: leave.signal })) ?? null };
    } catch (error) {
      return { error: describe(error), heard: heard.text };
    }
  });
  const outcome = await Promise.race([work, deadline]);
  clearTimeout(late);
  leave.abort();
  process.stdout.write(JSON.stringify({ id: o.id, requests: running.requests, ...outcome }) + "\n");
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void run(JSON.parse(line)));
lines.on("close", () => process.exit(0)); // whatever still waits has nobody to tell
process.stdout.write('{"ready":true}\n');
