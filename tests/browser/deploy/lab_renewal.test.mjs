// JupyterLab as it comes, behind the filter with tokens of one minute, used for five: signed in by the sign-in page,
// which shows it in a frame and renews. Nobody notices any of it.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { screenshot } from "../lib/chromium.mjs";
import { until } from "../lib/guarded.mjs";
import { startJupyter } from "../lib/jupyter.mjs";
import { startLoaderWorld } from "../lib/loader_world.mjs";
import { logIn } from "../lib/provider.mjs";

const HOST = "lab.example.com";
const LIFE_S = 60;
const MINUTES = 5;
const EVERY_S = 15;

const NOTEBOOK = {
  cells: [
    {
      cell_type: "code",
      id: "count",
      execution_count: null,
      metadata: {},
      outputs: [],
      source: 'n = globals().get("n", 0) + 1\nprint("turn", n, "is over")',
    },
  ],
  metadata: { kernelspec: { display_name: "Python 3", language: "python", name: "python3" } },
  nbformat: 4,
  nbformat_minor: 5,
};

async function start(t, { refresh, plugin }) {
  const world = await startLoaderWorld({
    app: HOST,
    id: "id.example.com",
    life: LIFE_S,
    refresh,
    async behind() {
      const jupyter = await startJupyter();
      writeFileSync(join(jupyter.files, "count.ipynb"), JSON.stringify(NOTEBOOK));
      return jupyter;
    },
    loader: (config) => void (config.applications[0].renewal = "stay"),
    plugin(config) {
      // A minute of grace would hide a minute of late renewal.
      config.providers[0].clock_skew_seconds = 0;
      Object.assign(config, plugin);
    },
    change(_, { manager, loginOrigin }) {
      // Where an application is not to be told who may frame it, Envoy says so.
      const { routes } = manager.route_config.virtual_hosts.find(({ name }) => name === "app");
      routes[0].response_headers_to_add = [
        {
          header: { key: "content-security-policy", value: `frame-ancestors 'self' ${loginOrigin}` },
          append_action: "OVERWRITE_IF_EXISTS",
        },
      ];
    },
  });
  t.after(() => world.stop());
  return world;
}

/** The application in the frame, with all that goes on there. */
async function open(world) {
  const context = await world.browser.newContext({ viewport: { width: 1000, height: 700 } });
  const page = await context.newPage();
  const sockets = [];
  page.on("websocket", (socket) => {
    if (!/\/api\/kernels\/.*\/channels$/.test(new URL(socket.url()).pathname)) return;
    const one = { isOpen: true, errors: [] };
    sockets.push(one);
    socket.on("close", () => (one.isOpen = false));
    socket.on("socketerror", (error) => one.errors.push(error));
  });
  await page.goto(`${world.origin}/lab/tree/count.ipynb`);
  await page.waitForURL((url) => url.origin === world.provider.origin);
  await logIn(page);
  const frame = await (await page.waitForSelector("body > iframe")).contentFrame();
  await frame.locator(".jp-Notebook .jp-CodeCell").click();
  await frame.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").waitFor();
  await until("the kernel's WebSocket is open", () => sockets.length > 0);
  const moves = [];
  page.on("request", (request) => {
    if (request.isNavigationRequest() && [frame, page.mainFrame()].includes(request.frame())) {
      moves.push(request.url());
    }
  });
  return { context, frame, moves, page, sockets };
}

/**
 * Runs the cell now and then. Each run counts on from the one before, so none is lost and none is made twice; `mayLose` are
 * those that may be asked for just when their stream ends: the order is lost then, or the kernel took it and its answer is.
 */
async function compute({ context, frame, page }, origin, mayLose) {
  const tokens = new Set();
  const end = Date.now() + MINUTES * 60_000;
  let turn = 0;
  let lost = 0;
  let unanswered = 0;
  while (Date.now() < end) {
    await frame.locator(".jp-Notebook .jp-CodeCell .cm-content").click();
    await page.keyboard.press("Control+Enter");
    const next = Array.from({ length: unanswered + 1 }, (_, more) => turn + 1 + more);
    const output = frame.locator(".jp-OutputArea-output", { hasText: new RegExp(`turn (${next.join("|")}) is over`) });
    try {
      await output.waitFor({ timeout: mayLose ? 10_000 : 30_000 });
    } catch (error) {
      lost += 1;
      unanswered += 1;
      if (lost > mayLose) throw error;
      continue;
    }
    turn = Number(/turn (\d+)/.exec(await output.textContent())[1]);
    unanswered = 0;
    await page.keyboard.press("Control+s");
    for (const { name, value } of await context.cookies(origin))
      if (name === "access_token") tokens.add(value);
    await page.waitForTimeout(EVERY_S * 1000);
  }
  return { tokens, turn };
}

describe("five minutes in a notebook, with tokens of one", { concurrency: true }, () => {
  for (const [what, options] of [
    ["by refresh tokens", { refresh: true }],
    [
      "by the provider's session in a hidden frame, and streams that end with their token",
      { refresh: false, plugin: { stream_expiry: { grace_seconds: 5 } } },
    ],
  ]) {
    test(what, async (t) => {
      const world = await start(t, options);
      const lab = await open(world);
      const { tokens, turn } = await compute(lab, world.origin, options.plugin ? MINUTES : 0);
      await screenshot(lab.page, options.refresh ? "lab-renewal" : "lab-renewal-streams");

      assert.ok(turn >= (MINUTES * 60) / EVERY_S / 2, `${turn} turns`);
      assert.ok(tokens.size > MINUTES, `${tokens.size} tokens`);
      assert.deepEqual(lab.moves, []);
      const answers = world.ingress.statuses(HOST);
      // The first one sent the person to sign in.
      assert.deepEqual(answers.filter(({ status }) => status === 401 || status === 302).slice(1), []);
      assert.deepEqual(
        lab.sockets.flatMap(({ errors }) => errors),
        [],
      );
      assert.equal(lab.sockets.filter(({ isOpen }) => isOpen).length, 1);
      if (options.plugin) assert.ok(lab.sockets.length >= MINUTES, `${lab.sockets.length} WebSockets`);
      else assert.equal(lab.sockets.length, 1);
      assert.ok(await lab.page.locator("main").isHidden());
    });
  }
});
