// A real Keycloak, with a realm of its own that is gone when it ends.

import { join } from "node:path";
import { freePort, newFolder, startProcess } from "./process.mjs";
import { bring } from "./repository.mjs";

const ADMIN = { username: "admin", password: "admin" };

/**
 * Starts one that people see at `origin`, whatever stands in between; without it, where it listens on this machine, at
 * `port`. What it knows is in memory alone, or with `keeps` in files.
 *
 * - `realm(name, settings)` makes a realm and hands back `{issuer, endpoint, jwks, tokens}`, and `get`, `post`, `put`
 *   and `remove` of its admin API
 * - `adminToken()` is a token of the realm `master`
 * - `kill()` gives it no time to end, `startAgain()` starts it anew
 */
export async function startKeycloak({ origin, keeps = false }) {
  const folder = newFolder("keycloak");
  const port = await freePort();
  const local = `http://127.0.0.1:${port}`;
  origin ??= local;
  const args = [
    join(bring("keycloak"), "bin/kc.sh"),
    ...["start", "--optimized", "--cache=local"],
    ...["--http-enabled=true", "--http-host=127.0.0.1", `--http-port=${port}`],
    `--hostname=${origin}`,
    ...(keeps ? [`--db-url=jdbc:h2:file:${join(folder, "data")};NON_KEYWORDS=VALUE`] : []),
  ];
  const env = {
    ...process.env,
    // For so short a life the better compiler does not pay: it starts in half of the time.
    JAVA_OPTS_APPEND: "-XX:TieredStopAtLevel=1",
    KC_BOOTSTRAP_ADMIN_USERNAME: ADMIN.username,
    KC_BOOTSTRAP_ADMIN_PASSWORD: ADMIN.password,
  };
  const answers = () =>
    fetch(`${local}/realms/master`).then(
      ({ ok }) => ok,
      () => false,
    );
  const start = () =>
    startProcess("Keycloak", "bash", args, { folder, env, ready: answers, limit: 180_000 });
  let server = await start();

  async function ask(path, options) {
    const answer = await fetch(`${local}${path}`, options);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }
  // Asked for each time, for it lives for a minute.
  const adminToken = async () => {
    const body = new URLSearchParams({ grant_type: "password", client_id: "admin-cli", ...ADMIN });
    const path = "/realms/master/protocol/openid-connect/token";
    return (await ask(path, { method: "POST", body })).access_token;
  };
  const admin = async (method, path, value) =>
    ask(`/admin/realms${path}`, {
      method,
      headers: { authorization: `Bearer ${await adminToken()}`, "content-type": "application/json" },
      body: value && JSON.stringify(value),
    });

  return {
    port,
    adminToken,
    log: () => server.log(),
    stop: () => server.stop(),
    kill: () => server.kill(),
    async startAgain() {
      server = await start();
    },
    async realm(name, settings) {
      await admin("POST", "", { realm: name, enabled: true, ...settings });
      const path = `/realms/${name}/protocol/openid-connect`;
      return {
        issuer: `${origin}/realms/${name}`,
        endpoint: (what) => `${origin}${path}/${what}`,
        get: (what) => admin("GET", `/${name}/${what}`),
        post: (what, value) => admin("POST", `/${name}/${what}`, value),
        put: (what, value) => admin("PUT", `/${name}/${what}`, value),
        remove: (what) => admin("DELETE", `/${name}/${what}`),
        jwks: () => ask(`${path}/certs`),
        /** Tokens by a person's password, which a client may only do if it is made so, or by another grant. */
        tokens: (fields) =>
          ask(`${path}/token`, {
            method: "POST",
            body: new URLSearchParams({ grant_type: "password", scope: "openid", ...fields }),
          }),
      };
    },
  };
}
