// The sign-in page as Eclipse Che has it: the token of a person is for the Che server alone, and the workspace gets its
// machine token. Che's server is a stand-in that records; the Envoy in the workspace is the one of the example.

import assert from "node:assert/strict";
import { sign, verify, createPublicKey } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { startApp } from "./lib/app.mjs";
import { launch, screenshot } from "./lib/chromium.mjs";
import { startEnvoy } from "./lib/envoy.mjs";
import { startIngress } from "./lib/ingress.mjs";
import { logIn, startProvider } from "./lib/provider.mjs";
import { read } from "./lib/repository.mjs";
import { startSite } from "./lib/site.mjs";
import { key, now } from "./lib/tokens.mjs";
import { works } from "./lib/world.mjs";

const CHE = "che.example.com";
const IDE = "ide-workspace123.example.com";
const WORKSPACE = "workspace123";

const TYPES = { css: "text/css", html: "text/html", js: "text/javascript" };

let ide, ingress, provider, envoy, browser, che, page, machine, runtime, secrets;
const origin = (host) => ingress.origin(host);

before(async () => {
  ide = await startApp();
  ingress = await startIngress();
  const loader = `${origin(CHE)}/_app/loader.html`;
  provider = await startProvider({ host: "id.example.net", pages: [loader] });
  const port = (text) =>
    text.replaceAll(/https:\/\/[*\w-]+\.example\.com/g, (one) => `${one}:${ingress.port}`);
  che = await startSite((request, response) => {
    const answer = (status, type, body) => response.writeHead(status, { "content-type": type }).end(body);
    const json = (status, value) => answer(status, "application/json", JSON.stringify(value));
    const file = request.path.match(/^\/_app\/([\w.-]+)$/)?.[1];
    if (file === "loader.json") return answer(200, "application/json", port(read("envoy/che/loader.json")));
    if (file) return answer(200, TYPES[file.split(".").pop()], read(`envoy/loader/${file}`));
    if (request.path === "/api/keycloak/settings") {
      return json(200, {
        "che.keycloak.auth_server_url": provider.origin,
        "che.keycloak.realm": "NAME",
        "che.keycloak.client_id": "app-login",
      });
    }
    if (!isOfPerson(request.headers.authorization)) return json(401, {});
    if (request.path !== `/api/workspace/${WORKSPACE}`) return json(404, {});
    return json(200, { id: WORKSPACE, status: runtime ? "RUNNING" : "STOPPED", ...(runtime && { runtime }) });
  });
  envoy = await startEnvoy({
    file: "che/envoy.yaml",
    clusters: { ide: ide.port, api: ide.port, open: ide.port, che: che.port },
    env: {
      CHE_MACHINE_AUTH_SIGNATURE__PUBLIC__KEY: key.public.replace(/-----.*-----|\n/g, ""),
      CHE_MACHINE_AUTH_SIGNATURE__ALGORITHM: "RSA",
      CHE_WORKSPACE_ID: WORKSPACE,
      CHE_MACHINE_TOKEN: "of-the-workspace",
    },
    change(bootstrap) {
      Object.assign(bootstrap, JSON.parse(port(JSON.stringify(bootstrap))));
      const cluster = bootstrap.static_resources.clusters.find(({ name }) => name === "che");
      const [{ endpoint }] = cluster.load_assignment.endpoints[0].lb_endpoints;
      endpoint.address.socket_address.address = "127.0.0.1";
    },
  });
  ingress.hosts[CHE] = che.port;
  ingress.hosts[IDE] = envoy.port("ide");
  browser = await launch();
});
after(async () => {
  for (const one of [browser, envoy, provider, ingress, che, ide]) await (one?.stop?.() ?? one?.close());
});

beforeEach(async () => {
  await page?.context().close();
  page = await (await browser.newContext({ viewport: { width: 800, height: 450 } })).newPage();
  machine = machineToken();
  runtime = {
    machineToken: machine,
    machines: {
      tools: {
        servers: {
          terminal: { url: `${origin(IDE).replace("https", "wss")}/pty`, status: "RUNNING" },
          theia: { url: `${origin(IDE)}/`, status: "RUNNING", attributes: { secure: "true" } },
        },
      },
      database: {},
    },
  };
  for (const list of [ingress.records, ide.requests, provider.seen]) list.length = 0;
  // All that the provider has ever given to this browser.
  secrets = new Set();
  page.on("response", async (response) => {
    if (response.url() !== `${provider.issuer}/token` || response.request().method() !== "POST") return;
    const { access_token, id_token, refresh_token } = await response.json();
    for (const secret of [access_token, id_token, refresh_token]) secrets.add(secret);
  });
});

function machineToken() {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { wsid: WORKSPACE, uid: "user13", uname: "alice", iss: "wsmaster", aud: WORKSPACE, nbf: -1 };
  const signed = [
    part({ alg: "RS256", kind: "machine_token", kid: WORKSPACE }),
    part({ ...claims, jti: crypto.randomUUID(), iat: now(), exp: now() + 365 * 86_400 }),
  ].join(".");
  return `${signed}.${sign("sha256", Buffer.from(signed), key.secret).toString("base64url")}`;
}

