// Whatever a login page brings, and whatever becomes of the cookie: the person ends at a page, and not in a loop.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { asks, bringsNothing, knows, linksToPage, signInLink } from "./lib/login.mjs";
import { mint, now, strangersKey } from "./lib/tokens.mjs";
import { navigations, startWorld, works } from "./lib/world.mjs";

// More than this going by is a loop. Of a typed address Chromium does not say that a login page led back to it: then the
// filter tries three times.
const MOST = 10;

let world, context, page, seen;

before(async () => {
  const session = (fields) => ({ config: (config) => void Object.assign(config.session, fields) });
  world = await startWorld({
    listeners: {
      plain: {},
      strict: session({ cookie: { same_site: "Strict" } }),
      stays: session({ cookie: { max_age: "session" } }),
      insecure: { ...session({ cookie: { secure: true } }), tls: undefined },
      domain: session({ cookie: { domain: "example.net" } }),
      path: session({ cookie: { path: "/ws1" } }),
      cookieless: {},
    },
    // As if the browser kept none.
    change({ static_resources }) {
      const { filter_chains } = static_resources.listeners.find(({ name }) => name === "cookieless");
      filter_chains[0].filters[0].typed_config.http_filters.unshift({
        name: "no cookies",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
          mutations: { request_mutations: [{ remove: "cookie" }] },
        },
      });
    },
  });
});
after(() => world?.stop());
beforeEach(async () => {
  context = await world.browser.newContext({ viewport: { width: 800, height: 450 } });
  context.setDefaultTimeout(10_000);
  page = await context.newPage();
  seen = navigations(page);
});
afterEach(() => context.close());

const expired = () => mint({ exp: now() - 3600 });
const cookie = (origin, value) => ({ name: "access_token", value, url: origin });

/** Goes there; the way is what the person sees go by. */
const visit = async (address) => {
  seen.length = 0;
  await page.goto(address).catch((error) => error);
  const way = seen.map(({ status, url }) => `${status} ${new URL(url).pathname}`);
  assert.ok(way.length <= MOST, `a loop: ${way.join(", ")}`);
  return way;
};

/** Our page, which says why. */
const tells = async (reason, status = 401) => {
  assert.equal(seen.at(-1).status, status, JSON.stringify(seen.at(-1)));
  await page.locator("main h1").waitFor();
  assert.match(await page.textContent("small"), reason);
};

describe("what the login page brings", () => {
  for (const [what, reason, token, status] of [
    ["a forged token", /invalid_signature/, () => mint({}, strangersKey)],
    ["an expired token", /token_expired/, expired],
    ["a token of tomorrow, by its own clock", /token_issued_in_future/, () => mint({ iat: now() + 86_400 })],
    ["no JWT", /malformed_token/, () => "opaque"],
    ["a token for another place", /audience_mismatch/, () => mint({ aud: "elsewhere" }), 403],
  ]) {
    for (const [how, answer] of [
      ["to auth_path", knows(token)],
      ["to the page", linksToPage(token)],
    ]) {
      test(`${what}, ${how}`, async () => {
        world.login.answer = answer;
        await visit(`${world.origin("plain")}/notes`);
        await tells(reason, status);
        if (status && how === "to auth_path") await screenshot(page, "403-another-place");
        if (what === "no JWT" && how === "to auth_path") await screenshot(page, "401");

        // As soon as the login page works, so does the link on ours.
        world.login.answer = knows();
        await page.click("main a");
        await page.waitForURL(`${world.origin("plain")}/notes`);
        await works(page);
      });
    }
  }

  test("nothing", async () => {
    world.login.answer = bringsNothing();
    await visit(`${world.origin("plain")}/notes?a=1#part`);
    await tells(/missing_token/);
    await screenshot(page, "second-refusal");
    // What a screen reader says of it.
    assert.equal(await page.title(), "You are not signed in");
    assert.equal(await page.getAttribute("html", "lang"), "en");
    const heard = await page.locator("body").ariaSnapshot();
    const said = /^- main:\n {2}- heading "You are not signed in\." \[level=1\]\n {2}- paragraph: You come from the sign-in page, .*\n {2}- paragraph:\n {4}- link "Sign in":\n/;
    assert.match(heard, said);
    world.login.answer = asks();
    await page.click("main a");
    await page.click("#sign-in");
    await page.waitForURL(`${world.origin("plain")}/notes?a=1#part`);
    await works(page);

    // A session that ends later leads to the login page again, as the first one did: by then nothing is remembered.
    const marker = async () => (await context.cookies()).find(({ name }) => name === "access_token.login");
    assert.ok((await marker())?.expires < Date.now() / 1000 + 11, "is forgotten soon");
    await context.clearCookies();
    await visit(`${world.origin("plain")}/notes?a=1`);
    assert.ok(page.url().startsWith(world.loginUrl), page.url());
  });
});

