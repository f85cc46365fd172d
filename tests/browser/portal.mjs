// How a person works the pages: by what is written on them, never by class names.
import assert from "node:assert/strict";
import { join } from "node:path";

const SCREENSHOTS = process.env.CF_SCREENSHOTS;
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };

/** A page with its own cookies and storage, in English. */
export async function open(browser, errors) {
  const context = await browser.newContext({ locale: "en-US", viewport: WIDE });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(`${page.url()}: ${error.message}`));
  return page;
}

/** The field with this label, whether or not it is marked as required. */
export function field(scope, label) {
  const pattern = new RegExp(`^${label}( ?\\*)?$`);
  return scope.getByLabel(pattern).and(scope.locator("input, textarea")).first();
}

export async function fill(scope, values) {
  for (const [label, value] of Object.entries(values)) await field(scope, label).fill(value);
}

/** Chooses an entry of a list; the list itself hangs outside the dialog. */
export async function choose(page, scope, label, option) {
  await field(scope, label).click();
  await page.getByRole("option", { name: option }).first().click();
}

export async function goTo(page, name) {
  await page.getByRole("navigation", { name: "Main navigation" }).getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { level: 1, name }).waitFor();
}

/** Opens the form for a new record, lets it be filled, saves, and waits until the dialog is gone. */
export async function create(page, newLabel, fillIn) {
  await page.getByRole("button", { name: newLabel }).first().click();
  const dialog = page.getByRole("dialog", { name: newLabel });
  await dialog.waitFor();
  await fillIn(dialog);
  await dialog.getByRole("button", { name: "Save" }).click();
  const complaint = dialog.getByRole("alert").first();
  await Promise.race([
    dialog.waitFor({ state: "hidden" }),
    complaint.waitFor().then(async () => assert.fail(`${newLabel}: ${await complaint.innerText()}`)),
  ]);
}

/** Opens the form of a row, lets it be changed, saves, and waits until the dialog is gone. */
export async function edit(page, row, change) {
  await row.getByRole("button", { name: /^Actions/ }).click();
  await page.getByRole("menuitem", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await change(dialog);
  await dialog.getByRole("button", { name: "Save" }).click();
  const complaint = dialog.getByRole("alert").first();
  await Promise.race([
    dialog.waitFor({ state: "hidden" }),
    complaint.waitFor().then(async () => assert.fail(`edit: ${await complaint.innerText()}`)),
  ]);
}

export async function signIn(page, email, password) {
  await fill(page, { Email: email, Password: password });
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

/** The row of a table that holds all these texts. */
export function row(page, ...texts) {
  return texts.reduce((rows, text) => rows.filter({ hasText: text }), page.getByRole("row")).first();
}

/** The page as seen on a desk and on a telephone, where nothing may stick out at the side. */
export async function picture(page, name) {
  await page.screenshot({ path: join(SCREENSHOTS, `${name}-1280.png`) });
  await page.setViewportSize(NARROW);
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(SCREENSHOTS, `${name}-390.png`) });
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await page.setViewportSize(WIDE);
  assert.ok(over <= 0, `${name} is ${over} pixels too wide at 390 pixels`);
}

/** The same of an open dialog, whose end may lie below: it must not stick out at the side either. */
export async function dialogPicture(page, dialog, name) {
  await picture(page, name);
  await page.setViewportSize(NARROW);
  await page.waitForTimeout(300);
  const over = await dialog.evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth);
  await page.setViewportSize(WIDE);
  assert.ok(over <= 0, `the dialog ${name} is ${over} pixels too wide at 390 pixels`);
}

export async function pictureOfFailure(page, name) {
  const file = `failed-${name.replace(/[^a-z0-9]+/gi, "-")}.png`;
  await page.screenshot({ path: join(SCREENSHOTS, file), timeout: 5_000 }).catch(() => {});
}
