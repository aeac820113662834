// Requests at a steady pace, each with what it may be answered.

import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Sends requests with tokens to `/api/me` of the application behind Envoy: on each of `lanes` connections one every
 * `every` milliseconds. `next(lane, turn)` says which: `{name, token, wanted}`, or nothing once the lane is through.
 * `wanted` are the answers that are right, such as `200 alice`, by what the application knows of the person, or
 * `401 token_revoked`.
 *
 * - `sent`: how many so far
 * - `answers`: how many there were of each, by name; `wrong`: of those that were not wanted
 * - `lastly`: when each of these was there last, in milliseconds since 1970
 * - `stop()`: waits for those that are under way; `done` for all
 */
export function startLoad({ port, lanes, every, next }) {
  const load = { sent: 0, wrong: {}, answers: {}, lastly: {} };
  const began = performance.now();
  let isStopped = false;

  async function run(lane) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let turn = 0; !isStopped; turn += 1) {
      // Lanes take turns, too.
      const due = began + (turn + lane / lanes) * every;
      await sleep(Math.max(0, due - performance.now()));
      const one = await next(lane, turn);
      if (!one) break;
      load.sent += 1;
      const answer = `${one.name}: ${await ask(port, one.token, agent)}`;
      count(load.answers, answer);
      load.lastly[answer] = Date.now();
      if (!one.wanted.some((wanted) => answer === `${one.name}: ${wanted}`)) count(load.wrong, answer);
    }
    agent.destroy();
  }
  load.done = Promise.all(Array.from({ length: lanes }, (_, lane) => run(lane)));
  load.stop = async () => {
    isStopped = true;
    await load.done;
  };
  return load;
}

const count = (counts, what) => (counts[what] = (counts[what] ?? 0) + 1);

/** What one request with that token is answered, as `200 alice` or `401 token_revoked`. */
export function ask(port, token, agent = false) {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}` };
    const asked = request({ host: "127.0.0.1", port, path: "/api/me", agent, headers }, async (response) => {
      const text = await response.toArray().then((chunks) => chunks.join(""), String);
      let said = {};
      try {
        said = JSON.parse(text);
      } catch {
        said.reason = text;
      }
      resolve(`${response.statusCode} ${said.reason ?? said.who}`);
    });
    asked.on("error", (error) => resolve(`none, ${error.code}`)).end();
  });
}

/** The load in a line. */
export function figures({ sent, wrong, answers }) {
  const parts = Object.entries(answers).map(([answer, count]) => `${count} × ${answer}`);
  const wrongs = Object.values(wrong).reduce((sum, count) => sum + count, 0);
  return `${sent} requests, ${wrongs} wrong decisions: ${parts.join(", ")}`;
}
