// The application in a frame of another site, by each kind of cookie, in a browser that lets other sites' frames have
// cookies and in one that does not.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, screenshot } from "./lib/chromium.mjs";
import { asks, knows, signInLink } from "./lib/login.mjs";
import { page as answerPage } from "./lib/site.mjs";
import { mint } from "./lib/tokens.mjs";
import { navigations, startWorld, works } from "./lib/world.mjs";

// What a person may see go by before a page stays: more than this is a loop.
const MOST = 8;

let world;

before(async () => {
  // Only a site that is trusted may show our pages in a frame.
  const cookie =
    (attributes) =>
    (config, { elsewhereOrigin }) => {
      Object.assign(config.session, { cookie: attributes, allowed_origins: [elsewhereOrigin] });
      config.public_paths.push({ exact: "/pixel.gif" });
    };
  world = await startWorld({
    listeners: {
      lax: { config: cookie({}) },
      none: { config: cookie({ same_site: "None" }) },
      partitioned: { config: cookie({ same_site: "None", partitioned: true }) },
    },
  });
});
after(() => world?.stop());

for (const blocked of [false, true]) {
  describe(blocked ? "third-party cookies are blocked" : "third-party cookies are allowed", () => {
    let browser;
    before(async () => {
      browser = blocked ? await launch({ args: ["--test-third-party-cookie-phaseout"] }) : world.browser;
    });
    after(() => blocked && browser?.close());

    // The frame's address, in a page of another site. The last answer is what the person looks at.
    const embedded = async (address, run) => {
      const context = await browser.newContext({ viewport: { width: 800, height: 450 } });
      try {
        const page = await context.newPage();
        const seen = navigations(page);
        const top = world.elsewherePage(
          "/frames",
          `<iframe name="in" width="700" height="400" src="${address}">`,
        );
        world.app.taken();
        await page.goto(top);
        seen.shift();
        const rest = async () => {
          for (let count = -1; count < seen.length; await page.waitForTimeout(500)) count = seen.length;
        };
        await rest();
        const way = seen.map(({ status, url }) => `${status} ${new URL(url).pathname}`);
        assert.ok(seen.length <= MOST, `a loop: ${way.join(", ")}`);
        await run({ context, page, seen, rest, frame: page.frame("in") });
      } finally {
        await context.close();
      }
    };

    test("a cookie of another site proves it", async () => {
      world.login.answer = (back, response, { headers }) =>
        answerPage(response, `sent: ${headers.cookie}`, {
          "set-cookie": ["plain=1; SameSite=None; Secure", "part=1; SameSite=None; Secure; Partitioned"],
        });
      await embedded(world.loginUrl, async ({ frame }) => {
        await frame.goto(world.loginUrl);
        assert.equal(await frame.textContent("body"), blocked ? "sent: part=1" : "sent: plain=1; part=1");
      });
    });

    for (const [name, address] of [
      ["a link with a token", (origin) => `${origin}/notes?token=${mint()}`],
      ["auth_path", (origin) => signInLink(`${origin}/notes`, mint())],
      ["a login page that knows the person", (origin) => `${origin}/notes`],
    ]) {
      test(`a partitioned cookie works in the frame and nowhere else: ${name}`, async () => {
        world.login.answer = knows();
        const origin = world.origin("partitioned");
        await embedded(address(origin), async ({ context, page, frame }) => {
          assert.equal(frame.url(), `${origin}/notes`);
          await works(frame);
          await frame.click("form button");
          await frame.locator("#who", { hasText: "alice, by POST" }).waitFor();
          if (name === "auth_path") await screenshot(page, "frame");
          world.login.answer = asks();
          const tab = await context.newPage();
          await tab.goto(`${origin}/notes`);
          assert.ok(tab.url().startsWith(world.loginUrl), tab.url());
        });
      });

      test(`SameSite=None, not partitioned: ${name}`, async () => {
        world.login.answer = knows();
        const origin = world.origin("none");
        await embedded(address(origin), async ({ frame, seen }) => {
          if (!blocked) return works(frame);
          // The application for once, or why it is not to be had, in words that the frame shows.
          const shown = frame.locator(seen.at(-1).status === 200 ? "#who" : "main h1");
          await shown.waitFor({ timeout: 3000 });
        });
      });
    }

    test("a Lax cookie, a link with a token: the page is there at once, without a sign-in", async () => {
      const origin = world.origin("lax");
      const token = mint();
      await embedded(`${origin}/notes?a=1&token=${token}`, async ({ frame, seen, context }) => {
        assert.deepEqual(
          seen.map(({ status }) => status),
          [200],
        );
        await frame.locator("#who", { hasText: "alice" }).waitFor();
        assert.equal(world.app.requests[0].url, "/notes?a=1");
        assert.deepEqual(await context.cookies(origin), []);
        // The address of the frame holds the token, and goes along as Referer with what the page asks for next.
        await frame.locator("#image", { hasText: "loaded" }).waitFor();
        assert.ok(world.app.requests.some(({ path }) => path === "/pixel.gif"));
        assert.ok(!JSON.stringify(world.app.requests).includes(token));
      });
    });

    test("a Lax cookie, a login page that knows the person: no loop", async () => {
      world.login.answer = knows();
      await embedded(`${world.origin("lax")}/notes`, async ({ page, seen, frame }) => {
        assert.ok([401, 403].includes(seen.at(-1).status));
        await frame.locator("main h1").waitFor({ timeout: 3000 });
        assert.match(await frame.textContent("small"), /cookie_blocked/);
        if (blocked) await screenshot(page, "403-cookie-blocked");
      });
    });
  });
}
