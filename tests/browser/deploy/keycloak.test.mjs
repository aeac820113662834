// The Keycloak example with a real Keycloak: its realm is made as the example's comments say, a person types a
// password into its own login page, and everything else is as it is shipped.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { screenshot } from "../lib/chromium.mjs";
import { startKeycloak } from "../lib/keycloak.mjs";
import { startLoaderWorld } from "../lib/loader_world.mjs";
import { works } from "../lib/world.mjs";

const ID_HOST = "id.example.net";
const PERSON = { username: "alice", password: "correct horse battery staple" };
// Keycloak's default is five minutes.
const LIFE_S = 60;

let world, realm, context, page;

/** Keycloak behind the ingress, with the realm, the client and the person of the example. */
async function startId({ page, origin, idOrigin, ingress }) {
  const keycloak = await startKeycloak({ origin: idOrigin });
  ingress.hosts[ID_HOST] = keycloak.port;
  // By the name that stands in the shipped file.
  realm = await keycloak.realm("NAME", { displayName: "Workspaces", accessTokenLifespan: LIFE_S });
  const audience = {
    name: "audience",
    protocol: "openid-connect",
    protocolMapper: "oidc-audience-mapper",
    config: { "included.custom.audience": "app", "access.token.claim": "true" },
  };
  await realm.post("clients", {
    clientId: "app-login",
    publicClient: true,
    redirectUris: [page],
    webOrigins: [new URL(page).origin],
    attributes: {
      "pkce.code.challenge.method": "S256",
      "post.logout.redirect.uris": `${page}##${origin}/`,
    },
    protocolMappers: [audience],
  });
  // Of the same realm, with tokens for the same audience. Only its tests need one.
  await realm.post("clients", {
    clientId: "another",
    publicClient: true,
    directAccessGrantsEnabled: true,
    protocolMappers: [audience],
  });
  await realm.post("users", {
    username: PERSON.username,
    enabled: true,
    email: "alice@example.com",
    emailVerified: true,
    firstName: "Alice",
    lastName: "Arden",
    credentials: [{ type: "password", value: PERSON.password }],
  });
  return { origin: idOrigin, stop: keycloak.stop };
}

before(async () => {
  world = await startLoaderWorld({ id: ID_HOST, startId });
  context = await world.browser.newContext({ viewport: { width: 900, height: 600 } });
  page = await context.newPage();
});

after(() => world?.stop());

const atKeycloak = () => page.waitForURL((url) => url.host.startsWith(ID_HOST));

const session = async () =>
  (await context.cookies(world.origin)).find(({ name }) => name === "access_token");

async function typePassword(password) {
  await page.getByLabel("Username or email").fill(PERSON.username);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign In" }).click();
}

test("a person is led to Keycloak, types a password and arrives where they wanted to go", async () => {
  const wanted = `${world.origin}/notes/7?page=2#part=3`;
  await page.goto(wanted);
  await atKeycloak();
  assert.deepEqual(world.app.requests, [], "nothing reached the application so far");
  await typePassword("a wrong one");
  await page.getByText("Invalid username or password.").waitFor();
  await screenshot(page, "keycloak-password");
  await typePassword(PERSON.password);
  await page.waitForURL(wanted);
  const [visit] = world.app.requests;
  await works(page, visit.headers["x-user-id"]);
  await screenshot(page, "keycloak-signed-in");

  assert.equal(visit.headers["x-user-name"], PERSON.username);
  assert.equal(visit.headers["x-user-email"], "alice@example.com");
  const { value, httpOnly, secure } = await session();
  assert.deepEqual({ httpOnly, secure }, { httpOnly: true, secure: true });
  assert.ok(!JSON.stringify(world.app.requests).includes(value), "the application saw the token");
});

test("who is signed in at Keycloak comes back without a question", async () => {
  await context.clearCookies({ domain: "app.example.com" });
  await page.goto(`${world.origin}/notes/8`);
  await page.waitForURL(`${world.origin}/notes/8`);
  await page.locator("#socket", { hasText: "hello" }).waitFor();
});

test("logout ends the session at both", async () => {
  await page.evaluate(() => location.assign("/jwt/logout"));
  await atKeycloak();
  assert.deepEqual(await context.cookies(world.origin), []);
  // Keycloak asks: else any page could sign people out.
  await screenshot(page, "keycloak-logout");
  await page.getByRole("button", { name: "Logout" }).click();
  await page.waitForURL(world.page);

  world.app.taken();
  await page.goto(`${world.origin}/notes/7`);
  await atKeycloak();
  await page.getByLabel("Password", { exact: true }).waitFor();
  assert.deepEqual(world.app.requests, []);
  await typePassword(PERSON.password);
  await page.waitForURL(`${world.origin}/notes/7`);
});

test("of the realm's tokens only access tokens of the client are taken", async () => {
  const answer = async (token) => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`http://127.0.0.1:${world.envoy.port("app")}/api/me`, { headers });
    return [response.status, (await response.json()).reason];
  };
  const { value } = await session();
  assert.deepEqual(await answer(value), [200, undefined]);
  const { access_token, id_token } = await realm.tokens({ client_id: "another", ...PERSON });
  assert.deepEqual(await answer(access_token), [403, "claim_mismatch"]);
  assert.deepEqual(await answer(id_token), [403, "audience_mismatch"]);
});
