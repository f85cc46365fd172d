// From an empty server to an answered chat and its cost, in a real browser.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { choose, create, dialogPicture, edit, field, fill, goTo, open, picture, pictureOfFailure, row, signIn } from "./portal.mjs";

const { CF_SETUP_URL: setupUrl, CF_PORT: port, CF_MODEL: model, CF_MODEL_URL: modelUrl } = process.env;
const hasLocalModel = modelUrl !== "";
const ANSWER_LIMIT_MS = 60_000;

const admin = { email: "admin@example.com", password: "first-admin-of-all" };
const user = { email: "erika@example.com", name: "Erika Mustermann", password: "erika-wants-to-chat" };

let browser;
let portal;
let chat;
const errors = [];

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CF_CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  portal = await open(browser, errors);
  chat = await open(browser, errors);
});

after(() => browser?.close());

/** A part of the walk. Once one has failed, the rest would only fail for the same reason. */
let broken = false;
function step(name, page, walk) {
  test(name, { timeout: 120_000 }, async (context) => {
    if (broken) return context.skip("an earlier step failed");
    try {
      await walk(page());
    } catch (error) {
      broken = true;
      await pictureOfFailure(page(), name);
      throw error;
    }
  });
}

const onPortal = () => portal;
const onChat = () => chat;

step("the printed address sets the server up", onPortal, async (page) => {
  await page.goto(setupUrl);
  await field(page, "Email").waitFor();
  await picture(page, "setup");
  await fill(page, {
    Email: admin.email,
    Name: "Admin",
    Organisation: "CloudFreedom Internal",
    Password: admin.password,
    "Repeat password": admin.password,
  });
  await page.getByRole("button", { name: "Create administrator" }).click();
  await page.getByRole("heading", { name: "First steps" }).first().waitFor();
  await picture(page, "first-steps");
});

step("the address works only once", onChat, async (page) => {
  await page.goto(setupUrl);
  const again = { Email: "second@example.com", Name: "Second", Password: admin.password, "Repeat password": admin.password };
  await fill(page, again);
  await page.getByRole("button", { name: "Create administrator" }).click();
  await page.getByRole("alert").first().waitFor();
  await page.context().clearCookies();
});

step("the admin makes a tenant", onPortal, async (page) => {
  await goTo(page, "Tenants");
  await create(page, "New tenant", (dialog) => fill(dialog, { Name: "Acme", Slug: "acme" }));
  await row(page, "Acme").waitFor();
  await picture(page, "tenants");
});

step("the admin makes a product", onPortal, async (page) => {
  await goTo(page, "Products");
  await create(page, "New product", (dialog) => fill(dialog, { Name: "Pro Plan", Price: "99", "Budget included": "100" }));
  await row(page, "Pro Plan").waitFor();
  await picture(page, "products");
});

step("the admin adds a provider key", onPortal, async (page) => {
  await goTo(page, "Provider keys");
  await create(page, "New provider key", async (dialog) => {
    await fill(dialog, { Name: "Local model" });
    await choose(page, dialog, "Provider", hasLocalModel ? /compatible/i : /demo/i);
    if (!hasLocalModel) return;
    await fill(dialog, { "Base URL": modelUrl });
    if (await field(dialog, "Secret").isVisible()) await fill(dialog, { Secret: "none" });
  });
  await row(page, "Local model").waitFor();
  await picture(page, "provider-keys");
});

step("the admin adds a model", onPortal, async (page) => {
  await goTo(page, "Models");
  await create(page, "New model", async (dialog) => {
    await fill(dialog, { Name: model, "Model name at the provider": model });
    await choose(page, dialog, "Provider key", "Local model");
    await fill(dialog, { "Input price": "0.1", "Output price": "0.4", "Max output tokens": "512", "Context window": "4096" });
  });
  await row(page, model).waitFor();
  await picture(page, "models");
});

step("the admin makes a user and sees the key once", onPortal, async (page) => {
  await goTo(page, "Users");
  await create(page, "New user", async (dialog) => {
    await fill(dialog, { Email: user.email, Name: user.name, Password: user.password });
    await choose(page, dialog, "Tenant", "Acme");
    await choose(page, dialog, "Product", "Pro Plan");
  });
  const created = page.getByRole("dialog", { name: `User ${user.name} created` });
  await created.waitFor();
  // The key may be in a field or in plain text.
  const shown = await created.evaluate((dialog) => dialog.innerText + [...dialog.querySelectorAll("input")].map((input) => input.value));
  assert.match(shown, /sk-\S{20,}/);
  await created.getByRole("button", { name: "Done" }).click();
  await row(page, user.email).waitFor();
  await picture(page, "users");
});

