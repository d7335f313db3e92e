import { Agent, OpenAIProvider, Runner, tool } from "@openai/agents";

import { form, gather, plain, useTheTool, weather } from "./shared.mjs";

// Traces would go to OpenAI.
const runner = (c, useResponses) =>
  new Runner({
    tracingDisabled: true,
    modelProvider: new OpenAIProvider({ apiKey: c.key, baseURL: `${c.base}/v1`, useResponses }),
  });

const weatherTool = tool({ name: weather.name, description: weather.description, parameters: weather.shape, execute: weather.tell });

async function ask(c, useResponses, more, prompt) {
  const agent = new Agent({ name: "teller", model: c.model, modelSettings: { maxTokens: 60 }, ...more });
  const run = await runner(c, useResponses).run(agent, prompt, { stream: c.stream, signal: c.signal });
  if (c.stream) {
    await gather(run, (event) => {
      if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta") c.heard.text += event.data.delta;
    });
    await run.completed;
  }
  const output = run.finalOutput;
  return {
    text: typeof output === "string" ? output : JSON.stringify(output), output, finish: null,
    items: run.newItems, usage: run.rawResponses.map((r) => r.usage), history: run.history,
  };
}

const flows = {};
for (const [name, useResponses] of [["chat", false], ["response", true]]) {
  flows[name] = (c) => ask(c, useResponses, {}, c.prompt);
  flows[`${name}Tool`] = (c) => ask(c, useResponses, { tools: [weatherTool] }, useTheTool);
  flows[`${name}Form`] = async (c) => {
    const done = await ask(c, useResponses, { outputType: form }, c.prompt);
    form.parse(done.output);
    return done;
  };
  flows[`replay${name[0].toUpperCase()}${name.slice(1)}`] = flows[name];
}

const all = Object.fromEntries(Object.entries(flows).map(([name, flow]) => [name, async (c) => plain(await flow(c))]));
export { all as flows };
