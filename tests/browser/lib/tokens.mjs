// A token issuer, as careless as a test wants: it signs whatever it is given.

import { createPrivateKey, createPublicKey, randomUUID, sign } from "node:crypto";
import { read } from "./repository.mjs";

/** An RSA key by its PEM: `public` is what Envoy is told. */
export function keyOf(pem) {
  const secret = createPrivateKey(pem);
  return { secret, public: createPublicKey(secret).export({ type: "spki", format: "pem" }) };
}

/** The test keys of the Rust tests: the one that the filter knows, and one that it does not. */
export const key = keyOf(read("tests/rig/keys/a.pem"));
export const strangersKey = keyOf(read("tests/rig/keys/b.pem"));

/** The public key that the shipped envoy.yaml reads from JWT_PUBLIC_KEY. */
export const publicPem = key.public;

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Seconds since 1970. */
export const now = () => Math.floor(Date.now() / 1000);

/**
 * A token as the shipped envoy.yaml wants one: of alice, an hour from now. `claims` replace these, and
 * `undefined` takes one away. No two are equal.
 */
export function mint(claims = {}, signer = key) {
  const payload = {
    iss: "https://login.example.com",
    aud: "workspace",
    sub: "alice",
    exp: now() + 3600,
    jti: randomUUID(),
    ...claims,
  };
  const signed = `${part({ alg: "RS256", typ: "JWT" })}.${part(payload)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), signer.secret).toString("base64url")}`;
}

const readPart = (text) => JSON.parse(Buffer.from(text, "base64url"));

/** Whom a token is about. */
export const subject = (token) => readPart(token.split(".")[1]).sub;

/** The `kid` of a token. */
export const kid = (token) => readPart(token.split(".")[0]).kid;

/** The token with other claims, and the signature of the one that was issued. */
export function altered(token, claims) {
  const [header, payload, signature] = token.split(".");
  return [header, part({ ...readPart(payload), ...claims }), signature].join(".");
}
