// Vercel's AI SDK, unmodified, with its provider for OpenAI-compatible servers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { apiKey, chats, doublesKey, embeddings, model, script, url, vectorOf } from "./harness.mjs";

const ours = (key = apiKey) =>
  createOpenAICompatible({
    name: "cloudfreedom",
    baseURL: `${url}/v1`,
    apiKey: key,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });

const HELLO = { prompt: "Say hello in one short sentence.", maxOutputTokens: 16, maxRetries: 0 };

test("a chat is answered and counted", async () => {
  const answer = await generateText({ model: ours()(model), ...HELLO });
  assert.ok(answer.text.trim());
  assert.ok(answer.usage.inputTokens > 0);
  assert.ok(answer.usage.outputTokens > 0 && answer.usage.outputTokens <= 16);
});

test("a stream adds up", async () => {
  const answer = streamText({ model: ours()(model), ...HELLO });
  let text = "";
  for await (const part of answer.textStream) text += part;
  assert.ok(text.trim());
  const usage = await answer.usage;
  assert.ok(usage.outputTokens > 0 && usage.outputTokens <= 16);
});

test("a wrong key and an unknown model are refused with our words", async () => {
  const wrong = generateText({ model: ours("sk-cf-wrong")(model), ...HELLO });
  await assert.rejects(wrong, { statusCode: 401 });
  const unknown = generateText({ model: ours()("no-such-model"), ...HELLO });
  await assert.rejects(unknown, (error) => {
    assert.equal(error.statusCode, 404);
    assert.match(error.message, /no-such-model/);
    return true;
  });
});

// A double of every kind of provider.

const tools = {
  get_weather: tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `${city} is sunny`,
  }),
};

for (const name of chats) {
  const asked = { model: ours(doublesKey)(name), maxOutputTokens: 64, maxRetries: 0 };
  const weather = { ...asked, tools, prompt: "How is the weather in Berlin?", stopWhen: stepCountIs(2) };

  test(`a chat is answered by ${name}`, async () => {
    const answer = await generateText({ ...asked, system: "You are brief.", prompt: "Hello" });
    assert.equal(answer.text, script.greeting);
    assert.equal(answer.usage.inputTokens, 11);
  });

  test(`a stream adds up by ${name}`, async () => {
    const answer = streamText({ ...asked, prompt: "Hello" });
    let text = "";
    for await (const part of answer.textStream) text += part;
    assert.equal(text, script.greeting);
    assert.equal((await answer.usage).inputTokens, 11);
  });

  test(`a tool is called and its result taken by ${name}`, async () => {
    const answer = await generateText(weather);
    const [call] = answer.steps[0].toolCalls;
    assert.deepEqual([call.toolName, call.input], ["get_weather", script.arguments]);
    assert.equal(answer.text, script.afterTool);
  });

  test(`a call of a tool is streamed by ${name}`, async () => {
    const answer = streamText(weather);
    assert.equal(await answer.text, script.afterTool);
    const [call] = (await answer.steps)[0].toolCalls;
    assert.deepEqual([call.toolName, call.input], ["get_weather", script.arguments]);
  });

  test(`an answer has the structure that was asked for by ${name}`, async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    const prompt = "Who was the first programmer?";
    const answer = await generateText({ ...asked, prompt, output: Output.object({ schema }) });
    assert.deepEqual(answer.output, script.person);
  });
}

for (const name of embeddings) {
  test(`texts become vectors by ${name}`, async () => {
    const values = ["hello", "world"];
    const made = await embedMany({ model: ours(doublesKey).embeddingModel(name), values, maxRetries: 0 });
    assert.deepEqual(
      made.embeddings,
      values.map((text, index) => vectorOf(text, made.embeddings[index].length)),
    );
  });
}