step("the admin changes what the user's key may do, and sees it again", onPortal, async (page) => {
  await goTo(page, "Users");
  await row(page, user.email).getByRole("link", { name: user.name }).click();
  await page.getByRole("heading", { level: 2, name: "API keys" }).waitFor();
  await edit(page, row(page, "default"), async (dialog) => {
    await fill(dialog, { Name: "Laptop", Expires: "2099-12-31", "Requests a minute": "120", "At the same time": "4" });
    await field(dialog, "Models").fill(model);
    await page.keyboard.press("Enter");
    await field(dialog, "Name").click();
    await dialogPicture(page, dialog, "key-edit");
  });
  const changed = row(page, "Laptop");
  await changed.filter({ hasText: "Dec 31, 2099" }).filter({ hasText: model }).waitFor();
  await picture(page, "user");
  await page.reload();
  await edit(page, changed, async (dialog) => {
    for (const [label, value] of Object.entries({ Name: "Laptop", Expires: "2099-12-31", "Requests a minute": "120", "At the same time": "4" }))
      assert.equal(await field(dialog, label).inputValue(), value, label);
    await dialog.getByText(model, { exact: true }).waitFor();
    // A day that is over is refused before anything is sent.
    await fill(dialog, { Expires: "2020-01-01" });
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("Please choose a day that is not over.").waitFor();
    await fill(dialog, { Expires: "2099-12-31" });
  });
  // Left open: the calls that follow have to appear here by themselves.
  await goTo(page, "Dashboard");
});

step("the user signs in at the tenant's address and gets an answer", onChat, async (page) => {
  await page.goto(`http://acme.localhost:${port}/`);
  await field(page, "Email").waitFor();
  await picture(page, "chat-sign-in");
  await signIn(page, user.email, user.password);
  await field(page, "Message").waitFor();
  await picture(page, "chat-empty");
  await field(page, "Message").fill("Say hello in one short sentence.");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByRole("button", { name: "Copy answer" }).first().waitFor({ timeout: ANSWER_LIMIT_MS });
  await page.getByText(/\d.* left/).first().waitFor();
  await picture(page, "chat-answer");
});

step("the user stops a long answer", onChat, async (page) => {
  // The demo provider is done before anybody could press the button.
  if (!hasLocalModel) return;
  await page.getByRole("button", { name: "New chat" }).click();
  await field(page, "Message").fill("Write a long essay about the history of Rome, with ten chapters.");
  await page.getByRole("button", { name: "Send" }).click();
  // Some words have to be there: an answer stopped before its first word leaves nothing behind.
  const answer = page.getByRole("log").getByRole("article", { name: model }).last();
  await answer.filter({ hasText: /(\S+\s+){8}/ }).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("Stopped").first().waitFor();
  await page.getByRole("button", { name: "Send" }).waitFor();
});

step("the user makes the own key narrower, and not wider", onChat, async (page) => {
  await page.goto(`http://admin.localhost:${port}/keys`);
  await signIn(page, user.email, user.password);
  const key = row(page, "Laptop");
  await key.waitFor();
  await picture(page, "keys");
  await edit(page, key, (dialog) => fill(dialog, { "Requests a minute": "60" }));
  await key.getByRole("button", { name: /^Actions/ }).click();
  await page.getByRole("menuitem", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog");
  await fill(dialog, { "Requests a minute": "90" });
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText(/Only less than now/).waitFor();
  await dialogPicture(page, dialog, "key-edit-own");
  await dialog.getByRole("button", { name: "Cancel" }).click();
});

step("the admin sees the call without reloading", onPortal, async (page) => {
  await row(page, user.email, model).waitFor({ timeout: 30_000 });
  await picture(page, "dashboard");
});

step("the admin sees usage and cost", onPortal, async (page) => {
  await goTo(page, "Usage");
  const call = row(page, user.email, model);
  await call.waitFor();
  await picture(page, "usage");
  // Tokens in and out are there, and with a price so is the cost.
  const text = await call.innerText();
  assert.match(text, /\d+ \/ \d+/);
  if (hasLocalModel) {
    const headers = await page.getByRole("columnheader").allInnerTexts();
    const cost = await call.getByRole("cell").nth(headers.findIndex((header) => header.trim() === "Cost")).innerText();
    assert.match(cost, /[1-9]/, `the cost is shown as ${cost}`);
  }
});

step("the admin makes a webhook, tries it out and sees what became of it", onPortal, async (page) => {
  await goTo(page, "Webhooks");
  // Nobody listens there.
  await create(page, "New webhook", (dialog) => fill(dialog, { Name: "Operations", Address: "http://127.0.0.1:1/hook" }));
  const created = page.getByRole("dialog", { name: /Operations/ });
  await created.waitFor();
  const shown = await created.evaluate((dialog) => [...dialog.querySelectorAll("input")].map((input) => input.value).join());
  assert.match(shown, /whsec_\S{32,}/);
  await created.getByRole("button", { name: "Done" }).click();
  await picture(page, "webhooks");
  await row(page, "Operations").getByRole("button", { name: /^Actions/ }).click();
  await page.getByRole("menuitem", { name: "Try out" }).click();
  await goTo(page, "Outbox");
  await row(page, "Operations", "no connection could be made").waitFor({ timeout: 30_000 });
  // Without a mail server mails wait, and the page says so.
  await page.getByText(/No mail server is set/).waitFor();
  await page.getByRole("button", { name: "Test mail to me" }).click();
  await row(page, admin.email, "Waiting").waitFor();
  await picture(page, "outbox");
});

step("the bell leads to the notifications", onPortal, async (page) => {
  await page.getByRole("link", { name: "Notifications" }).click();
  await page.getByRole("heading", { level: 1, name: "Notifications" }).waitFor();
  await page.getByText("No notifications").waitFor();
  await picture(page, "notifications");
});

step("no page threw an error", onPortal, async () => {
  assert.deepEqual(errors, []);
});
