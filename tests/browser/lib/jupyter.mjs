// JupyterLab as it comes from PyPI, with a notebook to open.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newFolder, startProcess } from "./process.mjs";
import { bring } from "./repository.mjs";

const NOTEBOOK = {
  cells: [
    {
      cell_type: "code",
      id: "answer",
      execution_count: null,
      metadata: {},
      outputs: [],
      source: 'print("six by seven is", 6 * 7)',
    },
  ],
  metadata: { kernelspec: { display_name: "Python 3", language: "python", name: "python3" } },
  nbformat: 4,
  nbformat_minor: 5,
};

/** Starts one. `token` is its own; without it JupyterLab lets everybody in who reaches it. */
export async function startJupyter({ token = "" } = {}) {
  const folder = newFolder("jupyter");
  const files = join(folder, "files");
  mkdirSync(files);
  writeFileSync(join(files, "notes.ipynb"), JSON.stringify(NOTEBOOK));
  // Somebody has answered its question whether to fetch news.
  const settings = join(folder, ".jupyter/lab/user-settings/@jupyterlab/apputils-extension");
  mkdirSync(settings, { recursive: true });
  writeFileSync(join(settings, "notification.jupyterlab-settings"), '{"fetchNews": "false", "checkForUpdates": false}');
  const args = [
    "-m",
    "jupyterlab",
    "--no-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    `--ServerApp.root_dir=${files}`,
    `--IdentityProvider.token=${token}`,
    // It asks only which Host it is called by, and behind a proxy that is the proxy's.
    "--ServerApp.allow_remote_access=True",
    // CI is often root.
    "--allow-root",
  ];
  const env = { PATH: process.env.PATH, HOME: folder, SHELL: "/bin/sh", LANG: "C.UTF-8" };
  const listening = (log) => log.match(/^\[.*\] http:\/\/127\.0\.0\.1:(\d+)\/lab/m);
  const server = await startProcess("JupyterLab", bring("jupyter"), args, { folder, env, ready: listening });
  return { ...server, port: Number(listening(server.log())[1]), files };
}
