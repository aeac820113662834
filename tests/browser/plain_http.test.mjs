// Over plain http a browser says nothing of who makes a request, but for the address of the page (no Fetch metadata).

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { signInLink } from "./lib/login.mjs";
import { mint, subject } from "./lib/tokens.mjs";
import { startWorld, works } from "./lib/world.mjs";

let world;

before(async () => {
  world = await startWorld({ tls: false });
});
after(() => world?.stop());

for (const policy of ["no-referrer-when-downgrade", "no-referrer"]) {
  test(`an image of a sibling site does not replace a session: ${policy}`, async () => {
    const origin = world.origin("ide");
    const context = await world.browser.newContext();
    const own = await context.newPage();
    await own.goto(signInLink(`${origin}/notes`, mint()));
    await works(own);

    const page = await context.newPage();
    const image = page.waitForRequest((request) => request.url().includes("/jwt/auth"));
    const link = `${origin}/jwt/auth?token=${mint({ sub: "mallory" })}`;
    const attributes = `referrerpolicy="${policy}" onerror="document.title += ' refused'"`;
    world.elsewherePage("/sibling", `<img ${attributes} src="${link}"><img src="${origin}/picture">`);
    world.app.taken();
    await page.goto(world.elsewhere.url("sibling.example.com", "/sibling"));
    await page.waitForFunction(() => document.title.includes("refused"));
    assert.equal((await (await image).allHeaders())["sec-fetch-site"], undefined);
    // The cookie comes along: to the browser both are one site.
    await page.waitForLoadState("networkidle");
    assert.deepEqual(
      world.app.taken().map(({ path, headers }) => [path, headers["x-jwt-sub"]]),
      [["/picture", "alice"]],
    );

    const cookies = await context.cookies(origin);
    assert.deepEqual(
      cookies.filter(({ name }) => name === "access_token").map(({ value }) => subject(value)),
      ["alice"],
    );
    await own.reload();
    await works(own);
    await context.close();
  });
}
