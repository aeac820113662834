// Staying signed in: something of this page lives on while the application is used.

import { ask, handOver } from "./hand_over.js";
import { hide, show, wordsOf } from "./page.js";
import { keepRenewed } from "./renewal.js";

/** Marks the messages between pages. */
export const SOURCE = "jwtproxy-loader";

/**
 * Shows the application in this page, which renews its session.
 *
 * - `obtain`: the next session, without a person
 * - `askPerson`: the next one of the same person, who signs in in another window; none if it is another person
 * - `signIn`: signs in anew, in this window
 * - `isOurs`: whether an address is one of this application
 */
export function stay(target, session, { obtain, askPerson, signIn, isOurs }) {
  const frame = document.createElement("iframe");
  Object.assign(frame, {
    title: target.host,
    allow: "clipboard-read; clipboard-write; fullscreen",
    src: target.href,
  });
  document.body.classList.add("stay");
  document.body.append(frame);
  document.title = target.host;
  hide();

  // Where the application in the frame waits for its session.
  let waiting;
  const renewal = keepRenewed(session, obtain, (state, error) => {
    if (state !== "renewed") return bar(state, error);
    hide();
    if (waiting) frame.src = waiting;
    waiting = undefined;
  });

  // In another window, so that nothing in the application is lost.
  function bar(state, error) {
    const words = error ? wordsOf(error) : { message: `${target.host} has no session of yours any more.` };
    show(state === "ended" ? "Your session has ended" : "Please sign in again", words.message, {
      detail: words.detail,
      actions: [["Sign in", () => popUp().catch((failure) => bar(state, failure))]],
    });
  }

  async function popUp() {
    const next = await askPerson();
    // What is on the screen is the page of the person before.
    if (!next) return location.reload();
    await handOver(next.auth, next.token);
    renewal.take(next);
  }

  function leave() {
    renewal.stop();
    document.body.classList.remove("stay");
    frame.remove();
    show("You are signed out", `${target.host} has no session of yours any more.`, {
      actions: [["Sign in", signIn]],
    });
  }

  // The application leads to this page, in the frame.
  addEventListener("message", ({ origin, source, data }) => {
    if (origin !== location.origin || source !== frame.contentWindow || data?.source !== SOURCE) return;
    const { searchParams, hash, href } = new URL(data.visit);
    const wanted = searchParams.get("redirectUrl");
    if (!URL.canParse(wanted) || !isOurs(new URL(wanted))) return location.replace(href);
    // Before its end: a person has signed out there, and is not signed in again without being asked.
    if (!renewal.isOver()) return leave();
    waiting = wanted.includes("#") ? wanted : wanted + hash;
    renewal.now();
  });
}

/** Renews in a frame that nobody sees, in a page of the application at `target`, which hears how it goes. */
export async function renewUnseen(target, auth, obtain) {
  const tell = (state, error) =>
    window.parent.postMessage(
      { source: SOURCE, state, ...(error && { detail: error.message }) },
      target.origin,
    );
  // How old the cookie is nobody knows, so it is renewed at once, if there is one.
  const there = await ask(auth).catch(() => ({ ok: true }));
  if (!there.ok) return tell("ended");
  keepRenewed({ auth, life: 0, since: Date.now() }, obtain, tell).now();
}
