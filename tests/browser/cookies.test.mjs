// Cookies of every kind, as Chromium keeps them.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { asks, knows, posts, signInLink } from "./lib/login.mjs";
import { page as answerPage } from "./lib/site.mjs";
import { mint, now, strangersKey, subject } from "./lib/tokens.mjs";
import { HOST, navigations, startWorld, works } from "./lib/world.mjs";

let world, context, page;

const folder = mkdtempSync(join(tmpdir(), "workspaces-"));
const WORKSPACES = ["ws1", "ws2"];

// Two workspaces on one host: an ingress ends TLS, takes /ws1 away and leads on to the Envoy of that workspace.
const workspaces = Object.fromEntries(
  WORKSPACES.map((name) => [
    name,
    {
      tls: undefined,
      config(config) {
        config.providers[0].audiences = [name];
        Object.assign(config.session, { cookie: { path: `/${name}` }, public_base_path: `/${name}` });
      },
    },
  ]),
);

function ingress({ static_resources: { listeners, clusters } }) {
  const pipe = (name) => ({ pipe: { path: join(folder, name) } });
  const manager = (name) =>
    listeners.find((listener) => listener.name === name).filter_chains[0].filters[0].typed_config;
  for (const name of WORKSPACES) {
    listeners.find((listener) => listener.name === name).address = pipe(name);
    manager(name).xff_num_trusted_hops = 1;
    const endpoints = [{ lb_endpoints: [{ endpoint: { address: pipe(name) } }] }];
    clusters.push({ name, load_assignment: { cluster_name: name, endpoints } });
  }
  const front = manager("front");
  front.http_filters = front.http_filters.filter(({ name }) => name === "envoy.filters.http.router");
  front.route_config.virtual_hosts[0].routes = WORKSPACES.map((name) => ({
    match: { prefix: `/${name}/` },
    route: { cluster: name, prefix_rewrite: "/", timeout: "0s" },
  }));
}

before(async () => {
  const session = (fields) => ({ config: (config) => void Object.assign(config.session, fields) });
  world = await startWorld({
    listeners: {
      plain: {
        config: (config, { loginOrigin }) => void (config.session.allowed_origins = [loginOrigin]),
      },
      host: session({ cookie: { name: "__Host-access_token" } }),
      front: {},
      ...workspaces,
    },
    change: ingress,
  });
});
after(async () => {
  await world?.stop();
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  world.login.answer = asks();
  context = await world.browser.newContext({ viewport: { width: 800, height: 450 } });
  context.setDefaultTimeout(10_000);
  page = await context.newPage();
});
afterEach(() => context.close());

const names = async (origin) => (await context.cookies(`${origin}/notes`)).map(({ name }) => name).sort();
const large = (bytes, claims) => mint({ groups: "g".repeat((bytes * 3) / 4), ...claims });

describe("a token that is too large for one cookie", () => {
  for (const [kilobytes, parts] of [
    [6, 2],
    [10, 3],
  ]) {
    test(`${kilobytes} kB`, async () => {
      const origin = world.origin("plain");
      const token = large(kilobytes * 1000);
      const expected = [...Array(parts).keys()].map((number) => `access_token.${number + 1}`);

      for (const link of [`${origin}/notes?token=${token}`, signInLink(`${origin}/notes`, token)]) {
        await context.clearCookies();
        world.app.taken();
        await page.goto(link);
        assert.equal(page.url(), `${origin}/notes`);
        await works(page);
        assert.deepEqual(await names(origin), expected);
        if (kilobytes === 6) await screenshot(page, "6-kilobytes");
        assert.ok(world.app.requests.every(({ headers }) => !headers.cookie));
      }

      // A smaller one takes their place, and they take that of a smaller one.
      await page.goto(signInLink(`${origin}/notes`, mint({ sub: "bob" })));
      await works(page, "bob");
      assert.deepEqual(await names(origin), ["access_token"]);
      await context.clearCookies({ name: "access_token" });
      await page.goto(signInLink(`${origin}/notes`, mint()));
      await page.goto(signInLink(`${origin}/notes`, token));
      await works(page);
      assert.deepEqual(await names(origin), expected);

      await page.click("#logout");
      await page.waitForURL((url) => url.href.startsWith(world.loginUrl));
      const left = (await names(origin)).filter((name) => name !== "access_token.login");
      assert.deepEqual(left, []);
    });
  }

  test("20 kB: a reason, and no loop", async () => {
    world.login.answer = knows(() => large(20_000));
    const seen = navigations(page);
    await page.goto(`${world.origin("plain")}/notes`);
    assert.match(await page.textContent("small"), /token_too_large/);
    assert.equal(seen.at(-1).status, 413);
    await screenshot(page, "413-token-too-large");
    assert.ok(seen.length <= 4);
  });

  // Chromium does not send a Lax cookie with them, so the filter cannot see what it replaces.
  test("forms of the login page leave nothing of the session before", async () => {
    const origin = world.origin("plain");
    const back = `${world.loginUrl}?redirectUrl=${encodeURIComponent(`${origin}/notes`)}`;
    const signIn = async (token, who) => {
      world.login.answer = posts(() => token);
      await page.goto(back);
      await page.waitForURL(`${origin}/notes`);
      await works(page, who);
    };
    const parts = ["access_token.1", "access_token.2"];
    await page.goto(signInLink(`${origin}/notes`, mint()));
    await works(page, "alice");
    await signIn(large(6000, { sub: "bob" }), "bob");
    assert.deepEqual(await names(origin), parts);
    await signIn(mint({ sub: "carol" }), "carol");
    assert.deepEqual(await names(origin), ["access_token"]);
    await signIn(large(6000), "alice");
    assert.deepEqual(await names(origin), parts);

    world.login.answer = (_, response) => {
      world.login.answer = asks();
      answerPage(
        response,
        `<form method="post" action="${origin}/jwt/logout"></form><script>document.forms[0].submit();</script>`,
      );
    };
    await page.goto(back);
    await page.locator("#sign-in").waitFor();
    assert.deepEqual(await names(origin), ["access_token.login"]);
  });
});

