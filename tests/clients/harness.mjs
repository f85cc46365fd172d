// What `cargo xtask test clients` hands to the tests, and the clients made from it.
import { readFileSync } from "node:fs";
import { EventSource } from "eventsource";
import OpenAI from "openai";
import PocketBase from "pocketbase";

// Browsers have it built in; Node 20 does not, and the PocketBase SDK needs it for realtime.
globalThis.EventSource = EventSource;

export const { CF_URL: url, CF_API_KEY: apiKey, CF_BILLING_API_KEY: billingApiKey, CF_MODEL: model } = process.env;
export const admin = { email: process.env.CF_ADMIN_EMAIL, password: process.env.CF_ADMIN_PASSWORD };
export const user = { email: process.env.CF_USER_EMAIL, password: process.env.CF_USER_PASSWORD };
export const superuser = { email: process.env.CF_SUPERUSER_EMAIL, password: process.env.CF_SUPERUSER_PASSWORD };

// A double of every kind of provider (`doubles/`): the models that are asked for there, and a key that may have them.
const doubles = JSON.parse(readFileSync(process.env.CF_DOUBLES, "utf8"));
export const doublesKey = doubles.api_key;
export const chats = Object.values(doubles.kinds).map((models) => models.chat);
export const embeddings = Object.values(doubles.kinds).flatMap((models) => models.embeddings ?? []);

/** What every double says, and is asked for (`doubles/script.py`). */
export const script = {
  greeting: "Hello from the double.",
  afterTool: "It is sunny.",
  person: { name: "Ada", age: 36 },
  arguments: { city: "Berlin" },
  citySchema: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  personSchema: {
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer" } },
    required: ["name", "age"],
    additionalProperties: false,
  },
};

/** The numbers that follow from a text, as the doubles make them. */
export function vectorOf(text, dimensions) {
  const seed = new TextEncoder().encode(text).reduce((sum, byte) => sum + byte, 0);
  return Array.from({ length: dimensions }, (_, place) => (((seed + 31 * place) % 64) - 32) / 64);
}

const LIMIT_MS = 10_000;

export function openai(key = apiKey) {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, timeout: 60_000 });
}

export function pocketbase() {
  const client = new PocketBase(url);
  // Otherwise two equal calls of one test would cancel each other.
  client.autoCancellation(false);
  return client;
}

export async function signedIn(collection, { email, password }) {
  const client = pocketbase();
  await client.collection(collection).authWithPassword(email, password);
  return client;
}

/** The API key of a new user whose product has every model; `client` is a superuser's. */
export async function keyForAllModels(client, name) {
  const tenant = await client.collection("tenants").getFirstListItem("slug='app'");
  const product = await client.collection("products").create({
    name,
    price: 0,
    currency: "EUR",
    budget_included: 100,
    models: [],
    features: [],
    rate_limit: 0,
    active: true,
  });
  const answer = await fetch(`${url}/api/users`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": billingApiKey },
    body: JSON.stringify({ email: `${name}-${process.pid}@example.com`, name, tenant_id: tenant.id, product_id: product.id }),
  });
  return (await answer.json()).litellm_api_key;
}

/** A promise for the first value handed to `give`, with a limit. */
export function first(what) {
  let give;
  let timer;
  const value = new Promise((resolve, reject) => {
    give = resolve;
    timer = setTimeout(() => reject(new Error(`waited ${LIMIT_MS / 1000} s for ${what}`)), LIMIT_MS);
  }).finally(() => clearTimeout(timer));
  return { give, value };
}
