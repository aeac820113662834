// An application that nobody here wrote, behind the filter, with nothing configured but who issues tokens and a session.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { startEnvoy } from "./envoy.mjs";

/**
 * Puts an application, which `stop` ends as well, behind Envoy, where people find it at `origin`. `more` is what its
 * configuration needs beyond that of others.
 */
export async function guard(application, { host, login, more }) {
  const session = { login_url: login.url("login.localhost", "/start") };
  const config = ({ providers }) => ({ providers, session, ...more });
  try {
    const envoy = await startEnvoy({
      clusters: { upstream: application.port },
      listeners: { application: { config } },
    });
    return {
      ...application,
      origin: `http://${host}:${envoy.port()}`,
      /** For those who do not know the host. */
      local: `127.0.0.1:${envoy.port()}`,
      async stop() {
        await envoy.stop();
        await application.stop();
      },
    };
  } catch (error) {
    await application.stop();
    throw error;
  }
}

/** A page, and its WebSockets with what they have brought so far. */
export async function openPage(context) {
  const page = await context.newPage();
  const sockets = [];
  page.on("websocket", (socket) => {
    const one = { path: new URL(socket.url()).pathname, received: "" };
    sockets.push(one);
    socket.on("framereceived", ({ payload }) => (one.received += payload));
  });
  return { page, sockets };
}

/** Waits for what no page shows. */
export async function until(what, condition) {
  for (const end = Date.now() + 20_000; !(await condition()); await sleep(50)) assert.ok(Date.now() < end, what);
}
