// The page that shows an application and renews its session: what people do meanwhile, and what machines do.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { startLoaderWorld } from "./lib/loader_world.mjs";
import { logIn } from "./lib/provider.mjs";
import { works } from "./lib/world.mjs";

const HOST = "app.example.com";
const HOUR = 3_600_000;

/** The application as a person has it open, with a draft in it that a navigation would lose. */
async function open(t, world, { script, wrong } = {}) {
  const context = await world.browser.newContext({ viewport: { width: 800, height: 450 } });
  t.after(() => context.close());
  if (script) await context.addInitScript(script, wrong);
  const page = await context.newPage();
  const wanted = `${world.origin}/notes?page=2#top`;
  const self = {
    context,
    page,
    heading: (name) => page.getByRole("heading", { name }).waitFor({ timeout: 30_000 }),
    button: (name) => page.getByRole("button", { name }),
    /** The cookies of the application, or the values of its session. */
    sessions: async () =>
      (await context.cookies(world.origin))
        .filter(({ name }) => name === "access_token")
        .map(({ value }) => value),
    /** The application is on the screen, in all its parts. */
    async shown(who) {
      await page.waitForURL((url) => url.searchParams.get("redirectUrl") === wanted);
      self.frame = await (await page.waitForSelector("body > iframe")).contentFrame();
      await works(self.frame, who);
      assert.equal(self.frame.url(), wanted);
    },
    /** Nothing lies above it, it has a session, and the draft is there. */
    async isUntouched() {
      await page.locator("main").waitFor({ state: "hidden", timeout: 20_000 });
      assert.equal(await self.frame.inputValue('input[name="note"]'), "a draft");
      assert.equal(await self.frame.evaluate(async () => (await report.fetch()).status), 200);
    },
    /** What opens where a person is asked. */
    async popup() {
      const [popup] = await Promise.all([page.waitForEvent("popup"), self.button("Sign in").click()]);
      return popup;
    },
    /** The provider's session is over. */
    async endAtProvider() {
      await context.clearCookies({ domain: "id.example.com" });
      await self.tokensAre({ status: 400, json: { error: "invalid_grant" } });
    },
    /** What the provider answers to any request for a token from now on. */
    async tokensAre(answer) {
      const asked = [];
      await page.route(`${world.provider.issuer}/token`, (route) => {
        asked.push(route.request().url());
        return route.fulfill({ ...answer, headers: { "access-control-allow-origin": "*" } });
      });
      return asked;
    },
    tokensCome: () => page.unroute(`${world.provider.issuer}/token`),
  };
  await page.goto(wanted);
  await page.waitForURL((url) => url.origin === world.provider.origin);
  await logIn(page);
  await self.shown();
  await self.frame.fill('input[name="note"]', "a draft");
  return self;
}

const start = (life, change = () => {}) =>
  startLoaderWorld({
    id: "id.example.com",
    life,
    loader: (config) => void (config.applications[0].renewal = "stay"),
    plugin(config) {
      config.providers[0].clock_skew_seconds = 0;
      change(config);
    },
  });

describe("with tokens that live for minutes", { concurrency: 2 }, () => {
  let world, here;
  before(async () => {
    world = await start(300);
    here = await start(300, (config) => delete config.session.logout_url);
  });
  after(() => Promise.all([world?.stop(), here?.stop()]));

  test("it can be loaded again", async (t) => {
    const { page, shown } = await open(t, world);
    await screenshot(page, "loader-stay");
    await page.reload();
    await shown();
  });

  test("who signs out here stays signed out, until they say so", async (t) => {
    const { page, frame, heading, button, sessions, shown } = await open(t, here);
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await frame.click("#logout");
    await heading("You are signed out");
    await screenshot(page, "loader-stay-signed-out");
    assert.equal(await page.locator("body > iframe").count(), 0);
    await page.waitForTimeout(500);
    assert.deepEqual(
      asked.filter((url) => url.startsWith(here.provider.origin)),
      [],
    );
    assert.deepEqual(await sessions(), []);
    await button("Sign in").click();
    await shown();
  });

  test("who signs out at both is asked by the provider, in the whole window", async (t) => {
    const { page, frame, heading } = await open(t, world);
    await frame.click("#logout");
    await page.getByRole("button", { name: "Yes, sign me out" }).click();
    await heading("You are signed out");
    assert.equal(page.url(), world.page);
  });

  // An hour later the cookie is gone.
  const sleep = async ({ context, page }) => {
    await context.clearCookies({ domain: HOST });
    await page.evaluate((hour) => {
      const { now } = Date;
      Date.now = () => now() + hour;
    }, HOUR);
  };

  test("a machine that slept renews when it wakes", async (t) => {
    const self = await open(t, world);
    await sleep(self);
    await self.page.evaluate(() => void dispatchEvent(new Event("online")));
    while (!(await self.sessions()).length) await self.page.waitForTimeout(100);
    await self.isUntouched();
  });

  test("an application that was quicker to wake is led back to where it was", async (t) => {
    const self = await open(t, world);
    await sleep(self);
    await self.frame.evaluate(() => location.reload());
    await self.frame.locator('input[value="milk, eggs"]').waitFor();
    await self.shown();
    assert.ok(await self.page.locator("main").isHidden());
  });
});

