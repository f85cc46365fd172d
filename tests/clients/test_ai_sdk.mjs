// Vercel's AI SDK, unmodified, with its provider for OpenAI-compatible servers.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { apiKey, keyForAllModels, model, signedIn, superuser, url } from "./harness.mjs";

const ours = (key = apiKey) =>
  createOpenAICompatible({
    name: "cloudfreedom",
    baseURL: `${url}/v1`,
    apiKey: key,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });

const HELLO = { prompt: "Say hello in one short sentence.", maxOutputTokens: 16, maxRetries: 0 };

// A scripted Anthropic: it calls a tool, goes on after its result, and writes what a schema asks for.
const provider = createServer(async (request, response) => {
  let text = "";
  for await (const part of request) text += part;
  const body = JSON.parse(text);
  const last = body.messages.at(-1).content;
  const answered = Array.isArray(last) && last.some((block) => block.type === "tool_result");
  const uses = body.tools && !answered;
  const said = body.output_config?.format ? '{"name":"Ada","age":36}' : "It is sunny.";
  const block = uses
    ? { type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Berlin" } }
    : { type: "text", text: said };
  const message = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: body.model,
    content: [block],
    stop_reason: uses ? "tool_use" : "end_turn",
    usage: { input_tokens: 11, output_tokens: 7 },
  };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(message));
});
let key;

before(async () => {
  await new Promise((resolve) => provider.listen(0, "127.0.0.1", resolve));
  const client = await signedIn("_superusers", superuser);
  const add = async (name, deployed, fields) => {
    const record = await client.collection("provider_keys").create({ name, active: true, ...fields });
    await client.collection("models").create({
      name,
      deployments: [{ provider_key: record.id, model: deployed }],
      prices: { input: 0.1, output: 0.4 },
      context_window: 4096,
      max_output_tokens: 1024,
      active: true,
    });
  };
  const base_url = `http://127.0.0.1:${provider.address().port}/v1`;
  await add("ai-sdk-claude", "claude-sonnet-5", { provider: "anthropic", base_url, secret: "double-secret-1234" });
  await add("ai-sdk-vectors", "demo-embedding", { provider: "demo" });
  key = await keyForAllModels(client, "ai-sdk");
});

after(() => provider.close());

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

test("a tool is called and its result taken", async () => {
  const answer = await generateText({
    model: ours(key)("ai-sdk-claude"),
    prompt: "How is the weather in Berlin?",
    maxOutputTokens: 64,
    maxRetries: 0,
    stopWhen: stepCountIs(2),
    tools: {
      weather: tool({
        description: "The weather of a city",
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => `${city} is sunny`,
      }),
    },
  });
  const [call] = answer.steps[0].toolCalls;
  assert.deepEqual([call.toolName, call.input], ["weather", { city: "Berlin" }]);
  assert.equal(answer.text, "It is sunny.");
});

test("an answer has the structure that was asked for", async () => {
  const answer = await generateText({
    model: ours(key)("ai-sdk-claude"),
    prompt: "Who was the first programmer?",
    maxOutputTokens: 64,
    maxRetries: 0,
    output: Output.object({ schema: z.object({ name: z.string(), age: z.number() }) }),
  });
  assert.deepEqual(answer.output, { name: "Ada", age: 36 });
});

test("texts become vectors", async () => {
  const model = ours(key).embeddingModel("ai-sdk-vectors");
  const { embeddings } = await embedMany({ model, values: ["hello", "world"], maxRetries: 0 });
  assert.equal(embeddings.length, 2);
  assert.notDeepEqual(embeddings[0], embeddings[1]);
});
