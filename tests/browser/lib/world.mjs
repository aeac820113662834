// All that a journey needs: Chromium, Envoy with the filter in front of the application, a login page and a site of
// somebody else, each on a site of its own.

import { startApp } from "./app.mjs";
import { launch } from "./chromium.mjs";
import { startEnvoy } from "./envoy.mjs";
import { startLogin } from "./login.mjs";
import { page, startSite } from "./site.mjs";

export const HOST = "ide.example.com";
const LOGIN_HOST = "login.example.net";
const ELSEWHERE_HOST = "elsewhere.example.org";

/**
 * Starts it. `listeners` are those of `startEnvoy`; the login page is in all of them, and `config` is told
 * `elsewhereOrigin` and `loginOrigin`. `tls: false` makes every site
 * one of plain http.
 */
export async function startWorld({
  listeners = { ide: {} },
  tls = ["h2", "http/1.1"],
  change,
  host = HOST,
  args,
} = {}) {
  const running = [];
  const keep = (thing) => running.unshift(thing) && thing;
  const stop = async () => {
    for (const thing of running.splice(0)) await (thing.stop?.() ?? thing.close());
  };
  try {
    const app = keep(await startApp());
    const login = keep(await startLogin({ tls: Boolean(tls) }));
    const html = new Map();
    const elsewhere = keep(
      await startSite(
        (request, response) => page(response, html.get(request.path) ?? "", { "cache-control": "no-store" }),
        { tls: Boolean(tls) },
      ),
    );
    const loginUrl = login.url(LOGIN_HOST, "/start");
    const sites = {
      elsewhereOrigin: elsewhere.url(ELSEWHERE_HOST, ""),
      loginOrigin: login.url(LOGIN_HOST, ""),
    };
    const withLogin = (config) => (shipped) => {
      shipped.session.login_url = loginUrl;
      return config?.(shipped, sites) ?? shipped;
    };
    const envoy = keep(
      await startEnvoy({
        clusters: { upstream: app.port },
        listeners: Object.fromEntries(
          Object.entries(listeners).map(([name, one]) => [
            name,
            { tls, ...one, config: withLogin(one.config) },
          ]),
        ),
        change,
      }),
    );
    const browser = keep(await launch({ args }));
    const origin = (name) => `${tls ? "https" : "http"}://${host}:${envoy.port(name)}`;
    return {
      ...{ app, login, loginUrl, elsewhere, envoy, browser, origin, stop },
      /** Puts a page on the other site and returns its address. */
      elsewherePage(path, text) {
        html.set(path, `<!doctype html><title>Elsewhere</title>${text}`);
        return elsewhere.url(ELSEWHERE_HOST, path);
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Every navigation of a page, one after another: `{status, url, location}` of each answer. Frames of it included. */
export function navigations(page) {
  const seen = [];
  page.on("response", (response) => {
    if (!response.request().isNavigationRequest()) return;
    seen.push({ status: response.status(), url: response.url(), location: response.headers().location });
  });
  return seen;
}

/** The addresses in the history of a page, and where in it the page is. */
export async function history(page) {
  const session = await page.context().newCDPSession(page);
  const { entries, currentIndex } = await session.send("Page.getNavigationHistory");
  await session.detach();
  return { urls: entries.map((entry) => entry.url), at: currentIndex };
}

/** Waits until the application's page works in every part: script, fetch, EventSource, WebSocket, image. */
export async function works(frame, who = "alice") {
  for (const [id, text] of [
    ["who", who],
    ["fetch", who],
    ["events", `${who} 1`],
    ["socket", `hello ${who}`],
    ["image", "loaded"],
  ]) {
    await frame.locator(`#${id}`, { hasText: text }).waitFor({ timeout: 10_000 });
  }
}
