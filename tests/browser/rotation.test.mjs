// A real OpenID provider gets another key, and goes away, while its tokens are used. Nobody is refused for it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startApp } from "./lib/app.mjs";
import { startEnvoy } from "./lib/envoy.mjs";
import { until } from "./lib/guarded.mjs";
import { figures, startLoad } from "./lib/load.mjs";
import { MACHINE, startProvider } from "./lib/provider.mjs";
import { repository } from "./lib/repository.mjs";
import { altered, kid } from "./lib/tokens.mjs";

const HOST = "id.example.net";
const ACCEPTED = `200 ${MACHINE}`;
const LANES = 8;
const TURNS = 125;
const EVERY_MS = 80;
const RENEWED_EVERY = 5;

/** The provider, with the key `a`, and an Envoy that finds its keys by discovery. */
async function start(t, { workers, remote }) {
  const first = await startProvider({ host: HOST });
  const place = { first, provider: Promise.resolve(first) };
  t.after(async () => (await place.provider).stop());
  const app = await startApp();
  t.after(app.stop);
  const provider = {
    name: "id",
    issuer: first.issuer,
    audiences: ["app"],
    remote_jwks: { discovery: true, cluster: "id", ...remote },
    claim_headers: { "x-jwt-sub": "sub" },
  };
  place.envoy = await startEnvoy({
    workers,
    clusters: { upstream: app.port },
    listeners: { app: { config: () => ({ providers: [provider] }) } },
    change: ({ static_resources: { clusters } }) => clusters.push(cluster(first.port)),
  });
  t.after(place.envoy.stop);

  /** Starts it again at the same place, with these keys. */
  place.restart = (keys) => {
    const before = place.provider;
    place.provider = (async () => {
      await (await before).stop();
      return startProvider({ host: HOST, port: first.port, keys });
    })();
    return place.provider;
  };
  /** A token, also if it is asked for while the provider starts again. */
  place.token = async () => {
    const asked = place.provider;
    try {
      return await (await asked).machineToken();
    } catch (error) {
      if (asked === place.provider) throw error;
      return (await place.provider).machineToken();
    }
  };
  return place;
}

const cluster = (port) => ({
  name: "id",
  connect_timeout: "1s",
  load_assignment: {
    cluster_name: "id",
    endpoints: [
      {
        lb_endpoints: [
          { endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } },
        ],
      },
    ],
  },
  transport_socket: {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      sni: HOST,
      common_tls_context: {
        validation_context: {
          trusted_ca: { filename: repository("tests/browser/lib/certificate.pem") },
          match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: HOST } }],
        },
      },
    },
  },
});

describe("an OpenID provider", { concurrency: true }, () => {
  for (const workers of [2, 4]) {
    test(`gets a new key under load, with ${workers} workers`, async (t) => {
      const place = await start(t, { workers });
      const kept = await place.token();
      const forged = altered(kept, { sub: "mallory" });
      const began = Date.now();
      const kids = new Set();
      const tokens = [];
      const load = startLoad({
        port: place.envoy.port(),
        lanes: LANES,
        every: EVERY_MS,
        async next(lane, turn) {
          if (turn === TURNS) return undefined;
          // The odd ones keep what they had before, the even ones get a new one now and then.
          if (lane % 2 === 1) return { name: "kept token", token: kept, wanted: [ACCEPTED] };
          if (turn % RENEWED_EVERY === 0) tokens[lane] = await place.token();
          kids.add(kid(tokens[lane]));
          return { name: `token of key ${kid(tokens[lane])}`, token: tokens[lane], wanted: [ACCEPTED] };
        },
      });
      const forgeries = startLoad({
        port: place.envoy.port(),
        lanes: 2,
        every: 200,
        next: (_, turn) =>
          turn < 50 && { name: "forged token", token: forged, wanted: ["401 invalid_signature"] },
      });
      await sleep((TURNS * EVERY_MS) / 2);
      const second = await place.restart(["b", "a"]);
      await Promise.all([load.done, forgeries.done]);
      const seconds = (Date.now() - began) / 1000;
      const { first, envoy } = place;
      t.diagnostic(`${workers} workers, ${seconds} s: ${figures(load)}; ${figures(forgeries)}`);
      const fetches = ({ fetched }) => `${fetched.discovery} for discovery and ${fetched.keys} for keys`;
      t.diagnostic(`requests of Envoy, first: ${fetches(first)}; for the new key: ${fetches(second)}`);

      for (const { wrong } of [load, forgeries]) assert.deepEqual(wrong, {});
      assert.equal(load.sent, LANES * TURNS);
      assert.deepEqual([...kids], ["a", "b"]);
      assert.deepEqual(first.fetched, { discovery: 1, keys: 1 });
      // Where the keys are is known to the worker that asked first.
      assert.equal(second.fetched.keys, 1);
      assert.ok(second.fetched.discovery <= 1);
      const connections = await envoy.connections();
      assert.ok(connections.length === workers && connections.every((count) => count > 0), `${connections}`);
    });
  }

  test("is away for longer than its keys are good for, and comes back with a new one", async (t) => {
    const place = await start(t, { workers: 2, remote: { refresh_seconds: 1, timeout_seconds: 1 } });
    const kept = await place.token();
    let token = kept;
    const load = startLoad({
      port: place.envoy.port(),
      lanes: LANES,
      every: EVERY_MS,
      next: () => ({ name: `token of key ${kid(token)}`, token, wanted: [ACCEPTED] }),
    });
    await until("the keys were refreshed", () => place.first.fetched.keys >= 2);
    assert.equal(await place.envoy.counter("jwks_stale"), 0);
    await place.first.stop();
    const away = Date.now();
    await sleep(5000);
    const stale = await place.envoy.counter("jwks_stale");
    const before = load.sent;
    await place.restart(["b", "a"]);
    const seconds = (Date.now() - away) / 1000;
    token = await place.token();
    await until("the new token is used", () => load.sent > before + 100);
    await load.stop();
    t.diagnostic(`away for ${seconds} s, stale ${stale} times: ${figures(load)}`);

    assert.deepEqual(load.wrong, {});
    assert.ok(load.answers[`token of key b: ${ACCEPTED}`] > 0);
    assert.ok(stale >= 2, `${stale}`);
    assert.match(place.envoy.log(), /could not be fetched \(.*\); stale, those of [\d.]+ seconds ago stay/);
  });
});
