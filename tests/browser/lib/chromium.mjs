// Chromium, as a person has it: with web security, site isolation and partitioned storage, which headless
// defaults of others switch off.

import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { chromium } from "playwright-core";
import { bring, read, repository } from "./repository.mjs";

const certificate = new X509Certificate(read("tests/browser/lib/certificate.pem"));
const spki = createHash("sha256")
  .update(certificate.publicKey.export({ type: "spki", format: "der" }))
  .digest("base64");

// example.com, example.net and example.org are three sites, all of them this machine. Nothing else has an address.
const SITES = ["com", "net", "org"].map((end) => `MAP *.example.${end} 127.0.0.1`);

/** Starts it. `args` are further arguments of Chromium. Ends with `close()`. */
export function launch({ args = [] } = {}) {
  return chromium.launch({
    executablePath: bring("browser"),
    args: [
      // Root may not use the sandbox, and CI is often root.
      "--no-sandbox",
      `--host-resolver-rules=${SITES.join(", ")}, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost`,
      // The certificate of the tests counts as a good one: an error that is waved through would keep answers out of
      // the cache.
      `--ignore-certificate-errors-spki-list=${spki}`,
      // Instead of Playwright's list, which takes away the partitioning of storage.
      "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,PaintHolding,OptimizationHints",
      ...args,
    ],
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
}

/** A picture of what a person sees: dist/screens/<name>.png */
export async function screenshot(page, name) {
  const path = repository(`dist/screens/${name}.png`);
  mkdirSync(dirname(path), { recursive: true });
  await page.screenshot({ path });
}
