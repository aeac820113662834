// Two realms of a real Keycloak as two providers, beside machines with a key of their own, in front of an application.

import { startApp } from "./app.mjs";
import { startEnvoy } from "./envoy.mjs";
import { startKeycloak } from "./keycloak.mjs";
import { startSite } from "./site.mjs";

export const PASSWORD = "correct horse battery staple";
/** A client that is no person, in the realm `partners`. */
export const SERVICE = { client_id: "reporter", client_secret: "for tests only" };
export const WORKERS = 4;
export const KEYS_REFRESH_S = 2;
export const KEYS_TIMEOUT_S = 2;
export const LIST_REFRESH_S = 1;

/**
 * Starts them.
 *
 * - `people`: the realm of alice and bob, who type their passwords into the clients `desk` and `phone`
 * - `partners`: the realm of `SERVICE`
 * - `revoked`: what the deny list of `people` says
 * - `startGate()`: starts an Envoy, which ends with all else
 */
export async function startRealms() {
  const running = [];
  const keep = (thing) => running.unshift(thing) && thing;
  const stop = async () => {
    for (const one of running.splice(0)) await one.stop();
  };
  try {
    const keycloak = keep(await startKeycloak({ keeps: true }));
    const typesPasswords = { publicClient: true, directAccessGrantsEnabled: true };
    const people = await realmWith(keycloak, "people", [
      { clientId: "desk", ...typesPasswords },
      { clientId: "phone", ...typesPasswords },
    ]);
    const partners = await realmWith(keycloak, "partners", [
      { clientId: SERVICE.client_id, secret: SERVICE.client_secret, serviceAccountsEnabled: true },
    ]);
    for (const username of ["alice", "bob"]) {
      await people.post("users", {
        username,
        enabled: true,
        email: `${username}@example.com`,
        emailVerified: true,
        firstName: username,
        lastName: "Arden",
        credentials: [{ type: "password", value: PASSWORD }],
      });
    }
    const app = keep(await startApp());
    const revoked = { issued_before: {} };
    const list = keep(
      await startSite((_, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.end(JSON.stringify(revoked));
      }),
    );
    const startGate = async () => keep(await gate({ keycloak, people, partners, app, list }));
    return { keycloak, people, partners, revoked, startGate, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A realm whose access tokens are for the application. */
async function realmWith(keycloak, name, clients) {
  const realm = await keycloak.realm(name, { accessTokenLifespan: 3600 });
  const audience = {
    name: "audience",
    protocol: "openid-connect",
    protocolMapper: "oidc-audience-mapper",
    config: { "included.custom.audience": "app", "access.token.claim": "true" },
  };
  for (const client of clients) await realm.post("clients", { ...client, protocolMappers: [audience] });
  return realm;
}

/** Envoy, with both realms as providers beside that of envoy.yaml. */
function gate({ keycloak, people, partners, app, list }) {
  const provider = (name, { issuer }) => ({
    name,
    issuer,
    audiences: ["app"],
    algorithms: ["RS256"],
    remote_jwks: {
      discovery: true,
      cluster: "keycloak",
      refresh_seconds: KEYS_REFRESH_S,
      timeout_seconds: KEYS_TIMEOUT_S,
      allow_http: true,
    },
    required_claims: { typ: "Bearer" },
    claim_headers: { "x-jwt-sub": "preferred_username" },
  });
  const remote = {
    uri: `http://127.0.0.1:${list.port}/revoked.json`,
    cluster: "revoked",
    refresh_seconds: LIST_REFRESH_S,
    allow_http: true,
  };
  const config = ({ providers: [machines] }) => ({
    providers: [machines, { ...provider("people", people), revoked: { remote } }, provider("partners", partners)],
  });
  return startEnvoy({
    workers: WORKERS,
    clusters: { upstream: app.port },
    listeners: { app: { config } },
    change({ static_resources: { clusters } }) {
      const shipped = clusters.find(({ name }) => name === "upstream");
      for (const [name, port] of Object.entries({ keycloak: keycloak.port, revoked: list.port })) {
        const text = JSON.stringify(shipped).replaceAll('"upstream"', JSON.stringify(name));
        clusters.push(JSON.parse(text.replace(/"port_value":\d+/, `"port_value":${port}`)));
      }
    },
  });
}
