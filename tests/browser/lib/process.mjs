// A server that nobody here wrote, as a process of its own.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** An empty folder of the system's own place for such. */
export const newFolder = (name) => mkdtempSync(join(tmpdir(), `${name}-`));

/** A port that was free a moment ago, for servers that cannot say which one they got. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts `command` in `folder`, waits until `ready(log)` is true and hands back `{log, stop, kill}`. What it writes is
 * in `folder/log`. `stop` ends it with all that it started, and removes the folder. `kill` gives it no time to end,
 * and leaves the folder.
 */
export async function startProcess(name, command, args, { folder, env, ready, limit = 60_000 }) {
  const file = join(folder, "log");
  const output = openSync(file, "a");
  // A process group of its own, for kernels and shells that it starts.
  const child = spawn(command, args, { cwd: folder, env, stdio: ["ignore", output, output], detached: true });
  closeSync(output);
  const ended = new Promise((resolve) => child.once("close", resolve).once("error", resolve));
  const end = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // It has ended by itself.
    }
  };
  const kill = () => end("SIGKILL");
  process.once("exit", kill);
  const log = () => readFileSync(file, "utf8");

  const giveUp = Date.now() + limit;
  while (!(await ready(log()))) {
    const what = child.exitCode !== null || child.signalCode ? "ended" : Date.now() > giveUp ? "was not ready in time" : "";
    if (what) {
      kill();
      throw new Error(`${name} ${what}:\n${log().split("\n").slice(-25).join("\n")}`);
    }
    await sleep(50);
  }
  return {
    log,
    async kill() {
      kill();
      await ended;
      process.off("exit", kill);
    },
    async stop() {
      end("SIGTERM");
      const timer = setTimeout(kill, 10_000);
      await ended;
      clearTimeout(timer);
      kill();
      process.off("exit", kill);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
