// Two realms of a real Keycloak beside machines with a key of their own, for clients without a browser. Keys come and go by
// Keycloak's admin API, a person is logged out everywhere, Keycloak is killed: all while requests run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { ask, figures, startLoad } from "../lib/load.mjs";
import {
  KEYS_REFRESH_S,
  KEYS_TIMEOUT_S,
  LIST_REFRESH_S,
  PASSWORD,
  SERVICE,
  WORKERS,
  startRealms,
} from "../lib/realms.mjs";
import { altered, kid, mint, now, subject } from "../lib/tokens.mjs";

// A worker looks once in a second whether anything is due, and whether others have got anything.
const LOOKS_S = 2;
const BETWEEN_NEEDS_MS = 10_000;

let keycloak, people, partners, revoked, startGate, envoy, stop;

before(async () => {
  ({ keycloak, people, partners, revoked, startGate, stop } = await startRealms());
  envoy = await startGate();
});

after(() => stop?.());

const signIn = async (username, client_id = "desk") =>
  people.tokens({ client_id, username, password: PASSWORD });

const tokenOf = async (username, client_id) => (await signIn(username, client_id)).access_token;

const serviceToken = async () =>
  (await partners.tokens({ grant_type: "client_credentials", ...SERVICE })).access_token;

const key = (name, config) => ({
  name,
  providerId: "rsa-generated",
  providerType: "org.keycloak.keys.KeyProvider",
  config: { algorithm: ["RS256"], ...config },
});

/** Keycloak signs with it from then on. The one before is in its JWKS still. */
const rotate = (number) => people.post("components", key(`key ${number}`, { priority: [`${number}00`] }));

/** Requests with each of these in turn, on connections to every worker. More may be pushed on the way. */
function loadOf(gate, entries) {
  const next = (lane, turn) => entries[(lane + turn) % entries.length];
  return startLoad({ port: gate.port(), lanes: 2 * WORKERS, every: 80, next });
}

/** Those that nothing of what happens to people concerns. */
const bystanders = async () => [
  { name: "partner", token: await serviceToken(), wanted: ["200 service-account-reporter"] },
  { name: "machine", token: mint({ sub: "robot" }), wanted: ["200 robot"] },
];

/**
 * Does something after which `entry` is answered by `refusal`, here and there at first, and then by every worker. Tells
 * in seconds how long it was taken still.
 */
async function turnsInto(load, entry, refusal, withinSeconds, act) {
  const accepted = entry.wanted[0];
  entry.wanted = [accepted, refusal];
  await act();
  const acted = Date.now();
  await sleep(withinSeconds * 1000);
  entry.wanted = [refusal];
  await sleep(1500);
  assert.ok(load.answers[`${entry.name}: ${refusal}`] > 0, JSON.stringify(load.answers));
  return Math.max(0, load.lastly[`${entry.name}: ${accepted}`] - acted) / 1000;
}

test("curl gets in with a token straight from the token endpoint", async (t) => {
  const curl = async (...args) =>
    JSON.parse((await promisify(execFile)("curl", ["--silent", "--show-error", ...args])).stdout);
  const tokens = async (realm, fields) =>
    curl(
      ...Object.entries(fields).flatMap(([name, value]) => ["--data-urlencode", `${name}=${value}`]),
      realm.endpoint("token"),
    );
  const asks = (token) =>
    curl("--header", `Authorization: Bearer ${token}`, `http://127.0.0.1:${envoy.port()}/api/me`);

  const person = await tokens(people, {
    ...{ grant_type: "password", client_id: "desk", scope: "openid" },
    ...{ username: "alice", password: PASSWORD },
  });
  const service = await tokens(partners, { grant_type: "client_credentials", ...SERVICE });
  const said = [];
  for (const token of [person.access_token, service.access_token, mint({ sub: "robot" })]) {
    const { who, reason } = await asks(token);
    said.push(who ?? reason);
  }
  assert.deepEqual(said, ["alice", "service-account-reporter", "robot"]);
  // What else Keycloak signs does not count.
  assert.equal((await asks(person.id_token)).reason, "audience_mismatch");
  assert.equal((await asks(await keycloak.adminToken())).reason, "unknown_issuer");
  assert.equal((await asks("")).reason, "missing_token");
  t.diagnostic(`6 requests by curl: ${said.join(", ")} in, 3 refused, 0 wrong decisions`);
});

