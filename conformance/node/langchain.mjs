import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";

import { form, gather, plain, useTheTool, weather } from "./shared.mjs";

const openai = (c, more) =>
  new ChatOpenAI({ model: c.model, apiKey: c.key, maxTokens: 60, streamUsage: true, configuration: { baseURL: `${c.base}/v1` }, ...more });
const models = {
  chat: (c) => openai(c, {}),
  response: (c) => openai(c, { useResponsesApi: true }),
  message: (c) => new ChatAnthropic({ model: c.model, apiKey: c.key, maxTokens: 60, anthropicApiUrl: c.base }),
};

// told is what a message tells, as a program would keep it.
const told = (m) => ({
  id: m.id, type: m.type, content: m.content, calls: m.tool_calls, usage: m.usage_metadata,
  more: m.additional_kwargs, response: m.response_metadata,
});

const finish = (m) => m.response_metadata?.finish_reason ?? m.response_metadata?.stop_reason ?? m.response_metadata?.status ?? null;

// ask asks for one message. Streamed, it is put together from its pieces.
async function ask(c, model, messages) {
  if (!c.stream) return { message: await model.invoke(messages, { signal: c.signal }) };
  const pieces = await gather(await model.stream(messages, { signal: c.signal }), (piece) => (c.heard.text += piece.text));
  return { message: pieces.reduce((a, b) => a.concat(b)), pieces: pieces.map(told) };
}

const weatherTool = tool(weather.tell, { name: weather.name, description: weather.description, schema: weather.shape });

const flows = {};
for (const [name, model] of Object.entries(models)) {
  flows[name] = async (c) => {
    const { message, pieces } = await ask(c, model(c), [new HumanMessage(c.prompt)]);
    return { text: message.text, finish: finish(message), whole: told(message), pieces };
  };
  flows[`${name}Tool`] = async (c) => {
    const armed = model(c).bindTools([weatherTool]);
    const begin = [new HumanMessage(useTheTool)];
    const first = await ask(c, armed, begin);
    const [call] = first.message.tool_calls;
    const result = new ToolMessage({ content: await weatherTool.invoke(call.args), tool_call_id: call.id });
    const second = await ask(c, armed, [...begin, first.message, result]);
    return { first: told(first.message), second: told(second.message) };
  };
  flows[`${name}Form`] = async (c) => {
    const shaped = model(c).withStructuredOutput(form, { name: "form", method: "jsonSchema" });
    if (!c.stream) return form.parse(await shaped.invoke(c.prompt));
    const pieces = await gather(await shaped.stream(c.prompt));
    form.parse(pieces.at(-1));
    return pieces;
  };
  flows[`replay${name[0].toUpperCase()}${name.slice(1)}`] = flows[name];
}

flows.embedding = (c) =>
  new OpenAIEmbeddings({ model: "text-embedding-sim", apiKey: c.key, configuration: { baseURL: `${c.base}/v1` } }).embedDocuments([c.prompt, "another"]);

const all = Object.fromEntries(Object.entries(flows).map(([name, flow]) => [name, async (c) => plain(await flow(c))]));
export { all as flows };
