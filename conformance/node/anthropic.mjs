import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";

import { form, gather, plain, recorded, useTheTool, weather } from "./shared.mjs";

const client = (c) => new Anthropic({ baseURL: c.base, apiKey: c.key });

const words = (c) => ({ model: c.model, max_tokens: 60, messages: [{ role: "user", content: c.prompt }] });

const text = (message) => message.content.map((block) => block.text ?? "").join("");

async function message(c) {
  if (!c.stream) {
    const answer = await client(c).messages.create(words(c), { signal: c.signal });
    return { text: text(answer), finish: answer.stop_reason, whole: answer, id: answer._request_id };
  }
  const stream = await client(c).messages.create({ ...words(c), stream: true }, { signal: c.signal });
  let finish = null;
  const events = await gather(stream, (event) => {
    c.heard.text += event.delta?.text ?? "";
    finish = event.delta?.stop_reason ?? finish;
  });
  return { text: c.heard.text, finish, whole: events };
}

// helper is the SDK's own way to read a stream, which puts the message together.
async function helper(c) {
  const stream = client(c).messages.stream(words(c), { signal: c.signal });
  stream.on("text", (delta) => (c.heard.text += delta));
  const answer = await stream.finalMessage();
  return { text: text(answer), finish: answer.stop_reason, whole: answer };
}

async function tool(c) {
  const ask = async (body) => (c.stream ? await client(c).messages.stream(body).finalMessage() : await client(c).messages.create(body));
  const tools = [{ name: weather.name, description: weather.description, input_schema: weather.schema }];
  const begin = [{ role: "user", content: useTheTool }];
  const first = await ask({ ...words(c), tools, messages: begin });
  const { id } = first.content.find((block) => block.type === "tool_use");
  const result = { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: weather.tell() }] };
  const second = await ask({ ...words(c), tools, messages: [...begin, { role: "assistant", content: first.content }, result] });
  return { first, second };
}

async function structured(c) {
  const body = { ...words(c), output_config: { format: zodOutputFormat(form) } };
  const answer = c.stream ? await client(c).messages.stream(body).finalMessage() : await client(c).messages.parse(body);
  form.parse(c.stream ? JSON.parse(text(answer)) : answer.parsed_output);
  return answer;
}

const count = (c) => client(c).messages.countTokens({ model: c.model, messages: words(c).messages });

// file uploads and asks for it again. Its id and time are the provider's whim.
async function file(c) {
  const kept = ({ id, created_at, ...rest }) => ({ ...rest, named: id.startsWith("file-"), dated: Date.parse(created_at) > 0 });
  const files = client(c).beta.files;
  const made = await files.upload({ file: await toFile(Buffer.from("naïve café"), "story.txt", { type: "text/plain" }) });
  const found = await files.retrieveMetadata(made.id);
  if (found.id !== made.id) throw new Error("another file came back");
  return { made: kept(made), found: kept(found) };
}

// replayMessage asks for little: above some tokens the SDK wants a stream.
async function replayMessage(c) {
  const answer = await client(c).messages.create({ messages: words(c).messages, ...recorded(c), max_tokens: 60 });
  return c.stream ? gather(answer) : answer;
}

const all = { message, helper, tool, structured, count, file, replayMessage };

export const flows = Object.fromEntries(Object.entries(all).map(([name, flow]) => [name, async (c) => plain(await flow(c))]));
