import OpenAI, { toFile } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";

import { form, gather, plain, recorded, useTheTool, weather } from "./shared.mjs";

const client = (c) => new OpenAI({ baseURL: `${c.base}/v1`, apiKey: c.key });

const words = (c) => ({ model: c.model, max_tokens: 60, messages: [{ role: "user", content: c.prompt }] });

async function chat(c) {
  if (!c.stream) {
    const answer = await client(c).chat.completions.create(words(c), { signal: c.signal });
    return { text: answer.choices[0].message.content, finish: answer.choices[0].finish_reason, whole: answer, id: answer._request_id };
  }
  const stream = await client(c).chat.completions.create(
    { ...words(c), stream: true, stream_options: { include_usage: true } },
    { signal: c.signal },
  );
  let finish = null;
  const chunks = await gather(stream, (chunk) => {
    c.heard.text += chunk.choices[0]?.delta.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
  });
  return { text: c.heard.text, finish, whole: chunks };
}

// chatTool lets the SDK call the tool and ask again.
async function chatTool(c) {
  const runner = client(c).chat.completions.runTools({
    model: c.model,
    stream: c.stream,
    messages: [{ role: "user", content: useTheTool }],
    tools: [{ type: "function", function: { name: weather.name, parameters: weather.schema, parse: JSON.parse, function: weather.tell } }],
  });
  await runner.done();
  return { messages: runner.messages, completions: runner.allChatCompletions(), usage: await runner.totalUsage() };
}

async function chatForm(c) {
  const body = { ...words(c), response_format: zodResponseFormat(form, "form") };
  const answer = c.stream
    ? await client(c).chat.completions.stream(body).finalChatCompletion()
    : await client(c).chat.completions.parse(body);
  form.parse(answer.choices[0].message.parsed);
  return answer;
}

const input = (c) => ({ model: c.model, max_output_tokens: 60, input: c.prompt });

async function response(c) {
  if (!c.stream) {
    const answer = await client(c).responses.create(input(c), { signal: c.signal });
    return { text: answer.output_text, finish: answer.status, whole: answer };
  }
  const stream = await client(c).responses.create({ ...input(c), stream: true }, { signal: c.signal });
  let finish = null;
  const events = await gather(stream, (event) => {
    if (event.type === "response.output_text.delta") c.heard.text += event.delta;
    if (event.response) finish = event.response.status;
  });
  return { text: c.heard.text, finish, whole: events };
}

async function responseTool(c) {
  const ask = async (body) => (c.stream ? await client(c).responses.stream(body).finalResponse() : await client(c).responses.create(body));
  const tools = [{ type: "function", name: weather.name, parameters: weather.schema, strict: true }];
  const first = await ask({ ...input(c), input: useTheTool, tools });
  const { call_id } = first.output.find((item) => item.type === "function_call");
  const result = [{ type: "function_call_output", call_id, output: weather.tell() }];
  const second = await ask({ ...input(c), input: result, tools, previous_response_id: first.id });
  return { first, second, again: await client(c).responses.retrieve(first.id) };
}

async function responseForm(c) {
  const body = { ...input(c), text: { format: zodTextFormat(form, "form") } };
  const answer = c.stream ? await client(c).responses.stream(body).finalResponse() : await client(c).responses.parse(body);
  form.parse(answer.output_parsed);
  return answer;
}

const embedding = (c) => client(c).embeddings.create({ model: "text-embedding-sim", input: [c.prompt, "another"] });

// file uploads and asks for it again. Its id and time are the provider's whim.
async function file(c) {
  const kept = ({ id, created_at, ...rest }) => ({ ...rest, named: id.startsWith("file-"), dated: created_at > 0 });
  const made = await client(c).files.create({ purpose: "assistants", file: await toFile(Buffer.from("naïve café"), "story.txt") });
  const found = await client(c).files.retrieve(made.id);
  if (found.id !== made.id) throw new Error("another file came back");
  return { made: kept(made), found: kept(found) };
}

const replay = (make) => async (c) => {
  const answer = await make(client(c), recorded(c));
  return c.stream ? gather(answer) : answer;
};

const all = {
  chat, chatTool, chatForm, response, responseTool, responseForm, embedding, file,
  replayChat: replay((sdk, body) => sdk.chat.completions.create(body)),
  replayResponse: replay((sdk, body) => sdk.responses.create(body)),
};

export const flows = Object.fromEntries(Object.entries(all).map(([name, flow]) => [name, async (c) => plain(await flow(c))]));
