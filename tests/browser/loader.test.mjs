// The sign-in page of envoy/loader, as the Keycloak example serves it: to the provider and back to the very place.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { startLoaderWorld } from "./lib/loader_world.mjs";
import { logIn } from "./lib/provider.mjs";
import { read, repository } from "./lib/repository.mjs";
import { history, navigations, works } from "./lib/world.mjs";
import { readdirSync } from "node:fs";

const APP = "app.example.com";
const LOGIN = "login.example.com";

let world, context, page, complaints;

before(async () => {
  world = await startLoaderWorld();
});
after(() => world?.stop());

beforeEach(async () => {
  await context?.close();
  context = await world.browser.newContext({ viewport: { width: 800, height: 450 } });
  page = await context.newPage();
  complaints = [];
  page.on("console", (message) => {
    // The provider's pages want fonts from elsewhere.
    const own = !message.location().url.startsWith("https://fonts.");
    if (message.type() === "error" && own) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  world.provider.seen.length = 0;
  world.ingress.records.length = 0;
});

const heading = (text) => page.getByRole("heading", { name: text }).waitFor();
const atProvider = () => page.waitForURL((url) => url.origin === world.provider.origin);
const asked = (what) => world.provider.seen.filter((one) => one.what === what);

async function signIn(wanted, stop) {
  await page.goto(wanted);
  await atProvider();
  if (stop) await screenshot(page, stop);
  await logIn(page);
  await page.waitForURL(wanted);
}

/** Every token that the provider gave out, as the application got it. */
const tokens = () =>
  world.ingress
    .sent(APP)
    .map((sent) => sent.match(/authorization: Bearer (.*)/i)?.[1].trim())
    .filter(Boolean);

test("a deep link, the provider's login page, and back to the very place", async () => {
  const wanted = `${world.origin}/notes/7?page=2&q=a%20b&q=#part=3`;
  const seen = navigations(page);
  await signIn(wanted, "loader-provider");
  await works(page);

  // Nothing secret has been in an address but the code, which is good for one use and only with its proof.
  const [token] = tokens();
  const { urls } = await history(page);
  for (const url of [
    ...urls,
    ...seen.map(({ url }) => url),
    ...world.ingress.records.map(({ url }) => url),
  ]) {
    assert.ok(!url.includes(token), url);
  }
  assert.ok(!urls.some((url) => /[?&](code|state)=/.test(url)), `the history has the answer: ${urls}`);
  const referers = world.ingress.sent(APP).flatMap((sent) => sent.match(/^referer: .*/gim) ?? []);
  for (const referer of referers) assert.ok(!/loader\.html/.test(referer), referer);
  assert.deepEqual(complaints, []);

  const cookies = await context.cookies(world.origin);
  const cookie = cookies.find(({ name }) => name === "access_token");
  assert.deepEqual(
    { value: cookie.value, httpOnly: cookie.httpOnly, secure: cookie.secure, sameSite: cookie.sameSite },
    { value: token, httpOnly: true, secure: true, sameSite: "Lax" },
  );
});

test("the code is asked for and redeemed with PKCE, by S256", async () => {
  await signIn(`${world.origin}/`);
  const [authorization] = asked("authorization");
  const [token] = asked("token");
  assert.equal(authorization.response_type, "code");
  assert.equal(authorization.code_challenge_method, "S256");
  const digest = await crypto.subtle.digest("SHA-256", Buffer.from(token.code_verifier));
  assert.equal(Buffer.from(digest).toString("base64url"), authorization.code_challenge);
  assert.equal(token.client_secret, undefined);
});

test("whoever is signed in at the provider sees no page on the way", async () => {
  await signIn(`${world.origin}/one`);
  await context.clearCookies({ domain: APP });
  await page.goto(`${world.origin}/two#there`);
  await page.waitForURL(`${world.origin}/two#there`);
  await works(page);
  // Back is the page before, not one of those in between.
  await page.goBack();
  assert.equal(page.url(), `${world.origin}/one`);
});

test("three tabs at once", async () => {
  await signIn(`${world.origin}/`);
  await context.clearCookies({ domain: APP });
  const tabs = await Promise.all([1, 2, 3].map(() => context.newPage()));
  await Promise.all(tabs.map((tab, index) => tab.goto(`${world.origin}/tab/${index}`)));
  await Promise.all(tabs.map((tab, index) => tab.waitForURL(`${world.origin}/tab/${index}`)));
  for (const tab of tabs) await works(tab);
});

for (const [what, address] of [
  ["another host", "https://evil.example.org/"],
  ["a host that begins alike", "https://app.example.com.evil.example.org/"],
  ["a name before the host", "https://app.example.com@evil.example.org/"],
  ["no TLS", "http://app.example.com/"],
  ["a script", "javascript:alert(1)"],
  ["no host", "/notes"],
]) {
  test(`an address that is not configured is not gone to: ${what}`, async () => {
    const requests = [];
    page.on("request", (request) => requests.push(new URL(request.url()).origin));
    await page.goto(`${world.page}?redirectUrl=${encodeURIComponent(address)}`);
    await heading("You are not signed in");
    await page.getByText("is none of the applications of this page").waitFor();
    if (what === "another host") await screenshot(page, "loader-stranger");
    assert.deepEqual([...new Set(requests)], [world.loginOrigin]);
    assert.equal((await page.getByRole("button").count()) + (await page.getByRole("link").count()), 0);
    assert.deepEqual(world.provider.seen, []);
  });
}

test("the provider's refusal is put into words, and can be tried again", async () => {
  await page.goto(`${world.origin}/notes?page=2#top`);
  await atProvider();
  await page.getByText("Cancel").click();
  await heading("You are not signed in");
  await page.getByText("The sign-in was broken off or refused.").waitFor();
  await page.getByText("access_denied: End-User aborted interaction").waitFor();
  await screenshot(page, "loader-refused");
  assert.ok(!/[?&](code|state|error)=/.test(page.url()), page.url());

  await page.reload();
  await atProvider();
  await page.getByText("Cancel").click();
  await page.getByRole("button", { name: "Try again" }).click();
  await atProvider();
  await logIn(page);
  await page.waitForURL(`${world.origin}/notes?page=2#top`);
});

test("an answer that nobody asked for signs nobody in", async () => {
  await page.goto(`${world.page}?code=stolen&state=theirs`);
  await heading("You are not signed in");
  await page.getByText("This sign-in was begun in another window, or too long ago.").waitFor();
  assert.equal(page.url(), world.page);
  assert.deepEqual(world.provider.seen, []);
});

test("a token that the filter refuses", async (t) => {
  const other = await startLoaderWorld({
    plugin: (config) => void (config.providers[0].audiences = ["other"]),
  });
  t.after(() => other.stop());
  page = await other.browser.newPage({ viewport: { width: 800, height: 450 } });
  await page.goto(`${other.origin}/`);
  await page.waitForURL((url) => url.origin === other.provider.origin);
  await logIn(page);
  await heading("You are not signed in");
  await page.getByText("audience_mismatch").waitFor();
  await screenshot(page, "loader-not-accepted");
  await page.getByRole("button", { name: "Use another account" }).click();
  await page.locator('input[name="login"]').waitFor();
});

test("visited for itself, it names the applications", async () => {
  await page.goto(world.page);
  await heading("Sign in");
  await screenshot(page, "loader-welcome");
  await page.getByRole("link", { name: APP }).click();
  await atProvider();
});

test("signed out at both", async () => {
  await signIn(`${world.origin}/`);
  // As the filter's `logout_url` says.
  await page.click("#logout");
  // The provider asks: a link of a stranger signs nobody out.
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await heading("You are signed out");
  await screenshot(page, "loader-signed-out");
  assert.equal(page.url(), world.page);
  await context.clearCookies({ domain: APP });
  await page.goto(`${world.origin}/`);
  await atProvider();
  await page.locator('input[name="login"]').waitFor();
});

test("its files come as a browser and a cautious person want them", async () => {
  const { headers } = await fetchFile("/loader.html");
  const policy = headers["content-security-policy"];
  for (const part of [
    "default-src 'none'",
    "script-src 'self'",
    "frame-ancestors 'self'",
    "base-uri 'none'",
  ]) {
    assert.ok(policy.includes(part), policy);
  }
  assert.ok(!/unsafe|\*/.test(policy), policy);
  for (const name of readdirSync(repository("envoy/loader"))) {
    const type = { html: "text/html", css: "text/css", js: "text/javascript", json: "application/json" }[
      name.split(".").pop()
    ];
    if (!type) continue;
    const file = await fetchFile(`/${name}`);
    assert.equal(file.status, 200, name);
    assert.equal(file.headers["content-type"], type, name);
    assert.equal(file.headers["x-content-type-options"], "nosniff", name);
    if (name !== "loader.json") assert.equal(file.text, read(`envoy/loader/${name}`), name);
    const cached = name.endsWith("js") || name.endsWith("css");
    assert.equal(file.headers["cache-control"], cached ? "max-age=300" : "no-store", name);
  }
  assert.equal((await fetchFile("/jwt/auth")).status, 404);
  assert.equal((await fetchFile("/anything")).status, 404);
});

async function fetchFile(path) {
  const answer = await page.goto(`${world.loginOrigin}${path}`);
  return { status: answer.status(), headers: answer.headers(), text: await answer.text() };
}
