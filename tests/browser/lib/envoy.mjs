// A real Envoy, started from a shipped file. Every change is one of structure: what is not named here stays as
// it is shipped.

import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { bring, read, repository } from "./repository.mjs";
import { publicPem } from "./tokens.mjs";

const START_LIMIT_MS = 60_000;

/**
 * Starts Envoy from `envoy/<file>`, on ports that the kernel chooses, and waits until it is live.
 *
 * - `clusters`: the port of each cluster's endpoints on this machine, by name
 * - `listeners`: by name, `{config, tls}`. Each is the file's first listener with a VM of its own. `config`
 *   changes the plugin's configuration (or returns another), `tls` is a list of protocols for ALPN. Without
 *   `listeners`, those of the file.
 * - `change`: has the last word on the bootstrap
 * - `env`: Envoy's environment
 * - `workers`: how many; each gets its share of the connections
 */
export async function startEnvoy({ file = "envoy.yaml", clusters = {}, listeners, change, env, workers = 1 } = {}) {
  const bootstrap = parse(read(join("envoy", file)));
  bootstrap.admin.address.socket_address.port_value = 0;
  if (listeners) bootstrap.static_resources.listeners = copies(bootstrap, listeners);
  for (const listener of bootstrap.static_resources.listeners) {
    listener.address.socket_address.port_value = 0;
    if (workers > 1) listener.connection_balance_config = { exact_balance: {} };
  }
  for (const [name, port] of Object.entries(clusters)) setClusterPort(bootstrap, name, port);
  change?.(bootstrap);
  oldPlaceOfCapabilities(bootstrap);
  return run(bootstrap, { JWT_PUBLIC_KEY: publicPem, ...env }, workers);
}

/** The plugins of a bootstrap, or of a part of it: the objects that hold a `vm_config`. */
export const plugins = (value) => objects(value).filter((object) => object.vm_config);

/** The configuration of a plugin, as an object. */
export const pluginConfig = (plugin) => JSON.parse(plugin.configuration.value);

/** Replaces it. */
export function setPluginConfig(plugin, config) {
  plugin.configuration.value = JSON.stringify(config);
}

/**
 * Leads a cluster that verifies its server to that port of this machine, where a server with the certificate of the
 * tests is. All else about its TLS stays, the name, too.
 */
export function leadHere(bootstrap, name, port) {
  setClusterPort(bootstrap, name, Number(port));
  const cluster = bootstrap.static_resources.clusters.find((one) => one.name === name);
  for (const object of objects(cluster)) if (typeof object.address === "string") object.address = "127.0.0.1";
  cluster.transport_socket.typed_config.common_tls_context.validation_context.trusted_ca = {
    filename: repository("tests/browser/lib/certificate.pem"),
  };
}

function copies(bootstrap, listeners) {
  const shipped = bootstrap.static_resources.listeners[0];
  return Object.entries(listeners).map(([name, { config, tls }]) => {
    const listener = structuredClone(shipped);
    listener.name = name;
    for (const plugin of plugins(listener)) {
      const old = pluginConfig(plugin);
      setPluginConfig(plugin, config?.(old) ?? old);
      plugin.vm_config.vm_id = name;
    }
    if (tls) for (const chain of listener.filter_chains) chain.transport_socket = transportSocket(tls);
    return listener;
  });
}

const transportSocket = (protocols) => ({
  name: "envoy.transport_sockets.tls",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    common_tls_context: {
      alpn_protocols: protocols,
      tls_certificates: [
        {
          certificate_chain: { filename: repository("tests/browser/lib/certificate.pem") },
          private_key: { filename: repository("tests/rig/keys/b.pem") },
        },
      ],
    },
  },
});

function setClusterPort(bootstrap, name, port) {
  const cluster = bootstrap.static_resources.clusters.find((one) => one.name === name);
  if (!cluster) throw new Error(`no cluster ${name}`);
  for (const object of objects(cluster)) if ("port_value" in object) object.port_value = port;
}

// Before Envoy 1.40 the list of capabilities stood in the plugin's configuration and not in that of its VM.
function oldPlaceOfCapabilities(bootstrap) {
  const output = spawnSync(binary(), [...(isFuncE() ? ["run"] : []), "--version"], {
    encoding: "utf8",
  }).stdout;
  const [, major, minor] = output.match(/version: [^/]*\/(\d+)\.(\d+)/);
  if (major > 1 || minor >= 40) return;
  for (const plugin of plugins(bootstrap)) {
    plugin.capability_restriction_config = plugin.vm_config.capability_restriction_config;
    delete plugin.vm_config.capability_restriction_config;
  }
}

