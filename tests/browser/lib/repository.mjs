// What stands outside of this folder.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** A path of the repository. */
export const repository = (path) => join(root, path);

/** A file of the repository, as text. */
export const read = (path) => readFileSync(repository(path), "utf8");

/** The path of a tool, from `tests/bring`. */
export function bring(tool) {
  const { status, stdout } = spawnSync(repository("tests/bring"), [tool], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`tests/bring ${tool} found none`);
  return stdout.trimEnd();
}
