// An Eclipse Theia, as `tests/bring theia` builds it, with a folder to work in.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newFolder, startProcess } from "./process.mjs";
import { bring } from "./repository.mjs";

/** Starts one. `files` is the folder that is open in it. */
export async function startTheia() {
  const folder = newFolder("theia");
  const files = join(folder, "files");
  mkdirSync(files);
  writeFileSync(join(files, "notes.md"), "# Notes\n\nsix by seven is 42\n");
  const args = [bring("theia"), files, "--hostname=127.0.0.1", "--port=0"];
  const env = { PATH: process.env.PATH, HOME: folder, SHELL: "/bin/sh", LANG: "C.UTF-8" };
  const listening = (log) => log.match(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
  const server = await startProcess("Theia", process.execPath, args, { folder, env, ready: listening });
  return { ...server, port: Number(listening(server.log())[1]), files };
}