function isOfPerson(authorization = "") {
  const [, signed, signature] = authorization.match(/^Bearer ([\w-]+\.[\w-]+)\.([\w-]+)$/) ?? [];
  if (!signed) return false;
  const jwk = createPublicKey({ key: provider.jwks.keys[0], format: "jwk" });
  const claims = JSON.parse(Buffer.from(signed.split(".")[1], "base64url"));
  return (
    claims.typ === "Bearer" && verify("sha256", Buffer.from(signed), jwk, Buffer.from(signature, "base64url"))
  );
}

async function visit(wanted) {
  await page.goto(wanted);
  await page.waitForURL((url) => url.origin === provider.origin);
  await logIn(page);
}

/** Where a secret is in what was sent to a host. */
const holding = (host, secret) => ingress.sent(host).filter((sent) => sent.includes(secret));

test("the workspace gets its machine token, and nothing that the provider gave out", async () => {
  const wanted = `${origin(IDE)}/?folder=/projects#/projects/a.js`;
  await visit(wanted);
  await page.waitForURL(wanted);
  // The application knows people by another header than Che's.
  await works(page, "nobody");
  await page.reload();
  await works(page, "nobody");

  const codes = provider.seen
    .filter(({ what }) => what === "token")
    .flatMap((one) => [one.code, one.code_verifier]);
  assert.equal(secrets.size, 3);
  assert.equal(codes.length, 2);
  const log = envoy.log();
  for (const secret of [...secrets, ...codes]) {
    assert.ok(secret?.length > 20, secret);
    assert.deepEqual(holding(IDE, secret), []);
    // Not the signature alone, either.
    assert.deepEqual(holding(IDE, secret.split(".").pop()), []);
    assert.ok(!JSON.stringify(ide.requests).includes(secret));
    assert.ok(!log.includes(secret));
  }
  // It would have been seen: this is where they are.
  const [access] = secrets;
  const shown = holding(CHE, access);
  assert.equal(shown.length, 1);
  assert.match(shown[0], /^GET \/api\/workspace\/workspace123\r\n/);
  const handed = holding(IDE, machine);
  assert.match(handed[0], /^GET \/jwt\/auth\r\n/);
  assert.ok(handed.length > 1, "then it is the cookie");
  assert.ok(log.includes("/jwt/auth"));
  assert.ok(!JSON.stringify(ide.requests).includes(machine), "the filter takes it off");
  assert.equal(ide.requests[0].headers["x-che-user-name"], "alice");
});

test("a workspace that does not run", async () => {
  runtime = undefined;
  await visit(`${origin(IDE)}/`);
  await page.getByText("The workspace is not running. Start it, then come back.").waitFor();
  await screenshot(page, "loader-che-stopped");
  assert.deepEqual(holding(IDE, "authorization: Bearer"), []);
});

test("an address that is none of the workspace's servers gets no token", async () => {
  const OTHER = "ide-workspace666.example.com";
  const wanted = encodeURIComponent(`${origin(OTHER)}/`);
  await visit(`${origin(CHE)}/_app/loader.html?redirectUrl=${wanted}&workspaceId=${WORKSPACE}`);
  await page.getByText(`The workspace has no server at ${origin(OTHER)}.`).waitFor();
  assert.deepEqual(ingress.sent(OTHER), []);
  assert.equal(holding(CHE, "GET /api/workspace/workspace123").length, 1);
});

test("a path that an ingress takes off", async (t) => {
  // Where several servers share a host, Che says in a server's attributes where its root is.
  const root = "/service/server-4400";
  runtime.machines.tools.servers.theia = {
    url: `${origin(IDE)}${root}/files`,
    attributes: { endpointOrigin: `${root}/` },
  };
  ingress.prefixes[IDE] = root;
  t.after(() => delete ingress.prefixes[IDE]);
  const wanted = `${origin(IDE)}${root}/files/a.js`;
  await visit(
    `${origin(CHE)}/_app/loader.html?redirectUrl=${encodeURIComponent(wanted)}&workspaceId=${WORKSPACE}`,
  );
  await page.waitForURL(wanted);
  assert.equal(ide.requests[0].path, "/files/a.js");
  assert.match(holding(IDE, machine)[0], /^GET \/service\/server-4400\/jwt\/auth\r\n/);
});

test("no workspace is named", async () => {
  await visit(`${origin(CHE)}/_app/loader.html?redirectUrl=${encodeURIComponent(`${origin(IDE)}/`)}`);
  await page.getByText("names no workspace").waitFor();
  assert.deepEqual(ingress.sent(IDE), []);
});

test("a workspace of somebody else", async () => {
  const wanted = encodeURIComponent(`${origin(IDE)}/`);
  await visit(`${origin(CHE)}/_app/loader.html?redirectUrl=${wanted}&workspaceId=..%2F..%2Fadmin`);
  await page.getByText("404").waitFor();
  assert.ok(ingress.sent(CHE).some((sent) => sent.startsWith("GET /api/workspace/..%2F..%2Fadmin")));
  assert.deepEqual(ingress.sent(IDE), []);
});
