// A page of another site, open in the browser of a person who is signed in.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { asks as asksToSignIn, signInLink } from "./lib/login.mjs";
import { mint, subject } from "./lib/tokens.mjs";
import { startWorld, works } from "./lib/world.mjs";

// Chromium keeps a Lax cookie from most of this by itself. With SameSite=None nothing but the filter stands in the way.
// A Strict one it hides from the filter whenever a link comes from elsewhere.
const COOKIES = { lax: {}, none: { same_site: "None" }, strict: { same_site: "Strict" } };

let world, context, origin, token;

before(async () => {
  const listener = (cookie, csrf) => ({
    config: ({ session }) =>
      void Object.assign(session, { cookie, info_path: "/jwt/me", info_claims: ["sub"], ...csrf }),
  });
  const listeners = Object.entries(COOKIES).map(([name, cookie]) => [name, listener(cookie)]);
  listeners.push(["none, csrf: strict", listener(COOKIES.none, { csrf: "strict" })]);
  listeners.push([
    "strict, login page allowed",
    {
      config: ({ session }, { loginOrigin }) =>
        void Object.assign(session, { cookie: COOKIES.strict, allowed_origins: [loginOrigin] }),
    },
  ]);
  world = await startWorld({ listeners: Object.fromEntries(listeners) });
});
after(() => world?.stop());
afterEach(() => context?.close());

/** A new browser profile in which alice is signed in, and a page of another site. */
const victim = async (listener, html = "") => {
  origin = world.origin(listener);
  token = mint();
  context = await world.browser.newContext({ viewport: { width: 800, height: 450 } });
  context.setDefaultTimeout(10_000);
  const own = await context.newPage();
  await own.goto(signInLink(`${origin}/notes`, token));
  await works(own);
  await own.close();
  const page = await context.newPage();
  await page.goto(world.elsewherePage("/hostile", html.replaceAll("ORIGIN", origin)));
  world.app.taken();
  return page;
};

const survives = async () => {
  const cookies = await context.cookies(origin);
  const own = cookies.filter(({ name }) => name === "access_token");
  assert.deepEqual(
    own.map(({ value }) => subject(value)),
    ["alice"],
  );
  assert.equal(own[0].value, token);
  const page = await context.newPage();
  await page.goto(`${origin}/notes`);
  await works(page);
  await page.close();
};

/** What came through to the application as something that alice did. */
const asAlice = () => world.app.taken().filter(({ headers }) => headers["x-jwt-sub"]);

const settled = (page) => page.waitForLoadState("networkidle");

for (const listener of ["lax", "none", "none, csrf: strict"]) {
  describe(`requests of a hostile page: ${listener}`, () => {
    test("a form", async () => {
      const page = await victim(
        listener,
        `<form method="post" action="ORIGIN/save"><input name="note" value="x">`,
      );
      await page.evaluate(() => document.forms[0].submit());
      await page.waitForURL(`${origin}/save`);
      assert.deepEqual(world.app.taken(), []);
      assert.match(await page.textContent("small"), listener === "lax" ? /missing/ : /csrf/);
      if (listener === "none") await screenshot(page, "403-another-site");
      await survives();
    });

    test("a form in a frame", async () => {
      const page = await victim(
        listener,
        `<iframe name="in"></iframe><form method="post" target="in" action="ORIGIN/save">`,
      );
      const answered = page.waitForResponse(`${origin}/save`);
      await page.evaluate(() => document.forms[0].submit());
      assert.ok([401, 403].includes((await answered).status()));
      assert.deepEqual(world.app.taken(), []);
      await survives();
    });

    test("scripts", async () => {
      const page = await victim(listener);
      const read = await page.evaluate(async (origin) => {
        const attempt = (path, options) =>
          fetch(`${origin}${path}`, { credentials: "include", ...options }).then(
            ({ type, status }) => `${type} ${status}`,
            () => "failed",
          );
        const json = { "content-type": "application/json" };
        return {
          get: await attempt("/api/notes"),
          blindGet: await attempt("/api/notes", { mode: "no-cors" }),
          post: await attempt("/api/notes", { method: "POST", body: "x" }),
          blindPost: await attempt("/api/notes", { method: "POST", body: "x", mode: "no-cors" }),
          json: await attempt("/api/notes", { method: "POST", body: "{}", headers: json }),
          put: await attempt("/api/notes", { method: "PUT", body: "x" }),
          remove: await attempt("/api/notes", { method: "DELETE" }),
          beacon: navigator.sendBeacon(`${origin}/api/notes`, "x"),
          blindLogout: await attempt("/jwt/logout", { method: "POST", mode: "no-cors" }),
          logout: await attempt("/jwt/logout", { method: "POST" }),
          auth: await attempt("/jwt/auth"),
        };
      }, origin);
      assert.deepEqual(read, {
        get: "failed",
        blindGet: "opaque 0",
        post: "failed",
        blindPost: "opaque 0",
        json: "failed",
        put: "failed",
        remove: "failed",
        beacon: true,
        blindLogout: "opaque 0",
        logout: "failed",
        auth: "failed",
      });
      await settled(page);
      const through = asAlice();
      // By csrf: enforce, a page of another site may ask for what it cannot read, but change nothing.
      const blind = listener === "none" ? ["GET /api/notes", "GET /api/notes"] : [];
      assert.deepEqual(
        through.map(({ method, url }) => `${method} ${url}`),
        blind,
      );
      await survives();
    });

    test("who the person is", async () => {
      const page = await victim(listener, `<iframe name="in"></iframe>`);
      const answers = [];
      page.on("response", (response) => {
        if (new URL(response.url()).pathname === "/jwt/me") answers.push(response.status());
      });
      const read = await page.evaluate(async (url) => {
        const attempt = (options) =>
          fetch(url, { credentials: "include", ...options }).then(
            ({ type, status }) => `${type} ${status}`,
            () => "failed",
          );
        const element = (name, fields) =>
          new Promise((done) => {
            const one = document.createElement(name);
            document.body.append(Object.assign(one, { onload: () => done("loaded"), ...fields }));
            one.onerror = () => done("failed");
            one.src = url;
          });
        document.querySelector("iframe").src = url;
        return {
          fetch: await attempt(),
          blind: await attempt({ mode: "no-cors" }),
          script: await element("script"),
          image: await element("img"),
        };
      }, `${origin}/jwt/me`);
      assert.deepEqual(read, { fetch: "failed", blind: "opaque 0", script: "failed", image: "failed" });
      await settled(page);
      assert.ok(answers.length >= 2 && answers.every((status) => [401, 403].includes(status)), `${answers}`);
      await survives();
    });

    test("WebSocket and EventSource", async () => {
      const page = await victim(listener);
      const got = await page.evaluate(async (origin) => {
        const socket = new WebSocket(`${origin.replace("https", "wss")}/socket`);
        const source = new EventSource(`${origin}/events`, { withCredentials: true });
        const first = (target, ...names) =>
          Promise.any(names.map((name) => new Promise((done) => (target[`on${name}`] = () => done(name)))));
        return Promise.all([
          first(socket, "open", "message", "close"),
          first(source, "open", "message", "error"),
        ]);
      }, origin);
      assert.deepEqual(got, ["close", "error"]);
      assert.equal(world.app.sockets.size, 0);
      assert.ok(asAlice().every(({ path }) => path === "/events" && listener === "none"));
      await survives();
    });

    test("signing out: image, link, form, frame", async () => {
      const page = await victim(
        listener,
        `<img src="ORIGIN/jwt/logout"><iframe src="ORIGIN/jwt/logout"></iframe>
         <a href="ORIGIN/jwt/logout">Free prizes</a><form method="post" action="ORIGIN/jwt/logout"></form>`,
      );
      await settled(page);
      await survives();
      await page.click("a");
      assert.match(await page.textContent("small"), /csrf/);
      await survives();
      await page.goBack();
      await page.evaluate(() => document.forms[0].submit());
      await page.waitForURL(`${origin}/jwt/logout`);
      await survives();
    });
  });
}

