// A real OpenID provider (npm oidc-provider), with its own login page, and with a machine as a client. Its access tokens
// are JWTs for `app`, and say what those of a Keycloak realm say.

import { createPrivateKey, createPublicKey } from "node:crypto";
import { createServer, request } from "node:https";
import { read } from "./repository.mjs";
import { listen } from "./site.mjs";

// It warns that it is not set up for production, which is so.
for (const level of ["info", "warn"]) {
  const say = console[level];
  console[level] = (...words) => String(words[0]).startsWith("oidc-provider ") || say(...words);
}
const { default: Provider } = await import("oidc-provider");

export const CLIENT = "app-login";
/** Whom the tokens of `machineToken` are about. */
export const MACHINE = "machine";
const SECRET = "for tests only";
const REALM = "/realms/NAME";
const CERTIFICATE = "tests/browser/lib/certificate.pem";

/**
 * Starts one at `host`. `pages` are the addresses of sign-in pages. `life` is that of access tokens in seconds,
 * `refresh` whether it gives refresh tokens. `keys` are the names of test keys, and the first one signs. `port` is for
 * one that was there before.
 *
 * `seen` holds what it was asked: `{what: "authorization", …}` and `{what: "token", …}`, with the parameters. `fetched`
 * counts how often its `discovery` document and its `keys` were.
 */
export async function startProvider({ host, pages = [], life = 300, refresh = true, keys = ["a"], port: wanted }) {
  const secrets = keys.map((name) => [name, createPrivateKey(read(`tests/rig/keys/${name}.pem`))]);
  const jwk = (kid, one) => ({ ...one.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" });
  let answer;
  const server = createServer(
    { cert: read(CERTIFICATE), key: read("tests/rig/keys/b.pem") },
    (incoming, response) => answer(incoming, response),
  );
  const { port, stop } = await listen(server, wanted);
  const origin = `https://${host}:${port}`;
  const issuer = origin + REALM;
  const seen = [];
  const fetched = { discovery: 0, keys: 0 };

  const provider = new Provider(issuer, {
    clients: [
      ...(pages.length > 0 ? [browserClient(pages)] : []),
      {
        client_id: MACHINE,
        client_secret: SECRET,
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
      },
    ],
    jwks: { keys: secrets.map(([kid, secret]) => jwk(kid, secret)) },
    cookies: { keys: ["for tests only"] },
    pkce: { required: () => true },
    // Keycloak always does.
    issueRefreshToken: () => refresh,
    ttl: { AccessToken: () => life },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:app",
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "",
          audience: "app",
          accessTokenFormat: "jwt",
          accessTokenTTL: life,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
    extraTokenClaims: (_, token) => ({ typ: "Bearer", azp: token.clientId, preferred_username: token.accountId }),
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    // People are not asked for their consent.
    async loadExistingGrant(ctx) {
      const { client, session, params } = ctx.oidc;
      const earlier = session.grantIdFor(client.clientId);
      if (earlier) return ctx.oidc.provider.Grant.find(earlier);
      const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope(params.scope);
      await grant.save();
      return grant;
    },
  });
  const note = (what) => (ctx) => seen.push({ what, ...ctx.oidc.params });
  provider.on("authorization.accepted", note("authorization"));
  provider.on("grant.success", note("token"));

  const inRealm = provider.callback();
  answer = (incoming, response) => {
    if (incoming.url.endsWith("/.well-known/openid-configuration")) fetched.discovery += 1;
    if (incoming.url.endsWith("/jwks")) fetched.keys += 1;
    // As a server does that has mounted it there.
    incoming.originalUrl = incoming.url;
    incoming.url = incoming.url.replace(REALM, "") || "/";
    inRealm(incoming, response);
  };
  const jwks = { keys: secrets.map(([kid, secret]) => jwk(kid, createPublicKey(secret))) };
  return { port, origin, issuer, seen, fetched, stop, jwks, machineToken: () => machineToken(host, port) };
}

const browserClient = (pages) => ({
  client_id: CLIENT,
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token"],
  redirect_uris: pages,
  post_logout_redirect_uris: pages,
});

/** An access token from the token endpoint, by client credentials (RFC 6749 section 4.4). */
function machineToken(host, port) {
  return new Promise((resolve, reject) => {
    const options = {
      ...{ host: "127.0.0.1", port, path: `${REALM}/token`, method: "POST", agent: false },
      ...{ ca: read(CERTIFICATE), servername: host, auth: `${MACHINE}:${encodeURIComponent(SECRET)}` },
      headers: { host: `${host}:${port}`, "content-type": "application/x-www-form-urlencoded" },
    };
    const asked = request(options, async (response) => {
      try {
        const text = (await response.toArray()).join("");
        if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${text}`);
        resolve(JSON.parse(text).access_token);
      } catch (error) {
        reject(error);
      }
    });
    asked.on("error", reject).end("grant_type=client_credentials");
  });
}

/** Types a name into the login page. */
export async function logIn(page, name = "alice") {
  await page.fill('input[name="login"]', name);
  await page.fill('input[name="password"]', "secret");
  await page.click('button[type="submit"]');
}
