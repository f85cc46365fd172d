// OpenAI's Responses and legacy completions with the official client for Node, unmodified.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { model, openai, signedIn, superuser } from "./harness.mjs";

const input = "Say hello in one short sentence.";
const person = { name: "Ada", age: 36 };

// A provider that has chats only and does what the small local model cannot: it calls tools and writes JSON.
let double;
let scripted;

function answer(body) {
  const choice = { index: 0, message: { role: "assistant", content: "It is sunny." }, finish_reason: "stop" };
  if (body.response_format) choice.message.content = JSON.stringify(person);
  else if (body.tools && body.messages.at(-1).role !== "tool") {
    const call = { name: "get_weather", arguments: JSON.stringify({ city: "Berlin" }) };
    choice.message = { role: "assistant", content: null, tool_calls: [{ id: "call_1", type: "function", function: call }] };
    choice.finish_reason = "tool_calls";
  }
  const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };
  return { id: "chatcmpl-1", object: "chat.completion", created: 1, model: body.model, choices: [choice], usage };
}

before(async () => {
  double = createServer(async (request, response) => {
    let text = "";
    for await (const part of request) text += part;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(answer(JSON.parse(text))));
  });
  await new Promise((listening) => double.listen(0, "127.0.0.1", listening));
  scripted = `double-node-${double.address().port}`;
  const records = await signedIn("_superusers", superuser);
  const key = await records.collection("provider_keys").create({
    name: scripted,
    provider: "openai_compatible",
    base_url: `http://127.0.0.1:${double.address().port}/v1`,
    secret: "none",
    active: true,
  });
  await records.collection("models").create({
    name: scripted,
    deployments: [{ provider_key: key.id, model: "llama" }],
    prices: { input: 0.1, output: 0.4 },
    context_window: 4096,
    max_output_tokens: 1024,
    active: true,
  });
  for (const product of await records.collection("products").getFullList()) {
    if (product.models.length > 0) {
      await records.collection("products").update(product.id, { models: [...product.models, scripted] });
    }
  }
});

after(() => {
  double.close();
  double.closeAllConnections();
});

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

test("tools are called and answered", async () => {
  const client = openai();
  const asked = { model: scripted, tools: [weather], max_output_tokens: 128 };
  const first = await client.responses.create({
    ...asked,
    input: "What is the weather in Berlin?",
    tool_choice: "required",
  });
  const call = first.output.find((item) => item.type === "function_call");
  assert.equal(call.name, "get_weather");
  assert.deepEqual(JSON.parse(call.arguments), { city: "Berlin" });
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
  assert.equal(second.output_text, "It is sunny.");
  await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
});

test("structured output is JSON of its schema", async () => {
  const made = await openai().responses.parse({
    model: scripted,
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
  assert.deepEqual(JSON.parse(made.output_text), person);
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
    text += chunk.choices[0].text;
  }
  assert.ok(text.trim());
});
