// OpenAI's Responses and legacy completions with the official client for Node, unmodified.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { model, openai } from "./harness.mjs";

const input = "Say hello in one short sentence.";
// The demo provider calls no tools and writes no JSON.
const skip = model === "demo";
const weather = {
  type: "function",
  name: "get_weather",
  description: "The weather of a city",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};

test("a response is answered, kept, read and deleted", async () => {
  const client = openai();
  const first = await client.responses.create({ model, input, max_output_tokens: 16 });
  assert.ok(first.output_text.trim());
  assert.ok(first.usage.output_tokens > 0 && first.usage.output_tokens <= 16);
  const second = await client.responses.create({
    model,
    input: "And again?",
    previous_response_id: first.id,
    max_output_tokens: 16,
  });
  assert.equal(second.previous_response_id, first.id);

  const again = await client.responses.retrieve(second.id);
  assert.deepEqual(again.output, second.output);
  const texts = [];
  for await (const item of client.responses.inputItems.list(second.id, { order: "asc", limit: 2 })) {
    texts.push(item.content[0].text);
  }
  assert.deepEqual(texts, [input, first.output_text, "And again?"]);

  await client.responses.delete(second.id);
  await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
  await assert.rejects(
    client.responses.create({ model, input, previous_response_id: second.id }),
    (error) => error instanceof OpenAI.BadRequestError && error.code === "previous_response_not_found",
  );
});

test("a streamed response is put together by the client", async () => {
  const stream = openai().responses.stream({ model, input, max_output_tokens: 32 });
  let text = "";
  let next = 0;
  for await (const event of stream) {
    assert.equal(event.sequence_number, next++);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  const final = await stream.finalResponse();
  assert.ok(text.trim());
  assert.equal(final.output_text, text);
  assert.ok(final.usage.output_tokens > 0);
});

test("a stream can be stopped", async () => {
  const stream = await openai().responses.create({ model, input, max_output_tokens: 600, stream: true });
  let seen = 0;
  for await (const _event of stream) {
    seen += 1;
    if (seen === 5) stream.controller.abort();
  }
  assert.ok(seen >= 5);
});

test("tools are called and answered", { skip }, async () => {
  const client = openai();
  const asked = { model, tools: [weather], max_output_tokens: 128 };
  const first = await client.responses.create({
    ...asked,
    input: "What is the weather in Berlin?",
    tool_choice: "required",
  });
  const call = first.output.find((item) => item.type === "function_call");
  assert.equal(call.name, "get_weather");
  assert.ok("city" in JSON.parse(call.arguments));
  // Everything sent back, nothing kept.
  const second = await client.responses.create({
    ...asked,
    store: false,
    input: [
      { role: "user", content: "What is the weather in Berlin?" },
      ...first.output,
      { type: "function_call_output", call_id: call.call_id, output: "Sunny." },
    ],
  });
  assert.ok(["completed", "incomplete"].includes(second.status));
  await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
});

test("structured output is JSON of its schema", { skip }, async () => {
  const answer = await openai().responses.create({
    model,
    input: "Ada is 36 years old. Give me name and age.",
    max_output_tokens: 64,
    text: {
      format: {
        type: "json_schema",
        name: "person",
        strict: true,
        schema: {
          type: "object",
          properties: { name: { type: "string" }, age: { type: "integer" } },
          required: ["name", "age"],
          additionalProperties: false,
        },
      },
    },
  });
  const person = JSON.parse(answer.output_text);
  assert.equal(typeof person.name, "string");
  assert.equal(typeof person.age, "number");
});

test("what is not done here is a bad request", async () => {
  await assert.rejects(openai().responses.create({ model, input, background: true }), OpenAI.BadRequestError);
  await assert.rejects(openai().responses.cancel("resp_x"), OpenAI.BadRequestError);
  await assert.rejects(openai().responses.create({ model: "no-such-model", input }), OpenAI.NotFoundError);
});

test("legacy completions are answered, plain and streamed", async () => {
  const asked = { model, prompt: "Once upon a time", max_tokens: 8 };
  const answer = await openai().completions.create(asked);
  assert.ok(answer.choices[0].text.trim());
  assert.ok(answer.usage.completion_tokens > 0);
  let text = "";
  for await (const chunk of await openai().completions.create({ ...asked, stream: true })) {
    assert.ok(!chunk.usage);
    text += chunk.choices[0].text;
  }
  assert.ok(text.trim());
});
