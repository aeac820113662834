// A session from its first tab to its end, while pages are open.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { asks, knows, signInLink } from "./lib/login.mjs";
import { mint, now } from "./lib/tokens.mjs";
import { history, navigations, startWorld, works } from "./lib/world.mjs";

let world, context;

const exact = (config) => {
  config.providers[0].clock_skew_seconds = 0;
};

before(async () => {
  world = await startWorld({
    listeners: {
      exact: { config: exact },
      // The cookie stays when its token has ended.
      streams: {
        config(config) {
          exact(config);
          Object.assign(config, { stream_expiry: { grace_seconds: 0 }, expires_in: true });
          Object.assign(config.session, { info_path: "/jwt/me", info_claims: ["sub"] });
        },
      },
      stays: { config: (config) => (exact(config), void (config.session.cookie = { max_age: "session" })) },
    },
    // The lines that the shipped envoy.yaml has in a comment.
    change({ static_resources }) {
      const { filter_chains } = static_resources.listeners.find(({ name }) => name === "streams");
      filter_chains[0].filters[0].typed_config.route_config.response_headers_to_add = [
        { header: { key: "x-jwt-expires-in", value: "%FILTER_STATE(wasm.jwt_expires_in:PLAIN)%" } },
      ];
    },
  });
});
after(() => world?.stop());
beforeEach(async () => {
  world.login.answer = asks();
  context = await world.browser.newContext({ viewport: { width: 800, height: 450 } });
});
afterEach(() => context.close());

const signIn = async (origin, path = "/notes", claims = {}) => {
  const page = await context.newPage();
  await page.goto(signInLink(`${origin}${path}`, mint(claims)));
  assert.equal(page.url(), `${origin}${path}`);
  await works(page);
  return page;
};

const isLogin = (page) => page.url().startsWith(`${world.loginUrl}?`);

test("three tabs at once, of a person whom the login page knows", async () => {
  world.login.answer = knows();
  const origin = world.origin("exact");
  const pages = await Promise.all([1, 2, 3].map(() => context.newPage()));
  await Promise.all(pages.map((page, number) => page.goto(`${origin}/notes/${number}`)));
  for (const [number, page] of pages.entries()) {
    assert.equal(page.url(), `${origin}/notes/${number}`);
    await works(page);
  }
  await screenshot(pages[2], "three-tabs");
});

test("three tabs, each of which waits at the login page", async () => {
  const origin = world.origin("exact");
  const pages = [];
  for (const number of [0, 1, 2]) {
    pages.push(await context.newPage());
    await pages[number].goto(`${origin}/notes/${number}`);
    assert.ok(isLogin(pages[number]), `tab ${number} is at ${pages[number].url()}`);
  }
  // Signed in the other way round, each lands where it wanted to go.
  for (const number of [2, 0, 1]) {
    await pages[number].click("#sign-in");
    await pages[number].waitForURL(`${origin}/notes/${number}`);
    await works(pages[number]);
  }
});

for (const [listener, reason] of [
  ["exact", "missing_token"],
  ["stays", "token_expired"],
]) {
  test(`a session that ends while its page is open: ${reason}`, async () => {
    const origin = world.origin(listener);
    const exp = now() + 3;
    const page = await signIn(origin, "/notes?page=2", { exp });
    await page.evaluate(() => window.source.close());
    await page.waitForTimeout(exp * 1000 - Date.now() + 1100);
    world.app.taken();

    const login_url = `${world.loginUrl}?redirectUrl=${encodeURIComponent(`${origin}/notes?page=2`)}`;
    const answer = await page.evaluate(() => report.fetch());
    assert.equal(answer.status, 401);
    assert.equal(answer.contentType, "application/problem+json");
    assert.equal(answer.body.reason, reason);
    assert.equal(answer.body.login_url, login_url);
    const posted = await page.evaluate(() => report.fetch("/api/notes", { method: "POST", body: "x" }));
    assert.equal(posted.status, 401);
    assert.equal((await page.evaluate(() => report.events())).error, "closed");
    const socket = await page.evaluate(() => report.socket());
    assert.deepEqual([socket.error, socket.code, socket.wasClean], ["closed", 1006, false]);
    assert.equal(await page.evaluate(() => report.image()), "refused");
    const xhr = await page.evaluate(() => report.xhr());
    assert.deepEqual([xhr.status, xhr.url, xhr.body.login_url], [401, `${origin}/api/notes`, login_url]);
    assert.equal(await page.evaluate(() => report.worker()), "refused");
    assert.deepEqual(
      world.app.taken().map(({ url }) => url),
      [],
    );

    const seen = navigations(page);
    await page.reload();
    assert.equal(page.url(), login_url);
    assert.equal(seen.length, 2);
    await screenshot(page, "reload-after-expiry");
    await page.click("#sign-in");
    await page.waitForURL(`${origin}/notes?page=2`);
    await works(page);
  });
}

/** When the WebSocket and the event stream of a page ended; of each that did not in so many seconds, nothing. */
const ended = (page, seconds) =>
  page.evaluate((seconds) => {
    const limit = new Promise((done) => setTimeout(done, seconds * 1000));
    const end = (target, name) =>
      new Promise((done) => target.addEventListener(name, () => done(Date.now()), { once: true }));
    return Promise.all([
      Promise.race([end(window.socket, "close"), limit]),
      Promise.race([end(window.source, "error"), limit]),
    ]);
  }, seconds);

