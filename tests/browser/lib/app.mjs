// The application behind the filter. It does what applications do: pages at any path, a script, an image, fetch,
// EventSource and WebSocket. It knows people by the claim header alone, and records what reaches it.

import { WebSocketServer } from "ws";
import { read } from "./repository.mjs";
import { page, recordOf, startSite } from "./site.mjs";

const HTML = read("tests/browser/lib/app.html");
const PIXEL = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");

/**
 * Starts one: a site with `sockets`, the WebSockets that are open. `/api/…` answers JSON, `/events` is an event
 * stream, `/pixel.gif` an image, `/worker.js` a worker, `/socket` an echo by WebSocket; anything else is the page of `app.html`.
 */
export async function startApp() {
  const site = await startSite((request, response) => {
    const who = request.headers["x-jwt-sub"] ?? "nobody";
    if (request.path === "/events") return events(response, who);
    if (request.path.startsWith("/api/")) return json(response, { who, method: request.method });
    if (request.path === "/pixel.gif") {
      response.writeHead(200, { "content-type": "image/gif", "cache-control": "no-store" });
      return response.end(PIXEL);
    }
    if (request.path === "/worker.js") {
      response.writeHead(200, { "content-type": "text/javascript", "cache-control": "no-store" });
      return response.end(`postMessage(${JSON.stringify(who)})`);
    }
    // Applications let their pages be kept: whether a private one may be is not for the filter to say.
    const shown = request.method === "GET" ? who : `${who}, by ${request.method} ${request.body}`;
    page(
      response,
      HTML.replace("{who}", () => shown),
      { "cache-control": "no-cache" },
    );
  });
  const sockets = new WebSocketServer({ noServer: true });
  site.server.on("upgrade", (incoming, socket, head) => {
    site.requests.push(recordOf(incoming));
    sockets.handleUpgrade(incoming, socket, head, (ws) => {
      ws.send(`hello ${incoming.headers["x-jwt-sub"] ?? "nobody"}`);
      ws.on("message", (data) => ws.send(`echo ${data}`));
      ws.on("error", () => {});
    });
  });
  return { ...site, sockets: sockets.clients };
}

function json(response, value) {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

function events(response, who) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let count = 0;
  const send = () => response.write(`data: ${who} ${(count += 1)}\n\n`);
  send();
  const timer = setInterval(send, 200);
  response.once("close", () => clearInterval(timer));
}