function objects(value) {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.values(value).flatMap(objects);
  return Array.isArray(value) ? inner : [value, ...inner];
}

let found;
const binary = () => (found ??= bring("envoy"));
const isFuncE = () => basename(binary()) === "func-e";

// A key that happens to be exported in the developer's shell would make a test pass or fail, so only what Envoy
// and func-e themselves read is inherited.
const inherited = () =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(PATH|HOME|TMPDIR|(ENVOY|FUNC_E)_.*)$/.test(name)),
  );

async function run(bootstrap, env, workers) {
  const folder = mkdtempSync(join(tmpdir(), "envoy-"));
  const config = join(folder, "bootstrap.json");
  const adminFile = join(folder, "admin");
  const logFile = join(folder, "log");
  writeFileSync(config, JSON.stringify(bootstrap));
  const output = openSync(logFile, "a");
  const child = spawn(
    binary(),
    [
      ...(isFuncE() ? ["run"] : []),
      ...["--config-path", config, "--admin-address-path", adminFile, "--disable-hot-restart"],
      ...["--concurrency", String(workers), "--file-flush-interval-msec", "20", "--log-level", "info"],
    ],
    // In the repository, where dist/jwtproxy.wasm of the shipped files is found.
    { cwd: repository(""), env: { ...inherited(), ...env }, stdio: ["ignore", output, output] },
  );
  closeSync(output);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const end = () => child.kill("SIGKILL");
  process.once("exit", end);
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.once(signal, exit);

  const log = () => readFileSync(logFile, "utf8");
  const fail = (what) => {
    end();
    const lines = log()
      .split("\n")
      .filter((line) => !line.includes("][info][main]"));
    return new Error(`${what}:\n${lines.slice(-25).join("\n")}`);
  };
  const giveUp = Date.now() + START_LIMIT_MS;
  let admin;
  for (;;) {
    await sleep(10);
    if (child.exitCode !== null || child.signalCode) throw fail("Envoy ended");
    if (Date.now() > giveUp) throw fail("Envoy was not live in time");
    // Read anew each time: it may be half written.
    admin = portIn(adminFile);
    if (admin && (await fetchText(admin, "/ready").catch(() => "")).startsWith("LIVE")) break;
  }
  const { listener_statuses } = JSON.parse(await fetchText(admin, "/listeners?format=json"));
  const ports = new Map(
    listener_statuses.map(({ name, local_address }) => [name, local_address.socket_address?.port_value]),
  );

  return {
    /** The port of a listener; of the only one, if no name is given. */
    port(name = ports.keys().next().value) {
      if (!ports.has(name)) throw new Error(`no listener ${name}`);
      return ports.get(name);
    },
    /** The answer of the admin interface. */
    admin: (path) => fetchText(admin, path),
    /** A counter of the filter by its name without prefix and suffix, as of the last tick. */
    async counter(name) {
      const stat = `wasmcustom.jwtproxy_${name}_total`;
      const { stats } = JSON.parse(await fetchText(admin, `/stats?format=json&filter=^${stat}$`));
      return stats.find((one) => one.name === stat)?.value ?? 0;
    },
    /** How many connections each worker got. */
    async connections() {
      const text = await fetchText(admin, "/stats?filter=worker_[0-9]*.downstream_cx_total");
      return [...text.matchAll(/^listener\.(?!admin).*: (\d+)$/gm)].map(([, count]) => Number(count));
    },
    /** All that Envoy has written so far: its log and what its access logs print. */
    log,
    /** Ends it. */
    async stop() {
      // Killed, func-e would leave its Envoy behind; asked to end, Envoy takes func-e along.
      if (isFuncE()) await fetchText(admin, "/quitquitquit", "POST");
      else end();
      await ended;
      process.off("exit", end);
      rmSync(folder, { recursive: true });
    },
  };
}

// A signal alone would end this process and not its Envoy.
const exit = () => process.exit(1);

function portIn(file) {
  try {
    return Number(readFileSync(file, "utf8").match(/:(\d+)\s*$/)?.[1]);
  } catch {
    return undefined;
  }
}

function fetchText(port, path, method = "GET") {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port, path, method, agent: false, timeout: 5000 },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve(text));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("Envoy's admin interface does not answer")));
    asked.on("error", reject).end();
  });
}
