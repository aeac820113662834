// What ends TLS in front of several hosts, and records every byte that a browser sends to them.

import { createServer } from "node:https";
import { request } from "node:http";
import { connect } from "node:net";
import { read } from "./repository.mjs";
import { listen } from "./site.mjs";

/**
 * Starts one. `hosts` may be filled later: the port behind each name; so may `prefixes`: what is taken off the paths
 * of a host, and `cookieless`: whose cookies no browser ever gets. `sent(host)` is all that browsers sent to it: request lines, headers, bodies and what went through
 * WebSockets. `statuses(host)` is what was answered.
 */
export async function startIngress(hosts = {}) {
  const records = [];
  const prefixes = {};
  const cookieless = new Set();
  const server = createServer({
    cert: read("tests/browser/lib/certificate.pem"),
    key: read("tests/rig/keys/b.pem"),
  });

  const record = (incoming) => {
    const lines = [`${incoming.method} ${incoming.url}`];
    for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
      lines.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`);
    }
    const host = incoming.headers.host.split(":")[0];
    const one = {
      host,
      method: incoming.method,
      url: incoming.url,
      bytes: [Buffer.from(lines.join("\r\n"))],
    };
    records.push(one);
    return one;
  };
  const path = ({ host, url }) => (url.startsWith(prefixes[host]) ? url.slice(prefixes[host].length) : url);
  const headers = (incoming) => ({ ...incoming.headers, "x-forwarded-proto": "https" });

  server.on("request", (incoming, response) => {
    const one = record(incoming);
    incoming.on("data", (chunk) => one.bytes.push(chunk));
    const onward = request(
      {
        host: "127.0.0.1",
        port: hosts[one.host],
        method: incoming.method,
        path: path(one),
        headers: headers(incoming),
        agent: false,
      },
      (answer) => {
        one.status = answer.statusCode;
        if (cookieless.has(one.host)) delete answer.headers["set-cookie"];
        response.writeHead(answer.statusCode, cookieless.has(one.host) ? answer.headers : answer.rawHeaders);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });

  server.on("upgrade", (incoming, socket, head) => {
    const one = record(incoming);
    const onward = connect(hosts[one.host], "127.0.0.1", () => {
      const lines = Object.entries(headers(incoming)).map(([name, value]) => `${name}: ${value}`);
      onward.write(`${incoming.method} ${path(one)} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      onward.write(head);
      socket.on("data", (chunk) => one.bytes.push(chunk));
      onward.once("data", (chunk) => (one.status = Number(chunk.toString("latin1").split(" ")[1])));
      socket.pipe(onward).pipe(socket);
    });
    const end = () => [socket, onward].forEach((side) => side.destroy());
    for (const side of [socket, onward]) side.on("error", end).on("close", end);
  });

  const { port, stop } = await listen(server);
  const of = (host) => records.filter((one) => one.host === host);
  return {
    port,
    hosts,
    prefixes,
    cookieless,
    records,
    origin: (host) => `https://${host}:${port}`,
    sent: (host) => of(host).map(({ bytes }) => Buffer.concat(bytes).toString("latin1")),
    statuses: (host) => of(host).map(({ method, url, status }) => ({ method, url, status })),
    stop,
  };
}
