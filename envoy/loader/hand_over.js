// How a token gets to the filter in front of an application, and becomes its cookie.

import { covers, getJson, place } from "./config.js";

const SOON_MS = 30_000;

/** The filter did not take the token. */
export class Refused extends Error {
  constructor({ reason, words }) {
    super(words);
    this.reason = reason;
  }
}

/** Hands it over by fetch. */
export async function handOver(auth, token) {
  const said = await ask(auth, { authorization: `Bearer ${token}` });
  if (!said.ok) throw new Refused(said);
}

/** What the filter says to the cookie that the browser has for it, if any. */
export async function ask(auth, headers = {}) {
  const answer = await fetch(auth, {
    headers,
    credentials: "include",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(15_000),
  });
  if (answer.status === 204) return { ok: true };
  const problem = await answer.json().catch(() => ({}));
  return {
    ok: false,
    reason: problem.reason ?? `status ${answer.status}`,
    words: problem.detail ?? problem.title ?? "no reason was given",
  };
}

/** Hands it over by a form, in this window: then the cookie is the application's own, which no browser blocks. */
export function submit(auth, token, parameter, target) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = auth;
  for (const [name, value] of [
    ["token", token],
    [parameter, target],
  ]) {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name, value });
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}

/**
 * The machine token of an Eclipse Che workspace, and where the server at that address takes it. A person's own token
 * is for the Che server alone.
 */
export async function machineToken({ api }, { auth_path }, target, workspaceId, token) {
  if (!workspaceId) throw new Error("The address of this page names no workspace (workspaceId).");
  const { runtime } = await getJson(`${api}workspace/${encodeURIComponent(workspaceId)}`, {
    headers: { authorization: `Bearer ${token}` },
    redirect: "error",
  });
  if (!runtime?.machineToken) throw new Error("The workspace is not running. Start it, then come back.");
  const servers = Object.values(runtime.machines ?? {}).flatMap(({ servers = {} }) => Object.values(servers));
  const server = servers.find(({ url }) => url && covers(place(new URL(url)), target));
  if (!server) throw new Error(`The workspace has no server at ${target.origin}.`);
  // Where an ingress takes a prefix off the path, Che says which.
  const root = server.attributes?.endpointOrigin ?? "/";
  return { token: runtime.machineToken, auth: target.origin + `/${root}/${auth_path}`.replace(/\/+/g, "/") };
}

/** How long a token lives, in seconds. Only its own times count: the clock of this machine may be wrong. */
export function lifeOf(token, remaining = Infinity) {
  const { iat, exp } = claimsOf(token);
  return Math.min(exp - (iat ?? Date.now() / 1000) || Infinity, remaining);
}

function claimsOf(token) {
  try {
    const [, payload] = token.split(".");
    return JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
}

/** How often a token was handed over for an address a short while ago, in this tab. */
export const lately = (target) => times(target).length;

/** Counts one more. */
export function count(target) {
  sessionStorage.setItem(key(target), JSON.stringify([...times(target), Date.now()]));
}

/** Begins to count anew. */
export const forget = (target) => sessionStorage.removeItem(key(target));

const key = ({ origin, pathname }) => `handed over: ${origin}${pathname}`;

function times(target) {
  const all = JSON.parse(sessionStorage.getItem(key(target)) ?? "[]");
  return all.filter((time) => Math.abs(Date.now() - time) < SOON_MS);
}
