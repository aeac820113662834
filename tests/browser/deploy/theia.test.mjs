// Eclipse Theia behind the filter, as it is built of what npm has: page, file tree, editor and terminal through one
// cookie. Everything but its files goes through socket.io, which begins by fetch and goes on by WebSocket.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { launch, screenshot } from "../lib/chromium.mjs";
import { guard, openPage, until } from "../lib/guarded.mjs";
import { knows, startLogin } from "../lib/login.mjs";
import { startTheia } from "../lib/theia.mjs";

let login, browser, ide, page, sockets;
const refused = [];

before(async () => {
  login = await startLogin({ tls: false });
  login.answer = knows();
  browser = await launch();
  ide = await guard(await startTheia(), { host: "ide.localhost", login });
  ({ page, sockets } = await openPage(await browser.newContext()));
  page.on("response", (response) => response.status() >= 400 && refused.push(response.url()));
});

after(async () => {
  await browser?.close();
  await ide?.stop();
  await login?.stop();
});

test("a person signs in and opens a file of the tree", async () => {
  await page.goto(`${ide.origin}/`);
  await page.getByRole("button", { name: "Yes, I trust the authors" }).click();
  await page.locator("#shell-tab-explorer-view-container").click();
  await page.locator(".theia-TreeNode", { hasText: "notes.md" }).dblclick();
  await page.locator(".monaco-editor .view-line", { hasText: "six by seven is 42" }).waitFor();
  const [{ httpOnly }] = await page.context().cookies();
  assert.ok(httpOnly);
  assert.ok(
    sockets.some(({ path }) => path === "/socket.io/"),
    "it has its WebSocket",
  );
});

test("what is typed is saved", async () => {
  await page.locator(".monaco-editor .view-line", { hasText: "six by seven is 42" }).click();
  await page.keyboard.press("End");
  await page.keyboard.type(", still");
  await page.keyboard.press("Control+s");
  const file = join(ide.files, "notes.md");
  await until("the file was saved", () => readFileSync(file, "utf8").includes("six by seven is 42, still"));
});

test("a terminal", async () => {
  await page.getByRole("menuitem", { name: "Terminal" }).click();
  await page.getByRole("menuitem", { name: "New Terminal" }).first().click();
  await page.locator(".xterm-screen:visible").click();
  const heard = (text) => sockets.some(({ received }) => received.includes(text));
  await until("the shell asks", () => heard("# ") || heard("$ "));
  await page.keyboard.type("echo the shell says $((40 + 2))\n");
  await until("the shell answers", () => heard("the shell says 42"));
  await screenshot(page, "theia");
  assert.deepEqual(refused, []);
});

test("without a session nobody gets at its WebSocket", async () => {
  const socket = new WebSocket(`ws://${ide.local}/socket.io/?EIO=4&transport=websocket`);
  const status = await new Promise((resolve, reject) => {
    socket.once("unexpected-response", (_, response) => resolve(response.statusCode));
    socket.once("open", () => resolve("open")).once("error", reject);
  });
  socket.on("error", () => {}).terminate();
  assert.equal(status, 401);
});
