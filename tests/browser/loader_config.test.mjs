// loader.json of the sign-in page: what it refuses, and which addresses belong to an application. And that the library
// beside it is the one that its makers published.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { startLoaderWorld } from "./lib/loader_world.mjs";
import { read } from "./lib/repository.mjs";

let world, page;

before(async () => {
  world = await startLoaderWorld();
  page = await world.browser.newPage();
  await page.goto(world.page);
});
after(() => world?.stop());

const PACKAGES = "tests/browser/node_modules";

test("the library is the file of the npm package that the lock pins, with its licences", () => {
  const folder = `${PACKAGES}/oidc-client-ts`;
  const { version, license } = JSON.parse(read(`${folder}/package.json`));
  const lock = JSON.parse(read("tests/browser/package-lock.json"));
  assert.equal(version, lock.packages["node_modules/oidc-client-ts"].version);
  assert.equal(license, "Apache-2.0");
  const same = (own, theirs) => assert.equal(read(`envoy/loader/${own}`), read(theirs), own);
  same("oidc-client-ts.min.js", `${folder}/dist/browser/oidc-client-ts.min.js`);
  same("oidc-client-ts.LICENSE", `${folder}/LICENSE`);
  // It is inside.
  same("jwt-decode.LICENSE", `${PACKAGES}/jwt-decode/LICENSE`);
});

test("every loader.json that is shipped has known fields only", async () => {
  for (const folder of ["che", "keycloak", "loader"]) {
    const [, error] = await readConfig(JSON.parse(read(`envoy/${folder}/loader.json`)));
    assert.equal(error, undefined, folder);
  }
});

const GOOD = {
  authority: "https://id.example.com",
  client_id: "app",
  applications: [{ url: "https://a.example.com/" }],
};

/** What config.js makes of it, or its words. */
async function readConfig(config) {
  const url = `${world.loginOrigin}/loader.json`;
  await page.route(url, (route) => route.fulfill({ json: config }));
  const result = await page.evaluate(async () => {
    const { readConfig } = await import("/config.js");
    return readConfig().then(
      (read) => [JSON.parse(JSON.stringify(read))],
      (error) => [undefined, error.message],
    );
  });
  await page.unroute(url);
  return result;
}

for (const [change, words] of [
  [{ aplications: [] }, "aplications: no such field"],
  [{ applications: undefined }, "applications: at least one"],
  [{ applications: [] }, "applications: at least one"],
  [{ applications: [{ url: "/" }] }, "applications[0].url: a whole URL"],
  [{ applications: [{ url: "ftp://a.example.com/" }] }, "applications[0].url: an http or https URL"],
  [{ applications: [{ url: "https://a.example.com/?x" }] }, "applications[0].url: host and path only"],
  [{ applications: [{ url: "https://me@a.example.com/" }] }, "applications[0].url: host and path only"],
  [{ applications: [{ url: "https://*.com/" }] }, "applications[0].url: too many hosts"],
  [{ applications: [{ url: "https://a*.example.com/" }] }, "applications[0].url: host and path only"],
  [{ applications: [{ url: "https://*.*.example.com/" }] }, "applications[0].url: host and path only"],
  [
    { applications: [{ url: "https://a.example.com/", renewal: "ever" }] },
    "applications[0].renewal: stay or frame",
  ],
  [
    { applications: [{ url: "https://a.example.com/", auth_path: "jwt" }] },
    "applications[0].auth_path: a path",
  ],
  [
    { applications: [{ url: "https://a.example.com/", auth_path: "//b.example.com" }] },
    "applications[0].auth_path: a path",
  ],
  [
    { applications: [{ url: "https://a.example.com/", auth: "/jwt" }] },
    "applications[0].auth: no such field",
  ],
  [{ authority: undefined }, "authority or keycloak_settings: one of them"],
  [{ keycloak_settings: "/api/keycloak/settings" }, "authority or keycloak_settings: one of them"],
  [{ authority: "id.example.com" }, "authority: a whole URL"],
  [{ client_id: undefined }, "client_id: is missing"],
  [{ token: "refresh_token" }, "token: access_token or id_token"],
  [{ che: { url: "https://che.example.com/api" } }, "che.url: no such field"],
  [{ che: { api: "/api" } }, "che.api: a whole URL"],
]) {
  test(`refused: ${words} (${JSON.stringify(change)})`, async () => {
    const [config, said] = await readConfig({ ...GOOD, ...change });
    assert.deepEqual([config, said], [undefined, `loader.json: ${words}`]);
  });
}

test("a file that is not there, or is none, is put into words", async () => {
  for (const answer of [{ status: 404 }, { body: "<html>", contentType: "text/html" }]) {
    const url = `${world.loginOrigin}/loader.json`;
    await page.route(url, (route) => route.fulfill(answer));
    await page.goto(world.page);
    await page.getByRole("heading", { name: "You are not signed in" }).waitFor();
    await page.getByText("loader.json").waitFor();
    await page.unroute(url);
  }
});

