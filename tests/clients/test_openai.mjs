// The official OpenAI client for Node, unmodified: only base URL and key are ours.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { chats, doublesKey, embeddings, model, openai, script, vectorOf } from "./harness.mjs";

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

// A double of every kind of provider.

const question = { role: "user", content: "How is the weather in Berlin?" };
const tools = [
  {
    type: "function",
    function: { name: "get_weather", description: "The weather of a city", parameters: script.citySchema },
  },
];

/** The first choice, at once or put together from its stream by the client itself. */
async function ask(stream, asked) {
  const { completions } = openai(doublesKey).chat;
  const whole = stream
    ? await completions.stream({ ...asked, stream_options: { include_usage: true } }).finalChatCompletion()
    : await completions.create(asked);
  assert.equal(whole.usage.prompt_tokens, 11);
  return whole.choices[0];
}

for (const model of chats) {
  for (const stream of [false, true]) {
    const how = `${model}, ${stream ? "streamed" : "plain"}`;

    test(`a chat is answered by ${how}`, async () => {
      const choice = await ask(stream, { model, messages, max_tokens: 64 });
      assert.equal(choice.message.content, script.greeting);
      assert.equal(choice.finish_reason, "stop");
    });

    test(`a tool is called and answered by ${how}`, async () => {
      const first = await ask(stream, { model, tools, messages: [question], max_tokens: 64 });
      assert.equal(first.finish_reason, "tool_calls");
      const [call] = first.message.tool_calls;
      assert.equal(call.function.name, "get_weather");
      assert.deepEqual(JSON.parse(call.function.arguments), script.arguments);
      const { parsed: _, ...said } = first.message;
      const result = { role: "tool", tool_call_id: call.id, content: "Berlin is sunny" };
      const second = await ask(stream, { model, tools, messages: [question, said, result], max_tokens: 64 });
      assert.equal(second.message.content, script.afterTool);
    });
  }

  test(`an answer has the structure that was asked for by ${model}`, async () => {
    const answer = await openai(doublesKey).chat.completions.parse({
      model,
      messages: [{ role: "user", content: "Who was the first programmer?" }],
      max_tokens: 64,
      response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema: script.personSchema } },
    });
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), script.person);
  });
}

for (const model of embeddings) {
  test(`texts become vectors by ${model}`, async () => {
    const input = ["hello", "world"];
    const { data } = await openai(doublesKey).embeddings.create({ model, input });
    assert.deepEqual(
      data.map((item) => item.embedding),
      input.map((text, index) => vectorOf(text, data[index].embedding.length)),
    );
  });
}
