// A real Keycloak, with a realm of its own that is gone when it ends.

import { join } from "node:path";
import { freePort, newFolder, startProcess } from "./process.mjs";
import { bring } from "./repository.mjs";

const ADMIN = { username: "admin", password: "admin" };

/**
 * Starts one that people see at `origin(port)`, whatever stands in between; `port` is where it listens on this
 * machine.
 *
 * - `realm(name, settings)` makes a realm and hands back `{post, issuer, endpoint, jwks}`
 */
export async function startKeycloak({ origin }) {
  const folder = newFolder("keycloak");
  const port = await freePort();
  const local = `http://127.0.0.1:${port}`;
  const args = [
    join(bring("keycloak"), "bin/kc.sh"),
    ...["start", "--optimized", "--cache=local"],
    ...["--http-enabled=true", "--http-host=127.0.0.1", `--http-port=${port}`],
    `--hostname=${origin}`,
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
  const server = await startProcess("Keycloak", "bash", args, { folder, env, ready: answers, limit: 180_000 });

  async function ask(path, { status = 200, ...options }) {
    const answer = await fetch(`${local}${path}`, options);
    const text = await answer.text();
    if (answer.status !== status) throw new Error(`${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }
  // Asked for each time, for it lives for a minute.
  const adminToken = async () => {
    const body = new URLSearchParams({ grant_type: "password", client_id: "admin-cli", ...ADMIN });
    const path = "/realms/master/protocol/openid-connect/token";
    return (await ask(path, { method: "POST", body })).access_token;
  };
  const post = async (path, value) =>
    ask(`/admin/realms${path}`, {
      status: 201,
      method: "POST",
      headers: { authorization: `Bearer ${await adminToken()}`, "content-type": "application/json" },
      body: JSON.stringify(value),
    });

  return {
    port,
    log: server.log,
    stop: server.stop,
    async realm(name, settings) {
      await post("", { realm: name, enabled: true, ...settings });
      const path = `/realms/${name}/protocol/openid-connect`;
      return {
        issuer: `${origin}/realms/${name}`,
        endpoint: (what) => `${origin}${path}/${what}`,
        post: (what, value) => post(`/${name}/${what}`, value),
        jwks: () => ask(`${path}/certs`, {}),
        /** Tokens by a person's password, which a client may only do if it is made so. */
        tokens: (fields) =>
          ask(`${path}/token`, {
            method: "POST",
            body: new URLSearchParams({ grant_type: "password", scope: "openid", ...fields }),
          }),
      };
    },
  };
}
