// Staying signed in: over the life of several tokens nobody notices anything.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startLoaderWorld } from "./lib/loader_world.mjs";
import { logIn } from "./lib/provider.mjs";
import { works } from "./lib/world.mjs";

const LIFE = 8;
const LIVES = 3;
const LAB = "lab.example.com";

describe("for some lives of a token", { concurrency: true }, () => {
  for (const refresh of [true, false]) {
    describe(
      refresh ? "by refresh token" : "by the provider's session, in a hidden frame",
      { concurrency: true },
      () => {
        let world, lab;

        before(async () => {
          world = await startLoaderWorld({
            // A hidden frame of another site would have no session in many browsers.
            id: "id.example.com",
            life: LIFE,
            refresh,
            loader(config, { origin }) {
              lab = origin.replace("app.", "lab.");
              config.applications = [
                { url: `${origin}/`, renewal: "stay" },
                { url: `${lab}/`, renewal: "frame" },
              ];
            },
            // A second of grace would hide a second of late renewal.
            plugin: (config) => void (config.providers[0].clock_skew_seconds = 0),
            change(_, { site }) {
              const policy = site.response_headers_to_add.find(
                ({ header }) => header.key === "content-security-policy",
              );
              policy.header.value = policy.header.value
                .replaceAll(
                  /https:\/\/app\.example\.com:\d+/g,
                  (app) => `${app} ${app.replace("app.", "lab.")}`,
                )
                .replace("frame-ancestors 'self'", `frame-ancestors 'self' ${lab}`);
            },
          });
        });
        after(() => world?.stop());

        const open = async (t, wanted) => {
          const context = await world.browser.newContext();
          t.after(() => context.close());
          const page = await context.newPage();
          await page.goto(wanted);
          await page.waitForURL((url) => url.origin === world.provider.origin);
          await logIn(page);
          return { context, page };
        };

        /** Uses the application for some lives of a token. */
        const use = async (page, frame, host) => {
          const moves = [];
          page.on("framenavigated", (moved) => moved === frame && moves.push(moved.url()));
          const cookies = new Set();
          const end = Date.now() + LIVES * LIFE * 1000;
          for (let turn = 0; Date.now() < end; turn += 1) {
            const said = await frame.evaluate(async (text) => {
              const { socket } = window;
              const echo = new Promise((resolve) =>
                socket.addEventListener("message", resolve, { once: true }),
              );
              socket.send(text);
              const { status, body } = await report.fetch();
              return { status, who: body.who, echo: (await echo).data };
            }, `turn ${turn}`);
            assert.deepEqual(said, { status: 200, who: "alice", echo: `echo turn ${turn}` });
            for (const { name, value } of await page.context().cookies(`https://${host}`)) {
              if (name === "access_token") cookies.add(value);
            }
            await page.waitForTimeout(300);
          }
          assert.deepEqual(moves, []);
          assert.ok(cookies.size >= LIVES, `${cookies.size} tokens`);
          const answers = world.ingress.statuses(host);
          assert.deepEqual(
            answers.filter(({ status }) => status === 401),
            [],
          );
        };

        test("in a page that shows the application", async (t) => {
          const wanted = `${world.origin}/notes?page=2#top`;
          const { page } = await open(t, wanted);
          await page.waitForURL((url) => url.searchParams.get("redirectUrl") === wanted);
          const frame = await (await page.waitForSelector("body > iframe")).contentFrame();
          await works(frame);
          assert.equal(frame.url(), wanted);
          await use(page, frame, "app.example.com");
          assert.ok(await page.locator("main").isHidden());
        });

        test("in a hidden frame of the application's page", async (t) => {
          const { page } = await open(t, `${lab}/notes#top`);
          await page.waitForURL(`${lab}/notes#top`);
          await works(page);
          await page.evaluate((src) => {
            window.heard = [];
            addEventListener("message", ({ origin, data }) => window.heard.push({ origin, ...data }));
            document.body.insertAdjacentHTML("beforeend", `<iframe hidden src="${src}"></iframe>`);
          }, `${world.page}?renew=${lab}/`);
          await use(page, page.mainFrame(), LAB);
          const heard = await page.evaluate(() => window.heard);
          assert.ok(heard.length >= LIVES);
          for (const message of heard) {
            assert.deepEqual(message, {
              origin: world.loginOrigin,
              source: "jwtproxy-loader",
              state: "renewed",
            });
          }
        });

        after(() => {
          const kinds = new Set(
            world.provider.seen.filter(({ what }) => what === "token").map((one) => one.grant_type),
          );
          assert.equal(kinds.has("refresh_token"), refresh);
        });
      },
    );
  }
});
