// The sign-in page as the Keycloak example serves it, between a real OpenID provider and an application behind the
// filter, each under a name of its own, and a Chromium.

import { startApp } from "./app.mjs";
import { launch } from "./chromium.mjs";
import { leadHere, pluginConfig, plugins, setPluginConfig, startEnvoy } from "./envoy.mjs";
import { startIngress } from "./ingress.mjs";
import { startProvider } from "./provider.mjs";
import { read } from "./repository.mjs";

/**
 * Starts it. Only addresses are changed in what is shipped, and beyond that:
 *
 * - `app`, `login`, `id`: the names of the hosts
 * - `loader`: changes what loader.json says
 * - `plugin`: changes the plugin's configuration
 * - `change`: changes Envoy's
 * - `life`: of access tokens, in seconds
 * - `refresh`: whether there are refresh tokens
 * - `startId`: starts another provider: gets `{page, origin, idOrigin, ingress}`, hands back `{origin, stop}`
 * - `behind`: starts another application: gets `{loginOrigin}`, hands back `{port, stop}`
 */
export async function startLoaderWorld({
  app: appHost = "app.example.com",
  login: loginHost = "login.example.com",
  id: idHost = "id.example.net",
  loader = () => {},
  plugin = () => {},
  change = () => {},
  life,
  refresh,
  startId = ({ page }) => startProvider({ host: idHost, pages: [page], life, refresh }),
  behind = startApp,
  args,
} = {}) {
  const running = [];
  const keep = (thing) => running.unshift(thing) && thing;
  const stop = async () => {
    for (const thing of running.splice(0)) await (thing.stop?.() ?? thing.close());
  };
  try {
    const ingress = keep(await startIngress());
    const origin = ingress.origin(appHost);
    const loginOrigin = ingress.origin(loginHost);
    const page = `${loginOrigin}/loader.html`;
    const idOrigin = ingress.origin(idHost);
    const provider = keep(await startId({ page, origin, idOrigin, ingress }));
    const app = keep(await behind({ loginOrigin }));
    const moved = (text) =>
      text
        .replaceAll("https://app.example.com", origin)
        .replaceAll("https://login.example.com", loginOrigin)
        .replaceAll("https://keycloak.example.com", provider.origin)
        // As the cluster names it.
        .replaceAll("keycloak.example.com", new URL(provider.origin).hostname);

    const envoy = keep(
      await startEnvoy({
        file: "keycloak/envoy.yaml",
        clusters: { upstream: app.port },
        change(bootstrap) {
          Object.assign(bootstrap, JSON.parse(moved(JSON.stringify(bootstrap))));
          leadHere(bootstrap, "keycloak", new URL(provider.origin).port);
          const manager = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
          // The ingress ends TLS.
          manager.xff_num_trusted_hops = 1;
          const site = manager.route_config.virtual_hosts.find(({ name }) => name === "login");
          site.domains = [`${loginHost}:*`];
          const file = site.routes.find(({ match }) => match.path === "/loader.json").direct_response.body;
          const config = JSON.parse(moved(read(`${file.filename}`)));
          loader(config, { origin, provider });
          delete file.filename;
          file.inline_string = JSON.stringify(config);
          for (const one of plugins(bootstrap)) {
            const shipped = pluginConfig(one);
            // The application knows people by this one.
            shipped.providers[0].claim_headers["x-jwt-sub"] = "sub";
            plugin(shipped);
            setPluginConfig(one, shipped);
          }
          change(bootstrap, { site, manager, loginOrigin });
        },
      }),
    );
    for (const host of [appHost, loginHost, "lab.example.com"]) ingress.hosts[host] = envoy.port("app");
    const browser = keep(await launch({ args }));
    return { app, browser, envoy, ingress, loginOrigin, origin, page, provider, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