test("a realm's key is rotated, disabled and deleted", async (t) => {
  const began = Date.now();
  const before = await envoy.counter("jwks_fetched");
  const holder = async (name) => ({ name, token: await tokenOf("alice"), wanted: ["200 alice"] });
  const first = await holder("of key 1");
  const others = [
    ...(await bystanders()),
    {
      name: "forged",
      token: altered(await serviceToken(), { preferred_username: "mallory" }),
      wanted: ["401 invalid_signature"],
    },
    { name: "of master", token: await keycloak.adminToken(), wanted: ["401 unknown_issuer"] },
  ];
  const entries = [first, ...others];
  const load = loadOf(envoy, entries);
  await sleep(1000);

  const idOf = async (name) => {
    const keys = await people.get("components?type=org.keycloak.keys.KeyProvider");
    return keys.find((one) => one.name === name).id;
  };
  const rotated = async (number) => {
    await rotate(number);
    const entry = await holder(`of key ${number}`);
    entries.push(entry);
    await sleep(3000);
    assert.ok(load.answers[`${entry.name}: 200 alice`] > 0);
    return entry;
  };
  const within = KEYS_REFRESH_S + LOOKS_S;

  const second = await rotated(2);
  assert.notEqual(kid(second.token), kid(first.token));
  const shipped = await idOf("rsa-generated");
  const disabled = await turnsInto(load, first, "401 unknown_key", within, () =>
    people.put(`components/${shipped}`, key("rsa-generated", { enabled: ["false"] })),
  );

  // The old token was one of an unknown key in the end, and these are worth a fetch but now and then.
  entries.splice(0, entries.length, second, ...others);
  await sleep(BETWEEN_NEEDS_MS + 500);
  const third = await rotated(3);
  assert.notEqual(kid(third.token), kid(second.token));
  const deleted = await turnsInto(load, second, "401 unknown_key", within, async () =>
    people.remove(`components/${await idOf("key 2")}`),
  );
  await load.stop();

  const seconds = (Date.now() - began) / 1000;
  const fetched = (await envoy.counter("jwks_fetched")) - before;
  t.diagnostic(`${seconds} s: ${figures(load)}`);
  t.diagnostic(
    `taken still for ${disabled} s after the key was disabled, ${deleted} s after it was deleted; ` +
      `keys of two realms fetched ${fetched} times for ${WORKERS} workers`,
  );
  assert.deepEqual(load.wrong, {});
  // Up to a tenth early, and three times for a key that was not known.
  assert.ok(fetched <= 2 * Math.ceil(seconds / (0.9 * KEYS_REFRESH_S)) + 4, `${fetched} in ${seconds} s`);
  const connections = await envoy.connections();
  assert.ok(connections.length === WORKERS && connections.every((count) => count > 0), `${connections}`);
});

test("a person is logged out everywhere", async (t) => {
  const began = Date.now();
  const atDesk = await signIn("alice");
  const sub = subject(atDesk.access_token);
  const desk = { name: "desk", token: atDesk.access_token, wanted: ["200 alice"] };
  const phone = { name: "phone", token: await tokenOf("alice", "phone"), wanted: ["200 alice"] };
  const entries = [
    ...[desk, phone, { name: "bob", token: await tokenOf("bob"), wanted: ["200 bob"] }],
    ...(await bystanders()),
  ];
  const load = loadOf(envoy, entries);
  // Tokens say in whole seconds when they were issued.
  await sleep(1500);
  phone.wanted = ["200 alice", "401 token_revoked"];
  const taken = await turnsInto(load, desk, "401 token_revoked", LIST_REFRESH_S + LOOKS_S, async () => {
    await people.post(`users/${sub}/logout`);
    revoked.issued_before[sub] = now();
    entries.push({ name: "anew", token: await tokenOf("alice"), wanted: ["200 alice"] });
  });
  phone.wanted = ["401 token_revoked"];
  await sleep(1000);
  await load.stop();

  t.diagnostic(`${(Date.now() - began) / 1000} s: ${figures(load)}; taken still for ${taken} s`);
  assert.deepEqual(load.wrong, {});
  assert.ok(load.answers["anew: 200 alice"] > 0);
  const refreshed = people.tokens({
    grant_type: "refresh_token",
    client_id: "desk",
    refresh_token: atDesk.refresh_token,
  });
  await assert.rejects(refreshed, /400 .*invalid_grant/);
});

test("Keycloak is killed, and starts again", async (t) => {
  const person = { name: "alice", token: await tokenOf("alice"), wanted: ["200 alice"] };
  const others = await bystanders();
  const entries = [person, ...others];
  const load = loadOf(envoy, entries);
  await sleep(1000);
  const stale = await envoy.counter("jwks_stale");
  await keycloak.kill();
  const killed = Date.now();

  // Another Envoy, which has never seen Keycloak's keys.
  const late = await startGate();
  const lateEntries = entries.map((one) => ({ ...one }));
  const ofKeycloak = lateEntries.filter(({ name }) => name !== "machine");
  for (const one of ofKeycloak) one.wanted = ["503 keys_unavailable"];
  const lateLoad = loadOf(late, lateEntries);
  await sleep(3 * KEYS_REFRESH_S * 1000);
  ofKeycloak.forEach((one, at) => one.wanted.push(...entries[at].wanted));
  await keycloak.startAgain();
  const back = Date.now();
  assert.equal(await ask(envoy.port(), await tokenOf("alice")), "200 alice");
  // The last attempt that failed may have taken its time, and the next one comes after a pause.
  await sleep((KEYS_TIMEOUT_S + KEYS_REFRESH_S + LOOKS_S + 2) * 1000);
  for (const one of ofKeycloak) one.wanted.shift();
  await sleep(1500);
  await rotate(4);
  const anew = { name: "of key 4", token: await tokenOf("alice"), wanted: ["200 alice"] };
  assert.notEqual(kid(anew.token), kid(person.token));
  entries.push(anew);
  lateEntries.push(anew);
  await sleep(2000);
  await Promise.all([load.stop(), lateLoad.stop()]);

  const away = (back - killed) / 1000;
  const failed = (await envoy.counter("jwks_stale")) - stale;
  const refused = Math.max(...ofKeycloak.map(({ name }) => lateLoad.lastly[`${name}: 503 keys_unavailable`]));
  t.diagnostic(`away for ${away} s, stale ${failed} times: ${figures(load)}`);
  t.diagnostic(`an Envoy that started meanwhile: ${figures(lateLoad)}`);
  t.diagnostic(`it refused for ${Math.max(0, refused - back) / 1000} s after Keycloak was back`);
  for (const { wrong } of [load, lateLoad]) assert.deepEqual(wrong, {});
  assert.ok(failed >= 2, `${failed}`);
  for (const { name } of ofKeycloak) assert.ok(lateLoad.answers[`${name}: 503 keys_unavailable`] > 0);
});
