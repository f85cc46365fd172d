// What `cargo xtask test clients` hands to the tests, and the clients made from it.
import { EventSource } from "eventsource";
import OpenAI from "openai";
import PocketBase from "pocketbase";

// Browsers have it built in; Node 20 does not, and the PocketBase SDK needs it for realtime.
globalThis.EventSource = EventSource;

export const { CF_URL: url, CF_API_KEY: apiKey, CF_BILLING_API_KEY: billingApiKey, CF_MODEL: model } = process.env;
export const admin = { email: process.env.CF_ADMIN_EMAIL, password: process.env.CF_ADMIN_PASSWORD };
export const user = { email: process.env.CF_USER_EMAIL, password: process.env.CF_USER_PASSWORD };
export const superuser = { email: process.env.CF_SUPERUSER_EMAIL, password: process.env.CF_SUPERUSER_PASSWORD };

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
