// The official OpenAI client for Node, unmodified: only base URL and key are ours.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { model, openai } from "./harness.mjs";

const messages = [{ role: "user", content: "Say hello in one short sentence." }];

test("a plain chat is answered", async () => {
  const answer = await openai().chat.completions.create({ model, messages, max_tokens: 16 });
  assert.ok(answer.choices[0].message.content.trim());
  assert.ok(answer.usage.completion_tokens > 0 && answer.usage.completion_tokens <= 16);
});

test("a streamed chat ends with the usage it asked for", async () => {
  const stream = await openai().chat.completions.create({
    model,
    messages,
    max_tokens: 16,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.ok(chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content ?? "")).join("").trim());
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

test("a streamed chat shows no usage it did not ask for", async () => {
  const stream = await openai().chat.completions.create({ model, messages, max_tokens: 16, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.choices.length > 0);
    assert.ok(!chunk.usage);
  }
});

test("a stream can be stopped", async () => {
  const stream = await openai().chat.completions.create({ model, messages, max_tokens: 600, stream: true });
  let seen = 0;
  for await (const _chunk of stream) {
    seen += 1;
    if (seen === 3) stream.controller.abort();
  }
  assert.ok(seen >= 3);
});

test("models are listed", async () => {
  const ids = (await openai().models.list()).data.map((entry) => entry.id);
  assert.ok(ids.includes(model), `${model} is not among ${ids}`);
});

test("errors have the client's own classes", async () => {
  const wrongKey = openai(`sk-${"0".repeat(64)}`);
  await assert.rejects(wrongKey.chat.completions.create({ model, messages }), OpenAI.AuthenticationError);
  await assert.rejects(openai().chat.completions.create({ model: "no-such-model", messages }), OpenAI.NotFoundError);
  await assert.rejects(openai().chat.completions.create({ model, messages: 7 }), OpenAI.BadRequestError);
});
