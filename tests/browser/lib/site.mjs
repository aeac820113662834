// A web site on this machine that remembers what it was asked.

import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { read } from "./repository.mjs";

/**
 * Starts one. `answer(request, response)` gets each request once it is whole; `request` is a record of it:
 * `method`, `url`, `path` (without the query), `query`, `headers`, `body`, `time`.
 */
export async function startSite(answer, { tls = false } = {}) {
  const requests = [];
  const listener = async (incoming, response) => {
    const request = recordOf(incoming);
    requests.push(request);
    for await (const chunk of incoming) request.body += chunk;
    try {
      await answer(request, response);
    } catch (error) {
      response.destroy(error);
      process.exitCode = 1;
      console.error(error);
    }
  };
  const server = tls
    ? createHttps(
        { cert: read("tests/browser/lib/certificate.pem"), key: read("tests/rig/keys/b.pem") },
        listener,
      )
    : createHttp(listener);
  const { port, stop } = await listen(server);

  return {
    port,
    requests,
    server,
    /** Its address under a name that Chromium takes for this machine. */
    url: (host, path = "/") => `${tls ? "https" : "http"}://${host}:${port}${path}`,
    /** What it was asked since the last call of this. */
    taken: () => requests.splice(0),
    stop,
  };
}

/** Lets a server listen on a port of this machine, which the kernel chooses. `stop` ends it and all that is open. */
export async function listen(server, wanted = 0) {
  const sockets = new Set();
  const keep = (socket) => sockets.add(socket.once("close", () => sockets.delete(socket)));
  server.on("connection", keep).on("secureConnection", keep);
  await new Promise((resolve) => server.listen(wanted, "127.0.0.1", resolve));
  const stop = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return { port: server.address().port, stop };
}

/** What is kept of a request, upgrade requests included. */
export function recordOf(incoming) {
  const { pathname, searchParams } = new URL(incoming.url, "http://site");
  return {
    method: incoming.method,
    url: incoming.url,
    path: pathname,
    query: searchParams,
    headers: incoming.headers,
    body: "",
    time: Date.now(),
  };
}

/** Answers with a page. */
export function page(response, html, headers = {}) {
  response.writeHead(200, { "content-type": "text/html; charset=utf-8", ...headers });
  response.end(html);
}

/** Leads elsewhere. */
export function redirect(response, location, status = 302) {
  response.writeHead(status, { location });
  response.end();
}

/** For text and for attributes in double quotes. */
export const escapeHtml = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
