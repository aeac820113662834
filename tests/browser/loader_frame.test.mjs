// The sign-in page in a frame: unseen in an application's page, where it renews, and in the place of an application.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startLoaderWorld } from "./lib/loader_world.mjs";
import { logIn } from "./lib/provider.mjs";
import { works } from "./lib/world.mjs";

let world, lab;

before(async () => {
  world = await startLoaderWorld({
    id: "id.example.com",
    loader(config, { origin }) {
      lab = origin.replace("app.", "lab.");
      config.applications = [{ url: `${origin}/` }, { url: `${lab}/`, renewal: "frame" }];
    },
    change(_, { site }) {
      const policy = site.response_headers_to_add.find(
        ({ header }) => header.key === "content-security-policy",
      );
      policy.header.value = policy.header.value
        .replaceAll(/https:\/\/app\.example\.com:\d+/g, (app) => `${app} ${app.replace("app.", "lab.")}`)
        .replace("frame-ancestors 'self'", `frame-ancestors 'self' ${lab} ${lab.replace("lab.", "app.")}`);
    },
  });
});
after(() => world?.stop());

async function open(t, origin) {
  const context = await world.browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${origin}/notes`);
  await page.waitForURL((url) => url.origin === world.provider.origin);
  await logIn(page);
  await page.waitForURL(`${origin}/notes`);
  await works(page);
  await page.evaluate(() => {
    window.heard = [];
    addEventListener("message", ({ origin, data }) => window.heard.push({ origin, ...data }));
  });
  return { context, page };
}

/** Adds a frame to a page, and returns what it has told the page after a while. */
async function embed(page, src) {
  await page.evaluate((address) => {
    const frame = document.createElement("iframe");
    frame.src = address;
    document.body.append(frame);
  }, src);
  await page.waitForTimeout(2500);
  return page.evaluate(() => window.heard);
}

const renew = () => `${world.page}?renew=${lab}/`;
const told = (state, detail) => ({
  origin: world.loginOrigin,
  source: "jwtproxy-loader",
  state,
  ...(detail && { detail }),
});
const tokens = () => world.provider.seen.filter(({ what }) => what === "token").length;

test("a page of the application hears that its session was renewed", async (t) => {
  const { page } = await open(t, lab);
  const before = tokens();
  assert.deepEqual(await embed(page, renew()), [told("renewed")]);
  assert.equal(tokens(), before + 1);
});

test("where the provider wants to see the person, the page hears it", async (t) => {
  const { context, page } = await open(t, lab);
  await context.clearCookies({ domain: "id.example.com" });
  await page.evaluate(() => sessionStorage.clear());
  await page.route(`${world.provider.issuer}/token`, (route) =>
    route.fulfill({
      status: 400,
      json: { error: "invalid_grant" },
      headers: { "access-control-allow-origin": "*" },
    }),
  );
  const [message, ...more] = await embed(page, renew());
  assert.deepEqual(message, told("sign-in-needed", "End-User authentication is required"));
  assert.deepEqual(more, []);
  // The session of before goes on to its end.
  assert.equal(await page.evaluate(async () => (await report.fetch()).status), 200);
});

test("who has signed out is not signed in again", async (t) => {
  const { context, page } = await open(t, lab);
  await context.clearCookies({ domain: "lab.example.com" });
  const before = tokens();
  assert.deepEqual(await embed(page, renew()), [told("ended")]);
  assert.equal(tokens(), before);
});

test("the page of another application hears nothing", async (t) => {
  const { page } = await open(t, world.origin);
  assert.deepEqual(await embed(page, renew()), []);
});

test("an application that does not renew by a frame is not renewed", async (t) => {
  const { page } = await open(t, world.origin);
  const before = tokens();
  assert.deepEqual(await embed(page, `${world.page}?renew=${world.origin}/`), []);
  await page.frameLocator("iframe").getByText("does not renew by a frame").waitFor();
  assert.equal(tokens(), before);
});

test("nobody else may frame it", async (t) => {
  const { page } = await open(t, lab);
  const elsewhere = await page.context().newPage();
  world.ingress.hosts["elsewhere.example.org"] = world.app.port;
  await elsewhere.goto(world.ingress.origin("elsewhere.example.org"));
  await elsewhere.evaluate(() => void (window.heard = []));
  const before = tokens();
  assert.deepEqual(await embed(elsewhere, renew()), []);
  assert.equal(tokens(), before);
  const [, frame] = elsewhere.frames();
  assert.equal(frame.url(), "chrome-error://chromewebdata/");
});

test("an application in a frame is signed in unseen, by the session at the provider", async (t) => {
  const { page } = await open(t, lab);
  await embed(page, `${world.origin}/notes?page=2#top`);
  const frame = page.frames().find((one) => one.url() === `${world.origin}/notes?page=2#top`);
  await works(frame);
});

test("an application in a frame, where the provider wants to see the person", async (t) => {
  const { context, page } = await open(t, lab);
  await context.clearCookies({ domain: "id.example.com" });
  await page.evaluate(() => sessionStorage.clear());
  await page.route(`${world.provider.issuer}/token`, (route) =>
    route.fulfill({
      status: 400,
      json: { error: "invalid_grant" },
      headers: { "access-control-allow-origin": "*" },
    }),
  );
  await embed(page, `${world.origin}/notes`);
  const frame = page.frameLocator("iframe");
  await frame.getByText("login_required").waitFor();
  const [opened] = await Promise.all([
    page.waitForEvent("popup"),
    frame.getByRole("button", { name: "Sign in in a window of its own" }).click(),
  ]);
  await opened.waitForURL((url) => url.origin === world.provider.origin);
});
