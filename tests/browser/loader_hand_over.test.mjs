// How the sign-in page hands a token over where a fetch cannot leave a cookie, and what it does if none lasts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot } from "./lib/chromium.mjs";
import { startLoaderWorld } from "./lib/loader_world.mjs";
import { logIn } from "./lib/provider.mjs";
import { history, navigations, works } from "./lib/world.mjs";

const cookie = (attributes) => (config) => void (config.session.cookie = attributes);

async function within(t, options) {
  const world = await startLoaderWorld(options);
  t.after(() => world.stop());
  const page = await world.browser.newPage({ viewport: { width: 800, height: 450 } });
  const signIn = async (wanted) => {
    await page.goto(wanted);
    await page.waitForURL((url) => url.origin === world.provider.origin);
    await logIn(page);
  };
  /** What `auth_path` was asked, in short. */
  const asked = () =>
    world.ingress
      .statuses("app.example.com")
      .filter(({ url, method }) => url === "/jwt/auth" && method !== "OPTIONS")
      .map(({ method, status }) => `${method} ${status}`);
  return { world, page, signIn, asked };
}

// Whose cookies a fetch from the page of another site cannot leave.
for (const [what, options] of [
  ["a Lax cookie, from another site", { login: "login.example.net" }],
  [
    "third-party cookies are blocked",
    {
      login: "login.example.net",
      plugin: cookie({ same_site: "None" }),
      args: ["--test-third-party-cookie-phaseout"],
    },
  ],
]) {
  test(`by a form: ${what}`, async (t) => {
    const { world, page, signIn, asked } = await within(t, options);
    const seen = navigations(page);
    const wanted = `${world.origin}/notes/7?page=2&q=a%20b&q=#part=3`;
    await signIn(wanted);
    await page.waitForURL(wanted);
    await works(page);
    assert.deepEqual(asked(), ["GET 204", "GET 401", "POST 303"]);

    const cookies = await page.context().cookies(world.origin);
    const token = cookies.find(({ name }) => name === "access_token").value;
    const { urls } = await history(page);
    for (const url of [...urls, ...seen.map(({ url }) => url)]) assert.ok(!url.includes(token), url);
    await page.reload();
    await works(page);
  });
}

test("by a form at the second time: a cookie that is kept for the sign-in page alone", async (t) => {
  const { world, page, signIn, asked } = await within(t, {
    login: "login.example.net",
    plugin: cookie({ same_site: "None", partitioned: true }),
  });
  await signIn(`${world.origin}/notes#top`);
  // The filter's page, instead of a loop.
  await page.getByText("your browser may not keep the cookies of this page").waitFor();
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.waitForURL(`${world.origin}/notes#top`);
  await works(page);
  assert.deepEqual(asked(), ["GET 204", "GET 204", "POST 303"]);
});

test("by a form: the fetch cannot be made", async (t) => {
  const { world, page, signIn, asked } = await within(t);
  await page.route(`${world.origin}/jwt/auth`, (route) =>
    route.request().isNavigationRequest() ? route.continue() : route.abort(),
  );
  await signIn(`${world.origin}/notes#top`);
  await page.waitForURL(`${world.origin}/notes#top`);
  assert.deepEqual(asked(), ["POST 303"]);
});

test("a policy that was copied and not adapted is put into words", async (t) => {
  const { page, signIn, world } = await within(t, {
    login: "login.example.net",
    change(_, { site }) {
      const policy = site.response_headers_to_add.find(
        ({ header }) => header.key === "content-security-policy",
      );
      policy.header.value = policy.header.value.replace(
        /form-action [^;]*/,
        "form-action https://other.example.com",
      );
    },
  });
  await signIn(`${world.origin}/`);
  await page.getByText(`does not let it go to ${world.origin}/jwt/auth (form-action)`).waitFor();
});

for (const renewal of ["", "stay"]) {
  test(`a cookie that never comes back ends in words, not in a loop ${renewal}`, async (t) => {
    const { world, page, signIn, asked } = await within(t, {
      loader: (config) => void (config.applications[0].renewal = renewal),
    });
    world.ingress.cookieless.add("app.example.com");
    await signIn(`${world.origin}/notes`);
    await page.getByRole("heading", { name: "Signing in does not last" }).waitFor();
    await page.getByText("missing_token: You are not signed in.").waitFor();
    await screenshot(page, "loader-loop");
    // Once by fetch and form, once more, and the question why.
    const first = ["GET 204", "GET 401", "POST 303"];
    assert.deepEqual(asked(), [...first, ...(renewal ? first : ["POST 303"]), "GET 401"]);
    const quiet = world.ingress.records.length;
    await page.waitForTimeout(1000);
    assert.equal(world.ingress.records.length, quiet);

    await page.reload();
    await page.getByRole("heading", { name: "Signing in does not last" }).waitFor();
    await page.getByRole("button", { name: "Use another account" }).click();
    await page.waitForURL((url) => url.origin === world.provider.origin);
    await page.locator('input[name="login"]').waitFor();
  });
}
