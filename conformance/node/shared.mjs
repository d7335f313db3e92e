// What the flows of all clients have in common.
import { z } from "zod";

export const weather = {
  name: "weather",
  description: "Tells the weather of a city.",
  shape: z.object({ city: z.string() }),
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
  tell: () => "sunny",
};

// form is the structure that answers shall have.
export const form = z.object({ title: z.string(), pages: z.number(), good: z.boolean() });

export const useTheTool = "Use the tool.";

// gather reads a stream to its end.
export async function gather(stream, each = () => {}) {
  const all = [];
  for await (const event of stream) {
    each(event);
    all.push(event);
  }
  return all;
}

// plain is x as JSON has it, which is what two results are compared by.
export const plain = (x) => JSON.parse(JSON.stringify(x ?? null));

// replayed sends a body as somebody else recorded it. What stands in it is for
// the server of the recording, which is not asked here.
export const recorded = (c) => ({ ...c.body, stream: c.stream });
