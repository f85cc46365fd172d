// OpenAI's Responses and legacy completions with the official client for Node, unmodified.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { chats, doublesKey, model, openai, script } from "./harness.mjs";

const input = "Say hello in one short sentence.";

const weather = {
  type: "function",
  name: "get_weather",
  description: "The weather of a city",
  strict: true,
  parameters: script.citySchema,
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

/** The whole response, at once or put together from its stream by the client itself. */
async function ask(stream, asked) {
  const { responses } = openai(doublesKey);
  const wanted = { max_output_tokens: 64, ...asked };
  return stream ? responses.stream(wanted).finalResponse() : responses.create(wanted);
}

for (const model of chats) {
  for (const stream of [false, true]) {
    const how = `${model}, ${stream ? "streamed" : "plain"}`;

    test(`a response is given by ${how}`, async () => {
      const answer = await ask(stream, { model, input });
      assert.equal(answer.output_text, script.greeting);
      assert.equal(answer.usage.input_tokens, 11);
    });

    test(`a tool is called and answered by ${how}`, async () => {
      const asked = { model, tools: [weather] };
      const question = "What is the weather in Berlin?";
      const first = await ask(stream, { ...asked, input: question });
      const call = first.output.find((item) => item.type === "function_call");
      assert.equal(call.name, "get_weather");
      assert.deepEqual(JSON.parse(call.arguments), script.arguments);
      const told = { type: "function_call_output", call_id: call.call_id, output: "It is sunny." };
      const second = await ask(stream, { ...asked, previous_response_id: first.id, input: [told] });
      assert.equal(second.output_text, script.afterTool);
      // Everything sent back, nothing kept.
      const output = first.output.map(({ parsed_arguments: _, ...item }) => item);
      const third = await ask(stream, {
        ...asked,
        store: false,
        input: [{ role: "user", content: question }, ...output, told],
      });
      assert.equal(third.output_text, script.afterTool);
      await assert.rejects(openai(doublesKey).responses.retrieve(third.id), OpenAI.NotFoundError);
    });
  }

  test(`structured output is JSON of its schema by ${model}`, async () => {
    const made = await openai(doublesKey).responses.parse({
      model,
      input: "Who was the first programmer?",
      max_output_tokens: 64,
      text: { format: { type: "json_schema", name: "person", strict: true, schema: script.personSchema } },
    });
    assert.deepEqual(JSON.parse(made.output_text), script.person);
  });
}

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
