import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";

import { form, gather, plain, useTheTool, weather } from "./shared.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const openai = (c) => createOpenAI({ baseURL: `${c.base}/v1`, apiKey: c.key });
const models = {
  chat: (c) => openai(c).chat(c.model),
  response: (c) => openai(c).responses(c.model),
  message: (c) => createAnthropic({ baseURL: `${c.base}/v1`, apiKey: c.key })(c.model),
};

// ask asks with whatever more a call has. A stream is read with its error parts:
// textStream would end as if the answer were whole.
async function ask(c, model, more) {
  const order = { model, maxOutputTokens: 60, abortSignal: c.signal, prompt: c.prompt, ...more };
  if (!c.stream) return told(c, await generateText(order));
  const answer = streamText({ ...order, onError: () => {} });
  const parts = await gather(answer.fullStream, (part) => {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") c.heard.text += part.text;
  });
  // When the program began and how the request looked is not the answer.
  const kept = parts.filter((part) => !["start-step", "finish-step"].includes(part.type));
  return { ...(await told(c, answer)), parts: kept };
}

// dated tells whether a dialect's answers have a time. Elsewhere it is the time
// at which the SDK read them.
const dated = (c) => !c.flow.toLowerCase().includes("message");

// told is what the program learns, without the headers of the connection.
async function told(c, answer) {
  const { id, modelId, timestamp } = await answer.response;
  return {
    text: await answer.text, finish: await answer.finishReason, usage: await answer.totalUsage,
    calls: await answer.toolCalls, sources: await answer.sources, reasoning: await answer.reasoningText,
    provider: await answer.providerMetadata, response: { id, modelId, timestamp: dated(c) && timestamp },
    steps: (await answer.steps).map(({ content, finishReason, usage }) => ({ content, finishReason, usage })),
  };
}

const tools = { [weather.name]: tool({ description: weather.description, inputSchema: weather.shape, execute: weather.tell }) };

const flows = {};
for (const [name, model] of Object.entries(models)) {
  flows[name] = (c) => ask(c, model(c), {});
  flows[`${name}Tool`] = async (c) => {
    const done = await ask(c, model(c), { tools, prompt: useTheTool, stopWhen: stepCountIs(3) });
    if (done.steps.length !== 2) throw new Error(`${done.steps.length} steps instead of a call and an answer`);
    return done;
  };
  flows[`${name}Form`] = async (c) => {
    const done = await ask(c, model(c), { output: Output.object({ schema: form }) });
    form.parse(JSON.parse(done.text));
    return done;
  };
  flows[`replay${name[0].toUpperCase()}${name.slice(1)}`] = (c) => ask(c, model(c), {});
}

flows.embedding = async (c) => {
  const { embeddings, usage, values } = await embedMany({ model: openai(c).embedding("text-embedding-sim"), values: [c.prompt, "another"] });
  return { embeddings, usage, values };
};

const all = Object.fromEntries(Object.entries(flows).map(([name, flow]) => [name, async (c) => plain(await flow(c))]));
export { all as flows };
