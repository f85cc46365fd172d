// The official PocketBase SDK, unmodified, against our records, sign-in and realtime.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { ClientResponseError } from "pocketbase";
import { admin, billingApiKey, first, model, openai, pocketbase, signedIn, superuser, url, user } from "./harness.mjs";

const unique = randomBytes(4).toString("hex");

function status(...expected) {
  return (error) => {
    assert.ok(error instanceof ClientResponseError, String(error));
    assert.ok(expected.includes(error.status), `${error.status}: ${JSON.stringify(error.response)}`);
    return true;
  };
}

describe("sign-in", () => {
  for (const [collection, person] of [["users", admin], ["users", user], ["_superusers", superuser]]) {
    test(`${person.email} of ${collection} signs in and refreshes`, async () => {
      const client = pocketbase();
      const signIn = await client.collection(collection).authWithPassword(person.email, person.password);
      assert.ok(client.authStore.isValid);
      assert.equal(signIn.record.email, person.email);
      assert.equal(signIn.record.collectionName, collection);
      const refreshed = await client.collection(collection).authRefresh();
      assert.ok(refreshed.token);
      assert.equal(refreshed.record.id, signIn.record.id);
    });
  }

  test("a wrong password is a 400, and so is an unknown address", async () => {
    const users = pocketbase().collection("users");
    await assert.rejects(users.authWithPassword(user.email, "not the password"), status(400));
    await assert.rejects(users.authWithPassword(`nobody-${unique}@example.com`, "whatever it is"), status(400));
  });

  test("the ways to sign in are listed", async () => {
    const methods = await pocketbase().collection("users").listAuthMethods();
    assert.equal(methods.password.enabled, true);
  });
});

describe("records", () => {
  let client;
  let products;
  const name = (number) => `Page ${unique} ${number}`;

  before(async () => {
    client = await signedIn("_superusers", superuser);
    products = client.collection("products");
    for (let number = 1; number <= 5; number += 1) {
      await products.create({ name: name(number), price: number, currency: "EUR", budget_included: 1, rate_limit: 10 });
    }
  });

  test("a list is filtered, sorted and paged", async () => {
    const filter = client.filter("name ~ {:name}", { name: `Page ${unique}` });
    const page = await products.getList(2, 2, { filter, sort: "-name" });
    assert.deepEqual(page.items.map((item) => item.name), [name(3), name(2)]);
    assert.deepEqual([page.page, page.perPage, page.totalItems, page.totalPages], [2, 2, 5, 3]);
    const cheap = await products.getList(1, 10, { filter: `${filter} && price < 3`, sort: "price", fields: "id,price" });
    assert.deepEqual(cheap.items.map((item) => item.price), [1, 2]);
    assert.equal(cheap.items[0].name, undefined);
  });

  test("a full list is read in pages", async () => {
    const all = await products.getFullList({ batch: 2, filter: `name ~ 'Page ${unique}'`, sort: "name" });
    assert.deepEqual(all.map((item) => item.name), [1, 2, 3, 4, 5].map(name));
  });

  test("the first match is found, and no match is a 404", async () => {
    assert.equal((await products.getFirstListItem(`name = '${name(3)}'`)).price, 3);
    await assert.rejects(products.getFirstListItem(`name = 'No ${unique}'`), status(404));
    await assert.rejects(products.getList(1, 1, { filter: "name ~ (" }), status(400));
  });

  test("a record is created, updated and deleted", async () => {
    const made = await products.create({ name: name("x"), price: 9.5, currency: "EUR", budget_included: 1, models: ["a", "b"] });
    assert.match(made.id, /^[a-z0-9]{15}$/);
    assert.match(made.created, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.deepEqual(made.models, ["a", "b"]);
    assert.equal((await products.update(made.id, { price: 12.25 })).price, 12.25);
    assert.equal((await products.getOne(made.id)).price, 12.25);
    assert.equal(await products.delete(made.id), true);
    await assert.rejects(products.getOne(made.id), status(404));
  });

  test("an invalid record names the field", async () => {
    await assert.rejects(products.create({ price: 1, currency: "EUR" }), (error) => {
      status(400)(error);
      assert.equal(error.response.data.name.code, "validation_required");
      return true;
    });
  });

  after(async () => {
    for (const product of await products.getFullList({ filter: `name ~ 'Page ${unique}'` })) {
      await products.delete(product.id);
    }
  });
});

describe("the operator's own record for a new admin", () => {
  test("is taken as it is, and its key works", async () => {
    const client = await signedIn("_superusers", superuser);
    const tenant = await client.collection("tenants").getFirstListItem("slug = 'app'");
    const product = await client.collection("products").getFirstListItem("name = 'Pro Plan'");
    const key = `sk-${randomBytes(32).toString("hex")}`;
    const person = { email: `admin-${unique}@example.com`, password: `Pass-${unique}-word` };
    const made = await client.collection("users").create({
      ...person,
      passwordConfirm: person.password,
      name: "Admin",
      role: "admin",
      status: "active",
      tenant_id: tenant.id,
      product_id: product.id,
      budget_total: 100.0,
      budget_used: 0,
      budget_remaining: 100.0,
      budget_reset_date: "2031-11-10 00:00:00.000Z",
      litellm_api_key: key,
    });
    assert.equal(made.role, "admin");
    assert.equal(made.budget_remaining, 100);
    assert.equal(made.budget_reset_date, "2031-11-10 00:00:00.000Z");
    const again = await client.collection("users").getOne(made.id);
    assert.notEqual(again.litellm_api_key, key);

    const ids = (await openai(key).models.list()).data.map((entry) => entry.id);
    assert.ok(ids.includes(model));
    assert.ok((await signedIn("users", person)).authStore.isValid);
  });
});

describe("another tenant", () => {
  let stranger;
  let ours;

  before(async () => {
    const client = await signedIn("_superusers", superuser);
    const slug = `t${unique}`;
    const tenant = await client.collection("tenants").create({ name: "Strangers", slug, type: "customer", status: "active" });
    const product = await client.collection("products").getFirstListItem("name = 'Pro Plan'");
    const person = { email: `stranger-${unique}@example.com`, password: `Pass-${unique}-word` };
    const answer = await fetch(`${url}/api/users`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": billingApiKey },
      body: JSON.stringify({ ...person, name: "Stranger", role: "tenant_admin", status: "active", tenant_id: tenant.id, product_id: product.id }),
    });
    assert.equal(answer.status, 201, await answer.text());
    stranger = await signedIn("users", person);
    ours = await client.collection("users").getFirstListItem(`email = '${user.email}'`);
  });

  test("sees none of our people", async () => {
    const users = await stranger.collection("users").getFullList();
    assert.deepEqual(users.map((record) => record.email), [`stranger-${unique}@example.com`]);
    await assert.rejects(stranger.collection("users").getOne(ours.id), status(404));
    const logs = await stranger.collection("usage_logs").getList(1, 1);
    assert.equal(logs.totalItems, 0);
  });

  test("changes and deletes none of them", async () => {
    await assert.rejects(stranger.collection("users").update(ours.id, { status: "suspended" }), status(404));
    // Where only superusers may delete at all, the refusal is a 403 that says nothing about the record.
    await assert.rejects(stranger.collection("users").delete(ours.id), status(403, 404));
    await assert.rejects(stranger.collection("tenants").getOne(ours.tenant_id), status(404));
  });
});

