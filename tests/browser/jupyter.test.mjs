// JupyterLab behind the filter, unchanged: pages, a kernel and a terminal through one cookie. Then with Jupyter's own
// token switched on, which has the same name in a query and the same header as ours, and is no JWT.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { launch, screenshot } from "./lib/chromium.mjs";
import { guard, openPage, until } from "./lib/guarded.mjs";
import { startJupyter } from "./lib/jupyter.mjs";
import { knows, startLogin } from "./lib/login.mjs";
import { mint } from "./lib/tokens.mjs";

const ANSWER = "six by seven is 42";

let login, browser;

before(async () => {
  login = await startLogin({ tls: false });
  login.answer = knows();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await login?.stop();
});

const startLab = async (options) => guard(await startJupyter(options), { host: "lab.localhost", login });

async function runCell(page) {
  const answer = page.locator(".jp-OutputArea-output", { hasText: ANSWER });
  // Before its kernel is there, the notebook takes no order to run a cell.
  await page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").waitFor();
  // JupyterLab, while it still puts up its panels, may take the focus from the cell; then as a person would: once more.
  for (let attempt = 0; attempt < 5 && !(await answer.isVisible()); attempt += 1) {
    await page.locator(".jp-Notebook .jp-CodeCell").first().click();
    await page.keyboard.press("Shift+Enter");
    await answer.waitFor({ timeout: 5000 }).catch(() => {});
  }
  await answer.waitFor();
}

/** The status with which a WebSocket is refused, or "open". */
const knock = (url, headers) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers });
    socket.once("unexpected-response", (request, response) => {
      request.destroy();
      resolve(response.statusCode);
    });
    socket.once("open", () => socket.close());
    socket.once("close", () => resolve("open"));
    socket.once("error", reject);
  });

describe("JupyterLab that trusts whoever reaches it", () => {
  let lab;
  before(async () => (lab = await startLab()));
  after(() => lab?.stop());

  test("a person signs in, opens a notebook and runs a cell", async () => {
    const context = await browser.newContext();
    const { page, sockets } = await openPage(context);
    await page.goto(`${lab.origin}/lab/tree/notes.ipynb`);
    assert.equal(page.url(), `${lab.origin}/lab/tree/notes.ipynb`);
    await runCell(page);
    // The page may have opened more than one by then.
    const ofKernel = ({ path }) => /^\/api\/kernels\/.*\/channels$/.test(path);
    await until("the answer came by a WebSocket of the kernel", () =>
      sockets.filter(ofKernel).some(({ received }) => received.includes(ANSWER)),
    );
    await page.keyboard.press("Control+s");
    const notebook = join(lab.files, "notes.ipynb");
    await until("the notebook was saved", () => readFileSync(notebook, "utf8").includes(ANSWER));
    await screenshot(page, "jupyter-notebook");
    await context.close();
  });

  test("a terminal", async () => {
    const context = await browser.newContext();
    const { page, sockets } = await openPage(context);
    // What the last visit had open would be open again.
    await page.goto(`${lab.origin}/lab?reset`);
    await page.locator(".jp-LauncherCard", { hasText: "Terminal" }).click();
    await page.locator(".jp-Terminal .xterm-screen").click();
    const terminal = () => sockets.find(({ path }) => path.startsWith("/terminals/websocket/"));
    await until("the shell asks", () => terminal()?.received.includes("stdout"));
    await page.keyboard.type("echo the shell says $((40 + 2))\n");
    await until("the shell answers", () => terminal().received.includes("the shell says 42"));
    await screenshot(page, "jupyter-terminal");
    await context.close();
  });

  test("without a session nobody gets at the kernel that runs", async () => {
    const api = await fetch(`http://${lab.local}/api/kernels`, { method: "POST" });
    assert.equal(api.status, 401);
    assert.equal((await api.json()).reason, "missing_token");
    const kernels = await fetch(`http://${lab.local}/api/kernels`, {
      headers: { authorization: `Bearer ${mint()}` },
    });
    const [{ id }] = await kernels.json();
    const channels = `ws://${lab.local}/api/kernels/${id}/channels`;
    assert.equal(await knock(channels, {}), 401);
    assert.equal(await knock(channels, { cookie: `access_token=${mint()}` }), "open");
  });
});

describe("JupyterLab that wants its own token as well", () => {
  const token = randomBytes(24).toString("hex");
  let lab;
  before(async () => (lab = await startLab({ token })));
  after(() => lab?.stop());

  test("a person signs in at both and runs a cell", async () => {
    const context = await browser.newContext();
    const { page } = await openPage(context);
    await page.goto(`${lab.origin}/lab/tree/notes.ipynb`);
    const { pathname, searchParams } = new URL(page.url());
    assert.equal(pathname, "/login", "ours has let them through, Jupyter asks");
    assert.equal(searchParams.get("next"), "/lab/tree/notes.ipynb");
    await screenshot(page, "jupyter-own-token");
    await page.locator("#password_input").fill(token);
    await page.locator("#login_submit").click();
    await runCell(page);
    assert.equal(page.url(), `${lab.origin}/lab/tree/notes.ipynb`);
    await context.close();
  });

  test("its link with ?token= signs in at Jupyter, by people who have a session", async () => {
    const context = await browser.newContext();
    await context.addCookies([{ name: "access_token", value: mint(), url: lab.origin }]);
    const { page } = await openPage(context);
    await page.goto(`${lab.origin}/lab/tree/notes.ipynb?token=${token}`);
    await runCell(page);
    await context.close();
  });

  // It is taken from the address that the login page gets, another site's: Jupyter asks for it then.
  test("its link on a first visit: through the login page without it, to the very notebook", async () => {
    const context = await browser.newContext();
    const { page } = await openPage(context);
    login.taken();
    await page.goto(`${lab.origin}/lab/tree/notes.ipynb?token=${token}`);
    const asked = login.taken();
    assert.equal(asked.length, 1);
    assert.equal(asked[0].query.get("redirectUrl"), `${lab.origin}/lab/tree/notes.ipynb`);
    assert.ok(!JSON.stringify(asked).includes(token), "the login page was told Jupyter's token");
    const { pathname, searchParams } = new URL(page.url());
    assert.deepEqual([pathname, searchParams.get("next")], ["/login", "/lab/tree/notes.ipynb"]);
    await page.locator("#password_input").fill(token);
    await page.locator("#login_submit").click();
    await runCell(page);
    await context.close();
  });

  test("scripts carry both tokens, in either place", async () => {
    const status = async (query, headers) =>
      (await fetch(`http://${lab.local}/api/contents${query}`, { headers })).status;
    const jwt = mint();
    const cookie = `access_token=${jwt}`;
    assert.equal(await status("", { cookie }), 403, "Jupyter refuses who has only ours");
    assert.equal(await status("", { cookie, authorization: `token ${token}` }), 200);
    assert.equal(await status("", { cookie, authorization: "token of another" }), 403);
    assert.equal(await status(`?token=${token}`, { authorization: `Bearer ${jwt}` }), 200);
    assert.equal(await status(`?token=${jwt}`, { authorization: `token ${token}` }), 200);
    assert.equal(await status(`?token=${jwt}&token=${token}`, {}), 200);
    assert.equal(await status("", { authorization: `token ${token}` }), 401, "we refuse who has only Jupyter's");
    assert.equal(await status(`?token=${token}`, {}), 401);
  });
});
