import { GoogleGenAI } from "@google/genai";

import { form, gather, plain, useTheTool, weather } from "./shared.mjs";

const client = (c) => new GoogleGenAI({ apiKey: c.key, httpOptions: { baseUrl: c.base } });

async function ask(c, more) {
  const order = { model: c.model, contents: c.prompt, ...more, config: { maxOutputTokens: 60, abortSignal: c.signal, ...more?.config } };
  if (!c.stream) {
    const answer = await client(c).models.generateContent(order);
    return { text: answer.text, finish: answer.candidates?.[0]?.finishReason ?? null, calls: answer.functionCalls, whole: bare(answer) };
  }
  let finish = null;
  let calls;
  const pieces = await gather(await client(c).models.generateContentStream(order), (piece) => {
    c.heard.text += piece.text ?? "";
    finish = piece.candidates?.[0]?.finishReason ?? finish;
    calls = piece.functionCalls ?? calls;
  });
  return { text: c.heard.text, finish, calls, whole: pieces.map(bare) };
}

// bare is an answer without the headers of its connection.
const bare = ({ sdkHttpResponse, ...answer }) => answer;

async function contentTool(c) {
  const config = { tools: [{ functionDeclarations: [{ name: weather.name, description: weather.description, parametersJsonSchema: weather.schema }] }] };
  const begin = { role: "user", parts: [{ text: useTheTool }] };
  const first = await ask(c, { contents: [begin], config });
  const [call] = first.calls;
  const result = { role: "user", parts: [{ functionResponse: { name: call.name, response: { output: weather.tell() } } }] };
  const second = await ask(c, { contents: [begin, { role: "model", parts: [{ functionCall: call }] }, result], config });
  return { first, second };
}

async function contentForm(c) {
  const answer = await ask(c, {
    config: { responseMimeType: "application/json", responseJsonSchema: { type: "object", properties: { title: { type: "string" }, pages: { type: "integer" }, good: { type: "boolean" } } } },
  });
  form.parse(JSON.parse(answer.text));
  return answer;
}

const all = { content: (c) => ask(c), contentTool, contentForm, replayContent: (c) => ask(c) };

export const flows = Object.fromEntries(Object.entries(all).map(([name, flow]) => [name, async (c) => plain(await flow(c))]));
