// The shortest way in, with the shipped configuration.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startApp } from "./lib/app.mjs";
import { launch, screenshot } from "./lib/chromium.mjs";
import { startEnvoy } from "./lib/envoy.mjs";
import { mint } from "./lib/tokens.mjs";

let app, envoy, browser, origin;

before(async () => {
  app = await startApp();
  envoy = await startEnvoy({ clusters: { upstream: app.port } });
  browser = await launch();
  origin = `http://ide.localhost:${envoy.port()}`;
});

after(async () => {
  await browser?.close();
  await envoy?.stop();
  await app?.stop();
});

test("a visit without a session leads to the login page", async () => {
  const page = await browser.newPage({ viewport: { width: 800, height: 450 } });
  const answers = [];
  page.on("response", (response) => answers.push([response.status(), response.headers().location]));
  await page.goto(`${origin}/notes?page=2`);
  const back = encodeURIComponent(`${origin}/notes?page=2`);
  assert.deepEqual(answers[0], [302, `/login?redirectUrl=${back}`]);
  assert.equal(page.url(), `${origin}/login?redirectUrl=${back}`);
  await screenshot(page, "first-visit");
  await page.close();
});

test("a link with a token signs in, and the page works", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const token = mint();
  app.taken();
  await page.goto(`${origin}/notes?page=2&token=${token}`);
  assert.equal(page.url(), `${origin}/notes?page=2`);
  const [cookie] = await context.cookies();
  assert.deepEqual(
    { name: cookie.name, value: cookie.value, httpOnly: cookie.httpOnly, sameSite: cookie.sameSite },
    { name: "access_token", value: token, httpOnly: true, sameSite: "Lax" },
  );
  for (const [id, text] of [
    ["who", "alice"],
    ["fetch", "alice"],
    ["events", "alice 1"],
    ["socket", "hello alice"],
    ["image", "loaded"],
  ]) {
    await page.locator(`#${id}`, { hasText: text }).waitFor();
  }
  assert.equal((await page.evaluate(() => report.xhr())).body.who, "alice");
  assert.equal(await page.evaluate(() => report.worker()), "alice");
  assert.ok(!JSON.stringify(app.requests).includes(token), "the application saw the token");
  await context.close();
});