test("streams end with their token, and a page can renew in time", async () => {
  const origin = world.origin("streams");
  const exp = now() + 4;
  const page = await signIn(origin, "/notes", { exp });
  const renewing = await signIn(origin, "/notes", { exp });
  const me = await page.evaluate(() => report.fetch("/jwt/me"));
  assert.equal(me.body.claims.sub, "alice");
  assert.ok(me.body.expires_in <= 4 && me.body.expires_in > 0, me.body.expires_in);
  const left = await page.evaluate(async () =>
    Number((await fetch("/api/notes")).headers.get("x-jwt-expires-in")),
  );
  assert.ok(left <= 4 && left > 0, `x-jwt-expires-in: ${left}`);
  const ends = ended(page, 10);
  const renewed = await renewing.evaluate(
    (token) => report.fetch("/jwt/auth", { headers: { authorization: `Bearer ${token}` } }),
    mint(),
  );
  assert.equal(renewed.status, 204);

  // The page hears of it when Envoy closes the connection, a second later.
  for (const at of await ends) {
    const late = at - exp * 1000;
    assert.ok(late > -500 && late < 3000, `ended ${late} ms after its token`);
  }
  const answer = await renewing.evaluate(() => report.fetch());
  assert.deepEqual([answer.status, answer.body.who], [200, "alice"]);
  assert.equal(await renewing.evaluate(async () => (await report.socket()).data), "hello alice");
});

test("streams end when the person signs out", async () => {
  const origin = world.origin("streams");
  const one = await signIn(origin);
  const other = await context.newPage();
  await other.goto(`${origin}/notes`);
  await works(other);
  const ends = ended(other, 5);
  const before = Date.now();
  await one.click("#logout");
  for (const at of await ends) assert.ok(at >= before, "a stream lives on");
});

test("signed out in one tab: what the other one sees", async () => {
  const origin = world.origin("exact");
  const one = await signIn(origin, "/notes/1");
  const other = await context.newPage();
  await other.goto(`${origin}/notes/2`);
  await works(other);

  await one.click("#logout");
  await one.waitForURL((url) => url.pathname !== "/notes/1");
  assert.ok(isLogin(one), one.url());
  assert.ok(!(await context.cookies(origin)).some(({ name }) => name === "access_token"));

  const answer = await other.evaluate(() => report.fetch());
  assert.deepEqual([answer.status, answer.body.reason], [401, "missing_token"]);
  await screenshot(other, "other-tab-before-reload");
  await other.reload();
  assert.ok(isLogin(other), other.url());
  await screenshot(other, "other-tab-after-logout");
  assert.equal(new URL(other.url()).searchParams.get("redirectUrl"), `${origin}/notes/2`);

  await one.goBack();
  await one.reload();
  assert.ok(isLogin(one), "a page of the session came back");
});

test("signed out by a script", async () => {
  const origin = world.origin("exact");
  const page = await signIn(origin);
  const answer = await page.evaluate(() => report.fetch("/jwt/logout", { method: "POST" }));
  assert.equal(answer.status, 204);
  assert.equal((await page.evaluate(() => report.fetch())).status, 401);
});

test("a form that is sent after the session ended: a page, and nothing is lost", async () => {
  const origin = world.origin("exact");
  const page = await signIn(origin);
  await page.fill("input[name=note]", "an hour of work");
  await context.clearCookies();
  world.app.taken();
  const seen = navigations(page);
  await page.click("form button");
  await page.waitForURL(`${origin}/save`);
  assert.deepEqual(
    seen.map(({ status }) => status),
    [401],
  );
  assert.deepEqual(world.app.taken(), []);
  await screenshot(page, "401-form");

  // Back to the page that holds the form: what takes a form may have nothing to show to a GET.
  await page.click("text=Sign in");
  await page.waitForURL((url) => url.href.startsWith(world.loginUrl));
  await page.click("#sign-in");
  await page.waitForURL((url) => url.origin === origin);
  await works(page);
  assert.ok(!world.app.taken().some(({ path }) => path === "/save"), "the form was sent by itself");
  assert.equal(page.url(), `${origin}/notes`);

  // Back past the refusal, to what was typed.
  const { urls, at } = await history(page);
  // Not before it was answered: the navigation may end the page that was asked.
  const steps = urls.indexOf(`${origin}/notes`) - at;
  await page.evaluate((steps) => void setTimeout(() => window.history.go(steps)), steps);
  await page.waitForFunction(() => document.querySelector("input").value !== "milk, eggs");
  assert.equal(await page.inputValue("input[name=note]"), "an hour of work");
  await page.click("form button");
  await page.locator("#who", { hasText: "alice, by POST note=an+hour+of+work" }).waitFor();
});

test("a form that is sent after the session ended: sign in elsewhere, reload, and it is sent", async () => {
  const origin = world.origin("exact");
  const page = await signIn(origin);
  await page.fill("input[name=note]", "an hour of work");
  await context.clearCookies();
  await page.click("form button");
  await page.locator("h1", { hasText: "You are not signed in." }).waitFor();
  await signIn(origin);
  // Chromium asks the person whether to send the form again; Playwright says yes.
  await page.reload();
  await page.locator("#who", { hasText: "alice, by POST note=an+hour+of+work" }).waitFor();
});
