// Signs a person in at an OpenID provider, hands the token to the filter of the application, and goes there.

import { applicationOf, readConfig } from "./config.js";
import { ask, count, forget, handOver, lately, lifeOf, machineToken, submit } from "./hand_over.js";
import { show, wordsOf } from "./page.js";
import { freshUser, here, newManager } from "./provider.js";
import { renewUnseen, SOURCE, stay } from "./stay.js";

const asked = new URL(location.href);
const has = (name) => asked.searchParams.has(name);
const given = (name) => asked.searchParams.get(name);
const framed = window !== window.parent;

let config;
let manager;
// Where the person wants to go: `{target, app, workspaceId}`.
let visit;

addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective }) => {
  explain(new Error(`The server of this page does not let it go to ${blockedURI} (${effectiveDirective}).`));
});
start().catch(explain);

async function start() {
  // The provider's answer to a question of the page around this frame.
  if (framed && has("state")) return newManager().signinSilentCallback();
  // The application in this frame has lost its session, and the loader around it knows what to do.
  if (framed && isLoader(window.parent)) {
    return window.parent.postMessage({ source: SOURCE, visit: asked.href }, location.origin);
  }
  // What the provider answered leaves the address bar before anything else.
  if (has("state")) history.replaceState(null, "", here);

  config = await readConfig();
  manager = newManager(config);
  if (has("logout")) return signOut();
  if (has("state")) return comeBack();
  if (has("renew")) return renewInPage();
  if (!has("redirectUrl")) return welcome("Sign in", "Where do you want to go?");

  setVisit(given("redirectUrl"), given("workspaceId"));
  // The browser has carried the fragment over from the address that led here.
  visit.target.hash ||= asked.hash;
  if (lately(visit.target) >= 2) return breakLoop();
  await signIn();
}

function isLoader(other) {
  try {
    return other.location.pathname === location.pathname;
  } catch {
    return false;
  }
}

/** An address of an application that is configured. It is checked again after the round trip. */
function setVisit(address, workspaceId) {
  const target = URL.canParse(address) ? new URL(address) : undefined;
  const app = target && applicationOf(config, target);
  const name = target?.origin ?? "This";
  if (!app) throw new Error(`${name} is none of the applications of this page. Nothing was sent there.`);
  visit = { target, app, workspaceId };
}

/** The address of this page for this visit. */
function ownAddress() {
  const { target, workspaceId } = visit;
  const query = new URLSearchParams({ redirectUrl: target.href, ...(workspaceId && { workspaceId }) });
  return `${here}?${query}`;
}

/** So that this page can be loaded again. */
const rememberVisit = () => history.replaceState(null, "", ownAddress());

// At the provider

async function signIn(options) {
  const { target, workspaceId } = visit;
  show("Signing in", "One moment, please.");
  // No provider shows itself in a frame, and none should.
  if (framed) return arrive(await freshUser(manager, config));
  await manager.signinRedirect({ state: { target: target.href, workspaceId }, ...options });
}

const signInAnew = (options) => signIn(options).catch(explain);

async function comeBack() {
  if (!has("code") && !has("error")) {
    await manager.signoutCallback(asked.href).catch(() => {});
    return welcome("You are signed out", "Close this window, or go on to:");
  }
  let user;
  try {
    user = await manager.signinCallback(asked.href);
  } catch (error) {
    if (error.state) setVisit(error.state.target, error.state.workspaceId);
    throw error;
  }
  // None: this was a window of its own, and the page that opened it goes on.
  if (!user) return;
  setVisit(user.state.target, user.state.workspaceId);
  await arrive(user);
}

async function signOut() {
  // Without a hint who it is the provider asks the person: no stranger's link signs anybody out.
  await manager.removeUser();
  await manager.signoutRedirect({ state: {} });
}

// At the application

async function arrive(user) {
  const { target, app } = visit;
  const session = await sessionOf(user);
  const stays = app.renewal === "stay" && !framed;
  const again = lately(target) > 0;
  count(target);
  // The second time by a form: the cookie of a fetch may not be the one that the application's own window sends.
  if ((stays || !again) && (await isKept(session))) {
    if (!stays) return location.replace(target);
    forget(target);
    return stayHere(session, user.profile.sub);
  }
  submit(session.auth, session.token, app.return_param, target.href);
}

/** Hands the token over by fetch. Whether the browser has kept the cookie. */
async function isKept({ auth, token }) {
  try {
    await handOver(auth, token);
    return (await ask(auth)).ok;
  } catch (error) {
    // This page may not ask there, but a person may still go there.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

async function sessionOf(user) {
  const { target, app, workspaceId } = visit;
  const since = Date.now();
  if (config.che) {
    const machine = await machineToken(config.che, app, target, workspaceId, user.access_token);
    return { ...machine, life: lifeOf(machine.token), since };
  }
  const token = user[config.token];
  const remaining = config.token === "access_token" ? user.expires_in : undefined;
  return { auth: auth(), token, life: lifeOf(token, remaining), since };
}

const auth = () => visit.target.origin + visit.app.base + visit.app.auth_path;
const nextSession = async () => sessionOf(await freshUser(manager, config));

async function breakLoop() {
  const { target } = visit;
  const { reason, words } = await ask(auth()).catch(() => ({}));
  show(
    "Signing in does not last",
    `${target.host} was given a session twice, and still asks for one. Perhaps your browser does not keep its cookie.`,
    { detail: reason && `${reason}: ${words}`, actions: ways() },
  );
}

// Staying signed in

function stayHere(session, sub) {
  const { target, app } = visit;
  rememberVisit();
  stay(target, session, {
    obtain: nextSession,
    signIn: () => signInAnew(),
    isOurs: (address) => applicationOf(config, address) === app,
    askPerson: async () => {
      const user = await manager.signinPopup({ popupAbortOnClose: true });
      return user.profile.sub === sub ? sessionOf(user) : undefined;
    },
  });
}

function renewInPage() {
  setVisit(given("renew"), given("workspaceId"));
  const { target, app } = visit;
  if (!framed || app.renewal !== "frame") throw new Error(`${app.name} does not renew by a frame.`);
  return renewUnseen(target, auth(), nextSession);
}

// What there is to say

function welcome(title, message) {
  const fixed = config.applications.filter(({ anyLabel }) => !anyLabel);
  show(title, message, {
    actions: fixed.map(({ url }) => [url.host + url.pathname.replace(/\/$/, ""), url.href]),
  });
}

function explain(error) {
  const { message, detail } = wordsOf(error);
  if (visit && !framed) rememberVisit();
  show("You are not signed in", message, { detail, actions: visit ? ways() : [] });
}

/** How a person may go on. */
function ways() {
  const anew = (options) => () => {
    forget(visit.target);
    signInAnew(options);
  };
  if (framed) return [["Sign in in a window of its own", () => open(ownAddress(), "_blank", "noopener")]];
  return [
    ["Try again", anew()],
    ["Use another account", anew({ prompt: "login" })],
  ];
}
