// What is no chat, with the official OpenAI client for Node: through the real binary to a scripted double of a provider.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import OpenAI, { toFile } from "openai";
import { keyForAllModels, openai as withKey, signedIn, superuser } from "./harness.mjs";

const sound = Buffer.from([0x49, 0x44, 0x33, 0, 255]);
const answers = {
  "/v1/embeddings": (asked) => ({
    object: "list",
    model: "m",
    data: [{ object: "embedding", index: 0, embedding: asked.encoding_format === "base64" ? "AACAPwAAIMA=" : [1, -2.5] }],
    usage: { prompt_tokens: 9, total_tokens: 9 },
  }),
  "/v1/images/generations": () => ({ created: 1, data: [{ b64_json: "aaaa" }], usage: { input_tokens: 1, output_tokens: 9 } }),
  "/v1/images/edits": () => ({ created: 1, data: [{ b64_json: "bbbb" }], usage: { input_tokens: 1, output_tokens: 9 } }),
  "/v1/audio/transcriptions": () => ({ text: "Hello", usage: { type: "duration", seconds: 9 } }),
  "/v1/audio/speech": () => sound,
  "/v1/moderations": () => ({ id: "modr-1", model: "m", results: [{ flagged: true, categories: {}, category_scores: {} }] }),
};
const received = [];
let key;
const openai = () => withKey(key);
const double = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    received.push({ path: request.url, body });
    const isJson = request.headers["content-type"] === "application/json";
    const answer = answers[request.url](isJson ? JSON.parse(body) : {});
    const isSound = Buffer.isBuffer(answer);
    response.writeHead(200, { "content-type": isSound ? "audio/mpeg" : "application/json" });
    response.end(isSound ? answer : JSON.stringify(answer));
  });
});

before(async () => {
  await new Promise((resolve) => double.listen(0, "127.0.0.1", resolve));
  const client = await signedIn("_superusers", superuser);
  const providerKey = await client.collection("provider_keys").create({
    name: "Double for Node",
    provider: "openai",
    base_url: `http://127.0.0.1:${double.address().port}/v1`,
    secret: "sk-double-0123456789",
    active: true,
  });
  const models = {
    "node-embed": "text-embedding-3-small",
    "node-image": "gpt-image-1.5",
    "node-whisper": "whisper-1",
    "node-tts": "tts-1",
    "node-moderation": "omni-moderation-latest",
  };
  for (const [name, model] of Object.entries(models)) {
    const deployments = [{ provider_key: providerKey.id, model, weight: 1, order: 0 }];
    await client.collection("models").create({ name, active: true, deployments });
  }
  key = await keyForAllModels(client, "node-tasks");
});

after(() => double.close());

test("texts become vectors", async () => {
  const answer = await openai().embeddings.create({ model: "node-embed", input: ["One"] });
  assert.deepEqual(Array.from(answer.data[0].embedding), [1, -2.5]);
});

test("a picture is made and changed", async () => {
  const made = await openai().images.generate({ model: "node-image", prompt: "A cat" });
  assert.equal(made.data[0].b64_json, "aaaa");
  const image = await toFile(Buffer.from("PNG"), "a.png", { type: "image/png" });
  const changed = await openai().images.edit({ model: "node-image", image, prompt: "Red" });
  assert.equal(changed.data[0].b64_json, "bbbb");
  const sent = received.at(-1).body.toString("latin1");
  assert.ok(sent.includes("gpt-image-1.5") && !sent.includes("node-image"), sent);
});

test("a recording is written down, and words are spoken", async () => {
  const file = await toFile(Buffer.concat([sound, Buffer.alloc(3000)]), "hello.mp3");
  const heard = await openai().audio.transcriptions.create({ model: "node-whisper", file });
  assert.equal(heard.text, "Hello");
  const spoken = await openai().audio.speech.create({ model: "node-tts", voice: "alloy", input: "Hello" });
  assert.equal(spoken.headers.get("content-type"), "audio/mpeg");
  assert.deepEqual(Buffer.from(await spoken.arrayBuffer()), sound);
});

test("a text is looked at", async () => {
  const answer = await openai().moderations.create({ model: "node-moderation", input: "x" });
  assert.equal(answer.results[0].flagged, true);
});

test("what a model has not is a bad request", async () => {
  const rejected = openai().images.generate({ model: "demo", prompt: "x" });
  await assert.rejects(rejected, OpenAI.BadRequestError);
});
