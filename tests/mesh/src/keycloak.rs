//! A workspace whose people come from a real Keycloak: its keys are fetched by way of a `ServiceEntry`, and machines
//! bring tokens of another issuer side by side.

use std::process::Command;
use std::time::Duration;

use rig::http::{self, Response};
use rig::jwt::Key;
use rig::place::{bearer, bytes, seen};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::Pod;
use crate::control_plane::status;
use crate::manifests;
use crate::parts::{Part, bring, free_ports};
use crate::report::{Report, ensure};
use crate::world::{World, settled, token_of};

const START_LIMIT: Duration = Duration::from_mins(3);
const ADMIN: &str = "admin";
const PASSWORD: &str = "correct-horse";

pub(crate) fn run(world: &World, report: &mut Report) {
    report.scenario("Keycloak: its keys through a ServiceEntry, people and machines side by side", || {
        let keycloak = Keycloak::start()?;
        behind_a_gateway(world, &keycloak)
    });
}

fn behind_a_gateway(world: &World, keycloak: &Keycloak) -> Result<String, String> {
    let [port, ingress, out] = free_ports(3).try_into().expect("three ports");
    let (namespace, host) = ("people", "keycloak.outside");
    let (app, edge) = (json!({"app": "people"}), json!({"istio": "people-gateway"}));
    world.cluster.namespace(namespace, "default");
    let mut sidecar = manifests::sidecar(namespace, &app, &[port], world.upstream.port());
    sidecar["spec"]["egress"] = json!([{"hosts": [format!("./{host}")]}]);
    let mut outside = manifests::outside(namespace, host, out);
    outside["spec"]["endpoints"] = json!([{"address": "127.0.0.1", "ports": {"http": keycloak.port}}]);
    let config = json!({
        "providers": [{
            "name": "keycloak",
            "issuer": keycloak.issuer(),
            "audiences": ["app"],
            "remote_jwks": {
                "uri": format!("{}/protocol/openid-connect/certs", keycloak.issuer()),
                "cluster": format!("outbound|{out}||{host}"),
                "allow_http": true,
            },
            "claim_headers": {"x-jwt-sub": "preferred_username"},
        }, {
            "name": "machines",
            "issuer": "https://login.example.com",
            "audiences": ["workspace"],
            "keys": [{"pem": Key::fixed("a").public_pem()}],
            "claim_headers": {"x-jwt-sub": "sub"},
        }],
    });
    let plugin = manifests::at_port(namespace, "jwtproxy", "SERVER", port, &world.module, &config);
    let host_of_app = "people.internal";
    world.cluster.apply(
        &[
            vec![sidecar, outside, plugin],
            manifests::service(namespace, host_of_app, &app, "127.0.0.1", &[port]),
            manifests::gateway(namespace, &edge, &[ingress], host_of_app, port),
        ]
        .concat(),
    );
    let pod = |role, labels, address| Pod { role, namespace: namespace.into(), labels, address, workers: 1 };
    let _sidecar = world.agent(&pod("sidecar", app, "127.0.0.6"));
    let _gateway = world.agent(&pod("router", edge, "127.0.0.7"));

    let person = keycloak.token()?;
    let machine = token_of("robot");
    settled(ingress, &[(None, 401), (Some(person.clone()), 200), (Some(machine.clone()), 200)])?;
    let names = [&person, &machine].map(|token| {
        let answer = http::request(ingress, "GET", "/", &bytes(&[("authorization", &bearer(token))]), b"");
        seen(&answer.json(), "x-jwt-sub").join(",")
    });
    ensure(names == ["alice", "robot"], || format!("the server saw {names:?}"))?;
    let forged = person.rsplit_once('.').map(|(signed, _)| format!("{signed}.{}", "A".repeat(342)));
    settled(ingress, &[(forged, 401)])?;
    Ok("through a gateway: a person of Keycloak is alice, a machine is robot, a forged token gets 401".into())
}

/// A running Keycloak with a realm, a client and a person.
struct Keycloak {
    port: u16,
    _part: Part,
    _folder: TempDir,
}

impl Keycloak {
    fn start() -> Result<Self, String> {
        let [port] = free_ports(1).try_into().expect("a port");
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = Command::new("unshare");
        // In a process namespace of its own its Java ends with it.
        command
            .args(["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"])
            .arg(bring("keycloak")?.join("bin/kc.sh"))
            .args(["start", "--optimized", "--cache=local", "--http-enabled=true", "--http-host=127.0.0.1"])
            .arg(format!("--http-port={port}"))
            .arg(format!("--hostname=http://127.0.0.1:{port}"))
            // For so short a life the better compiler does not pay.
            .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1")
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN);
        let mut server = Part::start(&mut command, &folder.path().join("log"));
        server.wait("Keycloak", START_LIMIT, || status(port, "/realms/master") == Some(200));
        let keycloak = Self { port, _part: server, _folder: folder };
        keycloak.make("", &json!({"realm": "mesh", "enabled": true}))?;
        keycloak.make(
            "/mesh/clients",
            &json!({
                "clientId": "people", "publicClient": true, "directAccessGrantsEnabled": true,
                "protocolMappers": [{
                    "name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                    "config": {"included.custom.audience": "app", "access.token.claim": "true"},
                }],
            }),
        )?;
        keycloak.make(
            "/mesh/users",
            &json!({
                "username": "alice", "enabled": true, "email": "alice@example.com", "emailVerified": true,
                "firstName": "Alice", "lastName": "Arden",
                "credentials": [{"type": "password", "value": PASSWORD}],
            }),
        )?;
        Ok(keycloak)
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}/realms/mesh", self.port)
    }

    /// A token of alice.
    fn token(&self) -> Result<String, String> {
        self.grant("mesh", &format!("client_id=people&username=alice&password={PASSWORD}"))
    }

    fn grant(&self, realm: &str, fields: &str) -> Result<String, String> {
        let path = format!("/realms/{realm}/protocol/openid-connect/token");
        let body = format!("grant_type=password&scope=openid&{fields}");
        let headers = bytes(&[("content-type", "application/x-www-form-urlencoded")]);
        let answer = http::request(self.port, "POST", &path, &headers, body.as_bytes());
        let token = expect(&answer, 200)?["access_token"].clone();
        token.as_str().map(str::to_owned).ok_or_else(|| "no access_token".into())
    }

    /// Makes something by the admin API.
    fn make(&self, path: &str, what: &Value) -> Result<(), String> {
        let token =
            self.grant("master", &format!("client_id=admin-cli&username={ADMIN}&password={ADMIN}"))?;
        let authorization = bearer(&token);
        let headers = bytes(&[("authorization", &authorization), ("content-type", "application/json")]);
        let path = format!("/admin/realms{path}");
        let answer = http::request(self.port, "POST", &path, &headers, what.to_string().as_bytes());
        expect(&answer, 201).map(drop)
    }
}

fn expect(answer: &Response, wanted: u16) -> Result<Value, String> {
    ensure(answer.status == wanted, || format!("{} {}", answer.status, answer.text()))?;
    Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
}
