// A real OpenID provider (npm oidc-provider), with its own login page. Its access tokens are JWTs for `app`, and say
// what those of a Keycloak realm say.

import { createPrivateKey, createPublicKey } from "node:crypto";
import { createServer } from "node:https";
import { read } from "./repository.mjs";
import { listen } from "./site.mjs";

// It warns that it is not set up for production, which is so.
for (const level of ["info", "warn"]) {
  const say = console[level];
  console[level] = (...words) => String(words[0]).startsWith("oidc-provider ") || say(...words);
}
const { default: Provider } = await import("oidc-provider");

export const CLIENT = "app-login";
const REALM = "/realms/NAME";
const KID = "active";

/**
 * Starts one at `host`. `pages` are the addresses of sign-in pages. `life` is that of access tokens in seconds,
 * `refresh` whether it gives refresh tokens.
 *
 * `seen` holds what it was asked: `{what: "authorization", …}` and `{what: "token", …}`, with the parameters.
 */
export async function startProvider({ host, pages, life = 300, refresh = true }) {
  const key = createPrivateKey(read("tests/rig/keys/a.pem"));
  const jwk = (one) => ({ ...one.export({ format: "jwk" }), kid: KID, use: "sig", alg: "RS256" });
  let answer;
  const server = createServer(
    { cert: read("tests/browser/lib/certificate.pem"), key: read("tests/rig/keys/b.pem") },
    (incoming, response) => answer(incoming, response),
  );
  const { port, stop } = await listen(server);
  const origin = `https://${host}:${port}`;
  const issuer = origin + REALM;
  const seen = [];

  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT,
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: pages,
        post_logout_redirect_uris: pages,
      },
    ],
    jwks: { keys: [jwk(key)] },
    cookies: { keys: ["for tests only"] },
    pkce: { required: () => true },
    // Keycloak always does.
    issueRefreshToken: () => refresh,
    ttl: { AccessToken: () => life },
    features: {
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
    extraTokenClaims: (_, token) => ({ typ: "Bearer", azp: CLIENT, preferred_username: token.accountId }),
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
    // As a server does that has mounted it there.
    incoming.originalUrl = incoming.url;
    incoming.url = incoming.url.replace(REALM, "") || "/";
    inRealm(incoming, response);
  };
  return { port, origin, issuer, seen, stop, jwks: { keys: [jwk(createPublicKey(key))] } };
}

/** Types a name into the login page. */
export async function logIn(page, name = "alice") {
  await page.fill('input[name="login"]', name);
  await page.fill('input[name="password"]', "secret");
  await page.click('button[type="submit"]');
}
