// A new token before the old one ends, for as long as this page lives.

import { ask, handOver, Refused } from "./hand_over.js";

const { ErrorResponse, ErrorTimeout } = globalThis.oidc;

// When a token is renewed, as a part of its life. From when on a missing cookie means no more than that it ended: a
// cookie counts whole seconds, and was under way for a while.
const DUE = 2 / 3;
const over = (life) => life - Math.max(2, life / 10);

const TEMPORARY = ["server_error", "temporarily_unavailable"];

/**
 * Keeps a session `{auth, life, since}`. `obtain` brings the next one, with its `token`; `tell` hears how it goes:
 *
 * - `renewed`
 * - `ended`: the cookie is gone though its token would still live. Somebody has signed out, and nobody is signed in
 *   again without being asked
 * - `sign-in-needed`: the provider wants to see the person. Tried again when somebody looks at the page
 * - `refused`: the filter does not take the new token. So is this
 */
export function keepRenewed(session, obtain, tell) {
  let stopped = "";
  let running;

  // A clock that was set back must not make a session last.
  const age = () => Math.abs(Date.now() - session.since) / 1000;
  const isDue = () => age() >= session.life * DUE;
  const isOver = () => age() >= over(session.life);
  const now = () => (running ??= renew().finally(() => (running = undefined)));

  async function renew() {
    try {
      if (!isOver() && !(await ask(session.auth)).ok) return stop("ended");
      const next = await obtain();
      await handOver(next.auth, next.token);
      take(next);
    } catch (error) {
      if (error instanceof Refused) stop("refused", error);
      else if (isFinal(error)) stop("sign-in-needed", error);
      // The network, or a provider that is down: at the next tick again.
      else console.warn(`not renewed: ${error.message}`);
    }
  }

  // A provider that says nothing may be slow, or wants to show something that it does not show in a frame.
  const isFinal = (error) =>
    error instanceof ErrorTimeout
      ? isOver()
      : error instanceof ErrorResponse && !TEMPORARY.includes(error.error);

  function take(next) {
    session = next;
    stopped = "";
    setClock();
    tell("renewed");
  }

  function stop(state = "ended", error) {
    stopped = state;
    tell(state, error);
  }

  const clock = new Worker("clock.js");
  const setClock = () => clock.postMessage(Math.min(Math.max(session.life / 20, 0.5), 30));
  clock.addEventListener("message", () => !stopped && isDue() && now());
  setClock();

  // Machines sleep, and people sign in again in another window.
  const wake = () => !document.hidden && stopped !== "ended" && (stopped || isDue()) && now();
  document.addEventListener("visibilitychange", wake);
  addEventListener("online", wake);
  addEventListener("pageshow", wake);

  return { isOver, now, take, stop: () => (stopped = "ended") };
}