for (const listener of Object.keys(COOKIES)) {
  describe(`a sign-in with another person's token: ${listener}`, () => {
    const other = () => mint({ sub: "mallory" });
    const asks = async (page) => {
      assert.match(await page.textContent("small"), /(other|hidden)_session/);
      await survives();
    };

    for (const [kind, address] of [
      ["auth_path", () => signInLink(`${origin}/notes`, other())],
      ["any page", () => `${origin}/notes?token=${other()}`],
    ]) {
      test(`a link to ${kind} asks first`, async () => {
        const page = await victim(listener);
        await page.evaluate(
          (href) => void (document.body.innerHTML = `<a href="${href}">Free prizes</a>`),
          address(),
        );
        await page.click("a");
        await asks(page);
        if (kind === "auth_path" && listener === "lax") await screenshot(page, "409-other-session");
        // The person may want just that.
        await page.click("main a");
        await page.waitForURL(`${origin}/notes`);
        await works(page, "mallory");
      });
    }

    test("a frame, an image and a script change nothing", async () => {
      const page = await victim(listener);
      await page.evaluate(
        (src) => {
          document.body.innerHTML = `<img src="${src}"><iframe src="${src}"></iframe>`;
          return fetch(src, { mode: "no-cors", credentials: "include" });
        },
        signInLink(`${origin}/notes`, other()),
      );
      await settled(page);
      await survives();
    });

    // Chromium hides even a Lax cookie from the filter when a form of another site is posted.
    for (const enctype of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
      test(`a form to a link with a token changes nothing: ${enctype}`, async () => {
        const page = await victim(
          listener,
          `<form method="post" enctype="${enctype}"><input name="a" value="b">`,
        );
        await page.evaluate(
          (action) => Object.assign(document.forms[0], { action }).submit(),
          signInLink(`${origin}/notes`, other()),
        );
        await page.waitForURL((url) => url.pathname !== "/hostile");
        await survives();
      });
    }

    test("a form with the token inside changes nothing", async () => {
      const page = await victim(
        listener,
        `<form method="post" action="ORIGIN/jwt/auth"><input name="token">`,
      );
      await page.fill("input", other());
      await page.evaluate(() => document.forms[0].submit());
      await page.waitForURL(`${origin}/jwt/auth`);
      await survives();
    });
  });
}

describe("a sign-in by way of the login page, with another person's token in the return address", () => {
  for (const [kind, back] of [
    ["a page", (other) => `${origin}/notes?token=${other}`],
    ["auth_path", (other) => `${origin}/jwt/auth?token=${other}&redirectUrl=${encodeURIComponent("/notes")}`],
  ]) {
    test(`${kind}: the person stays who they are`, async () => {
      const page = await victim("strict, login page allowed");
      world.login.answer = asksToSignIn(() => token);
      const link = `${world.loginUrl}?redirectUrl=${encodeURIComponent(back(mint({ sub: "mallory" })))}`;
      await page.evaluate((href) => void (document.body.innerHTML = `<a href="${href}">Notes</a>`), link);
      await page.click("a");
      await page.click("#sign-in");
      await page.waitForURL(kind === "a page" ? `${origin}/notes` : `${origin}/`);
      await survives();
    });
  }
});