test("two workspaces on one host, a person in each", async () => {
  const origin = world.origin("front");
  const people = { ws1: "alice", ws2: "bob" };
  world.login.answer = (back, response) => {
    const [, name] = new URL(back).pathname.split("/");
    return knows(() => mint({ aud: name, sub: people[name] }), `/${name}`)(back, response);
  };
  const other = await context.newPage();
  await page.goto(`${origin}/ws1/notes?a=1#part`);
  await other.goto(`${origin}/ws2/notes`);
  assert.equal(page.url(), `${origin}/ws1/notes?a=1#part`);
  await works(page, "alice");
  await works(other, "bob");
  await page.reload();
  await works(page, "alice");
  await screenshot(page, "two-workspaces-first");
  await screenshot(other, "two-workspaces-second");

  const cookies = (await context.cookies([`${origin}/ws1/x`, `${origin}/ws2/x`])).filter(
    ({ name }) => name === "access_token",
  );
  const kept = cookies.map(({ path, value, secure }) => [path, subject(value), secure]).sort();
  assert.deepEqual(kept, [
    ["/ws1", "alice", true],
    ["/ws2", "bob", true],
  ]);

  // The token of one opens nothing in the other, and disturbs nobody there.
  const stranger = await context.newPage();
  await stranger.goto(`${origin}/ws2/jwt/auth?token=${mint({ aud: "ws1" })}`);
  await works(stranger, "bob");
  await context.clearCookies({ path: "/ws2" });
  await stranger.goto(`${origin}/ws2/jwt/auth?token=${mint({ aud: "ws1" })}`);
  assert.match(await stranger.textContent("small"), /audience_mismatch/);
  await other.reload();
  await works(other, "bob");

  const answer = await page.evaluate(() => report.fetch("/jwt/logout", { method: "POST" }));
  assert.equal(answer.status, 204);
  assert.equal((await page.evaluate(() => report.fetch())).status, 401);
  await other.reload();
  await works(other, "bob");
});

test("__Host-", async () => {
  const origin = world.origin("host");
  await page.goto(`${origin}/notes`);
  await page.click("#sign-in");
  await page.waitForURL(`${origin}/notes`);
  await works(page);
  const cookies = await context.cookies(origin);
  const { domain, path, secure } = cookies.find(({ name }) => name === "__Host-access_token");
  assert.deepEqual({ domain, path, secure }, { domain: HOST, path: "/", secure: true });
  await page.click("#logout");
  await page.waitForURL((url) => url.href.startsWith(world.loginUrl));
  assert.ok(!(await names(origin)).includes("__Host-access_token"));
});

describe("cookies of our name that others left", () => {
  const left = () => {
    const cookie = (value, place) => ({ name: "access_token", value, secure: true, ...place });
    const expired = () => mint({ exp: now() - 3600 });
    return [
      cookie(expired(), { domain: ".example.com", path: "/" }),
      cookie(expired(), { domain: ".example.com", path: "/notes" }),
      cookie(mint({ sub: "mallory" }, strangersKey), { domain: HOST, path: "/notes" }),
      cookie("garbage", { domain: `.${HOST}`, path: "/" }),
      cookie("2:AAAAAAAA:garbage", { name: "access_token.1", domain: ".example.com", path: "/" }),
    ];
  };

  for (const [what, token] of [
    ["a token", () => mint()],
    ["a large token", () => large(6000)],
  ]) {
    test(`they neither keep a person out nor end a session: ${what}`, async () => {
      const origin = world.origin("plain");
      await context.addCookies(left());
      world.login.answer = knows(token);
      const seen = navigations(page);
      await page.goto(`${origin}/notes`);
      assert.equal(page.url(), `${origin}/notes`);
      await works(page);
      assert.ok(seen.length <= 5, JSON.stringify(seen.map(({ url }) => url)));
      await context.addCookies(left());
      await page.reload();
      await works(page);
      const saved = await page.evaluate(() => report.fetch("/api/notes", { method: "POST" }));
      assert.equal(saved.status, 200);
    });
  }
});

for (const [what, token] of [
  ["a token", () => mint()],
  ["a large token", () => large(6000)],
]) {
  test(`${what} in a form of the login page: it stands in no address at all`, async () => {
    const origin = world.origin("plain");
    const tokens = [];
    world.login.answer = posts(() => tokens[tokens.push(token()) - 1]);
    const seen = [];
    page.on("request", (request) => seen.push(request.url()));
    await page.goto(`${origin}/notes?a=1#part`);
    await page.waitForURL(`${origin}/notes?a=1#part`);
    await works(page);
    assert.equal(tokens.length, 1);
    assert.ok(!seen.some((url) => url.includes(tokens[0])));
  });
}