describe("a dead token", () => {
  const inCookie = (origin) => context.addCookies([cookie(origin, expired())]);

  test("in the query", async () => {
    world.login.answer = knows();
    await visit(`${world.origin("plain")}/notes?token=${expired()}`);
    assert.equal(page.url(), `${world.origin("plain")}/notes`);
    await works(page);
  });

  for (const listener of ["plain", "stays"]) {
    test(`in the cookie, and in both: ${listener}`, async () => {
      world.login.answer = knows();
      const origin = world.origin(listener);
      await inCookie(origin);
      await visit(`${origin}/notes`);
      await works(page);
      await context.clearCookies();
      await inCookie(origin);
      await visit(`${origin}/notes?token=${expired()}`);
      assert.equal(page.url(), `${origin}/notes`);
      await works(page);
    });
  }

  test("in the cookie, and the login page brings no better one", async () => {
    world.login.answer = knows(expired);
    await inCookie(world.origin("plain"));
    await visit(`${world.origin("plain")}/notes`);
    await tells(/token_expired/);
    world.login.answer = linksToPage(expired);
    await inCookie(world.origin("plain"));
    await visit(`${world.origin("plain")}/notes`);
    await tells(/token_expired/);
  });
});

describe("a cookie that the browser does not bring back", () => {
  test("SameSite=Strict, from a login page of another site: asked once, and signed in", async () => {
    const origin = world.origin("strict");
    const wanted = `${origin}/notes?a=1#part`;
    world.login.answer = knows();
    await page.goto(world.elsewherePage("/before", `<a href="${wanted}">Notes</a>`));
    await page.click("a");
    await page.locator("small", { hasText: "hidden_session" }).waitFor();
    await screenshot(page, "409-hidden-session");
    await page.click("main a");
    await page.waitForURL(`${origin}/notes?a=1*`);
    await works(page);
    assert.equal(page.url(), wanted);
    assert.ok(seen.length <= MOST);
    await page.reload();
    await works(page);
  });

  for (const [listener, what] of [
    ["domain", "its domain is another one"],
    ["path", "its path is another one"],
    ["insecure", "it is Secure, and the page is not"],
  ]) {
    for (const [how, answer] of [
      ["to auth_path", knows()],
      ["to the page", linksToPage(() => mint())],
    ]) {
      test(`${what}, ${how}`, async () => {
        world.login.answer = answer;
        const origin = world.origin(listener).replace(listener === "insecure" ? "https" : " ", "http");
        await visit(`${origin}/notes`);
        await tells(/./);
      });
    }
  }
});

// Nothing tells such a browser from a new one at each visit. With a login page that sees the person, who must click, all is
// well; one that knows the person has to stop by itself, as envoy/loader does.
describe("a browser that keeps no cookie at all", () => {
  test("a login page that asks: the person sees it again", async () => {
    world.login.answer = asks();
    await visit(`${world.origin("cookieless")}/notes`);
    await page.click("#sign-in");
    await page.waitForURL((url) => url.href.startsWith(world.loginUrl));
    await page.locator("#sign-in").waitFor();
  });

  for (const [how, answer] of [
    ["to auth_path", knows()],
    ["to the page", linksToPage(() => mint())],
  ]) {
    test(`a login page that knows the person, ${how}: the browser makes an end of it`, async () => {
      world.login.answer = answer;
      await assert.rejects(page.goto(`${world.origin("cookieless")}/notes`), /ERR_TOO_MANY_REDIRECTS/);
      assert.ok(seen.length > MOST && seen.length < 30, `${seen.length} redirects`);
      assert.ok(seen.every(({ status }) => [302, 303].includes(status)));
    });
  }
});

test("Back from the login page, and the same link again", async () => {
  world.login.answer = asks();
  const origin = world.origin("plain");
  await page.goto(world.elsewherePage("/before", `<a href="${origin}/notes">Notes</a>`));
  await page.click("a");
  await page.waitForURL((url) => url.href.startsWith(world.loginUrl));
  await page.goBack();
  await page.click("a");
  await page.waitForURL((url) => url.href.startsWith(world.loginUrl), { timeout: 3000 });
});