// Which application an address belongs to, if any.
const APPLICATIONS = [
  "https://a.example.com/",
  "https://a.example.com/ws1/",
  "https://*.apps.example.com:8443/x",
];

for (const [address, expected] of [
  ["https://a.example.com/", 0],
  ["https://a.example.com", 0],
  ["https://A.EXAMPLE.com:443/b?c#d", 0],
  ["https://a.example.com/ws1", 1],
  ["https://a.example.com/ws1/b", 1],
  ["https://a.example.com/ws1/../b", 0],
  ["https://a.example.com/ws10", 0],
  ["https://b.apps.example.com:8443/x/y", 2],
  ["https://b.apps.example.com:8443/x", 2],
  // Another host, that looks like it to a person or to a careless comparison.
  ["https://a.example.com.evil.org/", -1],
  ["https://evil.org/a.example.com/", -1],
  ["https://evil.org/?https://a.example.com/", -1],
  ["https://evil.org#https://a.example.com/", -1],
  ["https://a.example.com@evil.org/", -1],
  ["https://a.example.com%40evil.org/", -1],
  ["https://a.example.com:443@evil.org/", -1],
  ["https://evil.org\\@a.example.com/", -1],
  ["https://aa.example.com/", -1],
  ["https://b.a.example.com/", -1],
  ["https://example.com/", -1],
  ["https://a.example.com./", -1],
  ["https://a.example.co/", -1],
  ["https://xn--a-eka.example.com/", -1],
  ["https://а.example.com/", -1],
  ["https://b.c.apps.example.com:8443/x", -1],
  ["https://apps.example.com:8443/x", -1],
  ["https://.apps.example.com:8443/x", -1],
  ["https://evil-apps.example.com:8443/x", -1],
  // The same host, another place.
  ["https://a.example.com:8443/", -1],
  ["http://a.example.com/", -1],
  ["http://a.example.com:443/", -1],
  ["https://b.apps.example.com/x", -1],
  ["https://b.apps.example.com:8443/xy", -1],
  ["https://b.apps.example.com:8443/x/../y", -1],
  ["https://b.apps.example.com:8443/x/%2e%2e/y", -1],
  // With a name, which some send along.
  ["https://me@a.example.com/", -1],
  ["https://me:secret@a.example.com/", -1],
  // No address of a page.
  ["javascript://a.example.com/%0aalert(1)", -1],
  ["javascript:alert(1)", -1],
  ["data:text/html,https://a.example.com/", -1],
  ["blob:https://a.example.com/0e1d", -1],
  ["filesystem:https://a.example.com/x", -1],
  ["ftp://a.example.com/", -1],
  ["wss://a.example.com/", -1],
  ["//a.example.com/", -1],
  ["/", -1],
  ["a.example.com", -1],
  ["", -1],
]) {
  test(`${address || "nothing"} is ${expected < 0 ? "nobody's" : `of ${APPLICATIONS[expected]}`}`, async () => {
    const config = { ...GOOD, applications: APPLICATIONS.map((url) => ({ url })) };
    await page.route(`${world.loginOrigin}/loader.json`, (route) => route.fulfill({ json: config }));
    const found = await page.evaluate(async (text) => {
      const { applicationOf, readConfig } = await import("/config.js");
      const read = await readConfig();
      const all = [...read.applications];
      return URL.canParse(text) ? all.indexOf(applicationOf(read, new URL(text))) : -1;
    }, address);
    assert.equal(found, expected);
  });
}

test("a token's life is what it says itself, whatever time it is here", async () => {
  const lives = await page.evaluate(async () => {
    const { lifeOf } = await import("/hand_over.js");
    const token = (claims) => `e30.${btoa(JSON.stringify(claims)).replace(/=*$/, "")}.sig`;
    return [
      lifeOf(token({ iat: 1000, exp: 1060, name: "?>?>" })),
      lifeOf(token({ iat: 1000, exp: 1060 }), 20),
      String(lifeOf(token({ iat: 1000 }))),
      String(lifeOf("opaque")),
      lifeOf("opaque", 30),
      Math.round(lifeOf(token({ exp: Date.now() / 1000 + 90 }))),
    ];
  });
  assert.deepEqual(lives, [60, 20, "Infinity", "Infinity", 30, 90]);
});

test("the folder holds nothing that is not served, but words", () => {
  const served = read("envoy/keycloak/envoy.yaml");
  for (const name of readdirSync(new URL("../../envoy/loader", import.meta.url))) {
    if (/\.(LICENSE|md)$/.test(name)) continue;
    assert.ok(served.includes(`path: /${name}}`), name);
  }
});
