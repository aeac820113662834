// loader.json: at which provider people sign in, and to which applications. Nothing is sent to any other.

const FIELDS = {
  applications: "",
  authority: "",
  che: "",
  client_id: "",
  keycloak_settings: "",
  parameters: {},
  resource: undefined,
  scope: "openid",
  token: "access_token",
};
const FIELDS_OF_APPLICATION = { auth_path: "/jwt/auth", renewal: "", return_param: "redirectUrl", url: "" };
const FIELDS_OF_CHE = { api: "" };

/** What the file says, checked and with defaults. */
export async function readConfig() {
  const config = fields(await getJson("loader.json"), FIELDS, "");
  check(Array.isArray(config.applications) && config.applications.length, "applications: at least one");
  config.applications = config.applications.map(application);
  check(!config.authority !== !config.keycloak_settings, "authority or keycloak_settings: one of them");
  check(["access_token", "id_token"].includes(config.token), "token: access_token or id_token");
  if (config.keycloak_settings) Object.assign(config, await keycloak(config));
  check(config.client_id, "client_id: is missing");
  absolute(config.authority, "authority");
  if (config.che) {
    config.che = fields(config.che, FIELDS_OF_CHE, "che.");
    config.che.api = absolute(config.che.api, "che.api").href.replace(/\/*$/, "/");
  }
  return config;
}

/** The application that an address belongs to: of several, the one that names more of its path. */
export function applicationOf({ applications }, target) {
  const fitting = applications.filter((one) => covers(one, target));
  return fitting.sort((one, other) => other.base.length - one.base.length)[0];
}

/** Whether an address is on that host, and its path below that one. Whole segments count, whole labels, and the port. */
export function covers({ url, anyLabel, base }, target) {
  const host = anyLabel ? target.host.replace(/^[^.]+\./, "") : target.host;
  const below = target.pathname === base || target.pathname.startsWith(`${base}/`);
  return (
    target.protocol === url.protocol && host === url.host && below && !target.username && !target.password
  );
}

/** How an address is compared with others. */
export const place = (url) => ({ url, base: url.pathname.replace(/\/+$/, "") });

/** A JSON document, as it is now. */
export async function getJson(address, options) {
  const answer = await fetch(address, { cache: "no-store", ...options });
  if (!answer.ok) throw new Error(`${address}: status ${answer.status}`);
  return answer.json().catch((error) => {
    throw new Error(`${address}: ${error.message}`);
  });
}

function application(entry, index) {
  const name = `applications[${index}].`;
  const one = fields(entry, FIELDS_OF_APPLICATION, name);
  check(["", "stay", "frame"].includes(one.renewal), `${name}renewal: stay or frame`);
  check(/^\/[^/?#]/.test(one.auth_path), `${name}auth_path: a path`);
  const anyLabel = /^https?:\/\/\*\./.test(one.url);
  const url = absolute(anyLabel ? one.url.replace("*.", "") : one.url, `${name}url`);
  check(
    !url.search && !url.hash && !url.username && !/[*%]/.test(url.host),
    `${name}url: host and path only`,
  );
  check(!anyLabel || url.hostname.includes("."), `${name}url: too many hosts`);
  return { ...one, ...place(url), anyLabel, name: one.url };
}

async function keycloak(config) {
  const found = await getJson(config.keycloak_settings);
  const server = found["che.keycloak.auth_server_url"]?.replace(/\/+$/, "");
  const realm = found["che.keycloak.realm"];
  return {
    authority: found["che.keycloak.oidc_provider"] ?? (server && realm && `${server}/realms/${realm}`),
    client_id: config.client_id || found["che.keycloak.client_id"],
  };
}

function fields(found, known, name) {
  check(found && typeof found === "object", `${name || "it"}: an object`);
  const unknown = Object.keys(found).find((field) => !Object.hasOwn(known, field));
  check(!unknown, `${name}${unknown}: no such field`);
  return { ...known, ...found };
}

function absolute(text, name) {
  let url;
  try {
    url = new URL(text);
  } catch {
    check(false, `${name}: a whole URL`);
  }
  check(/^https?:$/.test(url.protocol), `${name}: an http or https URL`);
  return url;
}

function check(holds, words) {
  if (!holds) throw new Error(`loader.json: ${words}`);
}