describe("a user", () => {
  test("cannot become an admin", async () => {
    const client = await signedIn("users", user);
    const me = client.authStore.record.id;
    await client.collection("users").update(me, { role: "admin", budget_total: 1_000_000 }).catch(() => {});
    const record = await client.collection("users").getOne(me);
    assert.equal(record.role, "user");
    assert.equal(record.budget_total, 100);
  });
});

describe("realtime", () => {
  let clients = [];
  const connected = async (collection, person) => {
    const client = await signedIn(collection, person);
    clients.push(client);
    return client;
  };

  after(async () => {
    for (const client of clients) await client.realtime.unsubscribe();
    clients = [];
  });

  test("a created record is announced", async () => {
    const client = await connected("_superusers", superuser);
    const created = first("the event of a new product");
    await client.collection("products").subscribe("*", (event) => {
      if (event.action === "create" && event.record.name === `Live ${unique}`) created.give(event.record);
    });
    const made = await client.collection("products").create({ name: `Live ${unique}`, price: 1, currency: "EUR", budget_included: 1 });
    assert.equal((await created.value).id, made.id);
    await client.collection("products").delete(made.id);
  });

  test("a finished call reaches its user, with the new budget", async () => {
    const client = await connected("users", user);
    const log = first("the event of the usage log");
    await client.collection("usage_logs").subscribe("*", (event) => event.action === "create" && log.give(event.record));
    const budget = first("the event of the changed budget");
    const me = client.authStore.record.id;
    await client.collection("users").subscribe(me, (event) => event.action === "update" && budget.give(event.record));
    await openai().chat.completions.create({ model, messages: [{ role: "user", content: "Hello!" }], max_tokens: 8 });
    const [record, changed] = await Promise.all([log.value, budget.value]);
    assert.equal(record.model, model);
    assert.ok(changed.budget_used > 0);
  });
});
