// A person's way in, over each protocol that a browser and Envoy speak.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { asks, knows } from "./lib/login.mjs";
import { mint } from "./lib/tokens.mjs";
import { history, HOST, navigations, startWorld, works } from "./lib/world.mjs";

// Chromium tells who asks (Sec-Fetch-Mode and the like) where a connection is trusted: by https, and on this machine.
const PROTOCOLS = [
  { name: "HTTP/2", tls: ["h2", "http/1.1"], host: HOST, spoken: "h2" },
  { name: "HTTP/1.1 with TLS", tls: ["http/1.1"], host: HOST, spoken: "http/1.1" },
  { name: "HTTP/1.1, trusted", tls: false, host: "ide.localhost", spoken: "http/1.1" },
  { name: "HTTP/1.1, not trusted", tls: false, host: HOST, spoken: "http/1.1", silent: true },
];

for (const { name, tls, host, spoken, silent } of PROTOCOLS) {
  describe(name, () => {
    let world, context, page, seen, origin, tokens;
    const minted = (claims) => () => tokens[tokens.push(mint(claims)) - 1];

    before(async () => {
      world = await startWorld({ tls, host });
      origin = world.origin();
    });
    after(() => world?.stop());

    const start = async () => {
      await context?.close();
      context = await world.browser.newContext({ viewport: { width: 800, height: 450 } });
      page = await context.newPage();
      seen = navigations(page);
      tokens = [];
      for (const site of [world.app, world.login, world.elsewhere]) site.taken();
    };

    /** No token in any address that the browser keeps, nor in any that it told a site. */
    const assertNoTraces = async () => {
      const { urls } = await history(page);
      const told = [...world.app.requests, ...world.login.requests, ...world.elsewhere.requests];
      for (const token of tokens) {
        assert.ok(!urls.some((url) => url.includes(token)), `the history has the token: ${urls}`);
        assert.ok(!page.url().includes(token));
        for (const request of told) {
          assert.ok(!JSON.stringify(request).includes(token), `a site was told the token: ${request.url}`);
        }
      }
      for (const { headers } of told) assert.ok(!headers.referer?.includes("/jwt/auth"), headers.referer);
    };

    test("a deep link, the login page, and back to the very place", async () => {
      await start();
      world.login.answer = asks(minted());
      const wanted = `${origin}/notes/7?page=2&q=a%20b&q=#part=3`;
      await page.goto(wanted);
      assert.equal(page.url().split("?")[0], world.loginUrl);
      await page.click("#sign-in");
      await page.waitForURL(wanted);
      await works(page);
      assert.deepEqual(
        seen.map(({ status }) => status),
        [302, 200, 303, 200],
      );
      const protocol = await page.evaluate(
        () => performance.getEntriesByType("navigation")[0].nextHopProtocol,
      );
      assert.equal(protocol, spoken);
      const asked = world.app.requests.find(({ path }) => path === "/notes/7");
      assert.equal(asked.headers["sec-fetch-mode"], silent ? undefined : "navigate");
      await assertNoTraces();
      if (spoken === "h2") await screenshot(page, "signed-in");

      const cookie = (await context.cookies(origin)).find(({ name }) => name === "access_token");
      assert.equal(cookie.value, tokens.at(-1));
      assert.equal(cookie.httpOnly, true);
      assert.equal(cookie.secure, Boolean(tls));
      assert.equal(cookie.sameSite, "Lax");
    });

    test("a login page that knows the person: nothing to click, the fragment survives, Back leaves", async () => {
      await start();
      world.login.answer = knows(minted());
      const wanted = `${origin}/notes?page=2#part`;
      const before = world.elsewherePage("/before", `<a id="go" href="${wanted}">Notes</a>`);
      await page.goto(before);
      await page.click("#go");
      await page.waitForURL(wanted);
      await works(page);
      assert.deepEqual(
        seen.map(({ status }) => status),
        [200, 302, 302, 303, 200],
      );
      assert.deepEqual((await history(page)).urls.slice(-2), [before, wanted]);
      await assertNoTraces();

      await page.goBack();
      assert.equal(page.url(), before);
      if (spoken === "h2") await screenshot(page, "back");
      await page.goForward();
      assert.equal(page.url(), wanted);
      await works(page);
      assert.equal(tokens.length, 1, "signed in a second time");
    });

    test("a link with a token to any page", async () => {
      await start();
      const token = minted()();
      await page.goto(`${origin}/notes?a=1&token=${token}&b=2#part`);
      assert.equal(page.url(), `${origin}/notes?a=1&b=2#part`);
      await works(page);
      await assertNoTraces();
      // A picture of another site, from the page that the sign-in led to.
      const image = world.elsewherePage("/pixel", "");
      await page.evaluate(
        (src) =>
          new Promise((done) => {
            const picture = Object.assign(new Image(), { src, onerror: done });
            document.body.append(picture);
          }),
        image,
      );
      assert.ok(world.elsewhere.requests.length > 0);
      await assertNoTraces();
    });

    test("no answer of the sign-in is kept", async () => {
      await start();
      const link = `${origin}/jwt/auth?token=${minted()()}&redirectUrl=%2Fnotes`;
      const asked = () => world.envoy.log().split('"path":"/jwt/auth"').length - 1;
      for (const times of [1, 2, 3]) {
        const count = asked();
        await page.goto(link);
        await works(page);
        for (let tries = 0; asked() === count && tries < 100; tries += 1) await page.waitForTimeout(10);
        assert.equal(asked(), count + 1, `visit ${times} came from the cache`);
      }
      await context.clearCookies();
      world.login.answer = asks(minted());
      await page.goto(`${origin}/notes`);
      assert.equal(page.url().split("?")[0], world.loginUrl);
    });

    test("a page of ours leaves no token in the address, though it is not yet signed in with", async () => {
      await start();
      await page.goto(`${origin}/notes?token=${mint({ sub: "bob" })}`);
      await page.goto(
        world.elsewherePage("/before", `<a href="${origin}/notes?token=${minted()()}">Notes</a>`),
      );
      await page.click("a");
      await page.locator("small", { hasText: "other_session" }).waitFor();
      await assertNoTraces();
      await page.click("main a");
      await page.waitForURL(`${origin}/notes`);
      await works(page);
      await assertNoTraces();
    });
  });
}