describe("with tokens that live for seconds", { concurrency: 3 }, () => {
  const LIFE = 10;
  let world;
  before(async () => (world = await start(LIFE)));
  after(() => world?.stop());

  test("a session that ends elsewhere is not revived, and the page is not lost", async (t) => {
    const { context, page, heading, sessions, popup, isUntouched } = await open(t, world);
    await context.clearCookies({ domain: HOST });
    await heading("Your session has ended");
    await screenshot(page, "loader-stay-ended");
    await page.waitForTimeout(1000);
    assert.deepEqual(await sessions(), []);
    // The provider knows the person: the window opens and closes.
    const opened = await popup();
    if (!opened.isClosed()) await opened.waitForEvent("close");
    await isUntouched();
  });

  test("where the provider wants to see the person, nothing on the screen is lost", async (t) => {
    const { page, heading, popup, endAtProvider, tokensCome, isUntouched } = await open(t, world);
    await endAtProvider();
    await heading("Please sign in again");
    await page.getByText("login_required").waitFor();
    await screenshot(page, "loader-stay-person");
    await tokensCome();
    const opened = await popup();
    await logIn(opened);
    await isUntouched();
    assert.ok(opened.isClosed());
  });

  test("a provider that says nothing is not waited for without end", async (t) => {
    const { page, heading, endAtProvider } = await open(t, world);
    await endAtProvider();
    await page.route(/prompt=none/, (route) => route.fulfill({ contentType: "text/html", body: "" }));
    await heading("Please sign in again");
    await page.getByText("IFrame timed out").waitFor();
  });

  test("another person does not get the page of the one before", async (t) => {
    const { page, frame, heading, popup, endAtProvider, tokensCome, ...self } = await open(t, world);
    await endAtProvider();
    await heading("Please sign in again");
    await tokensCome();
    const gone = page.waitForEvent("framedetached", { predicate: (detached) => detached === frame });
    await logIn(await popup(), "bob");
    await gone;
    await self.shown("bob");
  });

  test("who closes the window that asks is asked again", async (t) => {
    const { page, heading, popup, endAtProvider } = await open(t, world);
    await endAtProvider();
    await heading("Please sign in again");
    await (await popup()).close();
    await page.getByText("Popup closed by user").waitFor();
    await heading("Please sign in again");
  });

  test("a provider that is down for a moment is nobody's business", async (t) => {
    const { page, sessions, tokensAre, tokensCome, isUntouched } = await open(t, world);
    const [before] = await sessions();
    const asked = await tokensAre({ status: 503, json: { error: "temporarily_unavailable" } });
    while (asked.length < 3) await page.waitForTimeout(100);
    assert.ok(await page.locator("main").isHidden());
    await tokensCome();
    while ([before, undefined].includes((await sessions())[0])) await page.waitForTimeout(100);
    await isUntouched();
  });

  for (const hours of [-1, 1]) {
    test(`a clock that is wrong by ${hours} h changes nothing`, async (t) => {
      const script = (wrong) => {
        const { now } = Date;
        Date.now = () => now() + wrong;
      };
      const { page, sessions, isUntouched } = await open(t, world, { script, wrong: hours * HOUR });
      const seen = new Set();
      for (const end = Date.now() + 2 * LIFE * 1000; Date.now() < end; await page.waitForTimeout(200)) {
        const [session] = await sessions();
        assert.ok(session, "there is a session at any time");
        seen.add(session);
      }
      assert.ok(seen.size >= 3 && seen.size <= 5, `${seen.size} tokens in two lives`);
      await isUntouched();
    });
  }
});
