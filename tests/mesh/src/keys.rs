//! Keys that the sidecar fetches from an issuer which Istio leads to, beside tokens of machines by a key of the plugin.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rig::http;
use rig::issuer::{Issuer, Serve};
use rig::jwt::{Key, mint, now};
use rig::place::{bearer, bytes};
use rig::tls::{Authority, TlsServer, Valid};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::{Agent, Pod};
use crate::manifests::{self, ISSUER, Ways};
use crate::parts::{free_ports, until};
use crate::report::{Report, ensure};
use crate::world::{World, settled};

const NAMESPACE: &str = "issuers";
/// The issuer of `issuer.yaml`.
const NAME: &str = "https://keycloak.example.com/realms/people";
const DOCUMENT: &str = "/realms/people/.well-known/openid-configuration";
const JWKS: &str = "/certs";
/// What the workload sees of the mesh: its own namespace.
const OWN: &str = "./*";
/// A `kid` that is not known makes the keys be fetched once more, this long after the last time at the earliest.
const BETWEEN_FETCHES: Duration = Duration::from_secs(11);
const REQUESTS: usize = 40;

/// The issuer, behind TLS, and the workspace that trusts it.
struct Place<'a> {
    world: &'a World,
    issuer: Issuer,
    tls: TlsServer,
    folder: TempDir,
    port: u16,
    ways: Ways,
}

pub(crate) fn run(world: &World, report: &mut Report) {
    let [port, of_filter, of_programs] = free_ports(3).try_into().expect("three ports");
    let issuer = Issuer::start();
    let uri = format!("https://{ISSUER}{JWKS}");
    issuer.serve(DOCUMENT, Serve::json(&json!({"issuer": NAME, "jwks_uri": uri})));
    issuer.serve_keys(JWKS, &[Key::fixed("b").jwk("1")]);
    let tls = TlsServer::start(&certificate(ISSUER), &server(), issuer.port());
    let folder = TempDir::new().expect("a temporary folder");
    let place = Place { world, issuer, tls, folder, port, ways: Ways { of_filter, of_programs } };
    world.cluster.namespace(NAMESPACE, "default");
    world.cluster.apply(&place.resources(OWN));

    report
        .scenario("issuer.yaml: keys by a ServiceEntry, verified by a DestinationRule", || place.rotation());
    report.scenario("keys of an issuer with a certificate of another name", || {
        place.tls.show(&certificate("evil.internal"), &server());
        place.without_keys(&|| place.tls.show(&certificate(ISSUER), &server()))
    });
    report.scenario("keys of an issuer that the Sidecar resource hides", || {
        world.cluster.apply(&place.resources("other/*"));
        place.without_keys(&|| world.cluster.apply(&place.resources(OWN)))
    });
    world.cluster.delete(&place.resources(OWN));
}

impl Place<'_> {
    fn agent(&self) -> Agent {
        self.world.agent(&Pod {
            role: "sidecar",
            namespace: NAMESPACE.into(),
            labels: json!({"app": "workspace"}),
            address: "127.0.0.7",
            workers: 2,
        })
    }

    /// `issuer.yaml`, with machines of a workspace; `seen` is what the workload sees of the mesh.
    fn resources(&self, seen: &str) -> Vec<Value> {
        let authority = self.folder.path().join("authority.pem");
        fs::write(&authority, Authority::new(Key::fixed("a")).certificate()).expect("a file");
        let labels = json!({"app": "workspace"});
        let mut sidecar = manifests::sidecar(NAMESPACE, &labels, &[self.port], self.world.upstream.port());
        sidecar["spec"]["egress"] = json!([{"hosts": [seen]}]);
        let mut resources =
            manifests::issuer(&self.world.module, NAMESPACE, self.ways, self.tls.port(), &authority);
        let plugin = resources.last_mut().expect("a plugin");
        plugin["spec"]["pluginConfig"]["providers"][1] = json!({
            "name": "machines", "issuer": "machines", "keys": [{"env": "JWT_PUBLIC_KEY"}],
            "required_header": {"kind": "machine_token"}, "required_claims": {"wsid": "workspace123"},
            "require_exp": false, "subject_claim": "uid", "claim_headers": {"x-machine": "uid"},
        });
        resources.push(sidecar);
        resources
    }

    fn rotation(&self) -> Result<String, String> {
        let agent = self.agent();
        let took = settled(self.port, &[(None, 401), (Some(person("b", "RS256", "1")), 200)])?;
        self.ask(&machine("a", "workspace123"), 200)?;
        let first = self.issuer.requests(JWKS);
        ensure(first == 1, || format!("{first} fetches at first"))?;
        sleep(BETWEEN_FETCHES);
        self.issuer.serve_keys(JWKS, &[Key::fixed("p256").jwk("2")]);
        // The first of them waits, and nobody is refused.
        for _ in 0..REQUESTS {
            self.ask(&person("p256", "ES256", "2"), 200)?;
            self.ask(&machine("a", "workspace123"), 200)?;
        }
        self.ask(&person("b", "RS256", "1"), 401)?;
        self.ask(&person("p256_b", "ES256", "2"), 401)?;
        self.ask(&machine("a", "workspace9"), 403)?;
        self.ask(&machine("b", "workspace123"), 401)?;
        let fetched = self.issuer.requests(JWKS);
        ensure(fetched == 2, || format!("{fetched} fetches by 2 workers"))?;
        let shown = agent.admin(&format!("/clusters?filter=outbound.{}..{ISSUER}", self.ways.of_filter));
        ensure(shown.contains(ISSUER), || format!("no such cluster: {shown}"))?;
        Ok(format!(
            "a person's token 200 {} ms after the start; a new key: {REQUESTS} of {REQUESTS} tokens 200 at once, the old \
             key's 401; 2 fetches by 2 workers; {REQUESTS} of {REQUESTS} machine tokens 200 side by side, another \
             workspace's 403",
            took.as_millis()
        ))
    }

    /// Without its keys a provider judges nobody, until somebody mends it; the other one does not mind.
    fn without_keys(&self, mend: &dyn Fn()) -> Result<String, String> {
        let agent = self.agent();
        let before = self.issuer.requests(DOCUMENT);
        settled(self.port, &[(None, 401), (Some(machine("a", "workspace123")), 200)])?;
        let of_person = person("p256", "ES256", "2");
        until(Duration::from_secs(20), || self.reason(&of_person) == "keys_unavailable")
            .ok_or_else(|| format!("a person gets {:?}", self.reason(&of_person)))?;
        self.ask(&of_person, 503)?;
        ensure(self.issuer.requests(DOCUMENT) == before, || "the issuer was asked".into())?;
        let said = || agent.said("the keys of provider people could not be fetched");
        until(Duration::from_secs(10), || said().is_some()).ok_or("the log does not say why")?;
        println!("      agent's log: {}", said().unwrap_or_default().replace('\t', " "));
        mend();
        let mended = settled(self.port, &[(Some(of_person), 200)])?;
        Ok(format!(
            "503 keys_unavailable for a person, 200 for a machine, the issuer never asked; mended, 200 after {} ms \
             without a restart",
            mended.as_millis()
        ))
    }

    fn ask(&self, token: &str, wanted: u16) -> Result<(), String> {
        let answer = self.get(token);
        ensure(answer.status == wanted, || {
            format!("wanted {wanted}, got {}: {}", answer.status, answer.text())
        })
    }

    fn reason(&self, token: &str) -> String {
        let body: Value = serde_json::from_slice(&self.get(token).body).unwrap_or_default();
        body["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn get(&self, token: &str) -> http::Response {
        http::request(self.port, "GET", "/notes", &bytes(&[("authorization", &bearer(token))]), b"")
    }
}

/// The key of the issuer's server.
fn server() -> Key {
    Key::fixed("b")
}

fn certificate(host: &str) -> String {
    Authority::new(Key::fixed("a")).certify(&server(), host, Valid::Long)
}

fn person(key: &str, alg: &str, kid: &str) -> String {
    let claims =
        json!({"iss": NAME, "aud": "workspace", "typ": "Bearer", "sub": "alice", "exp": now() + 3600});
    mint(&Key::fixed(key), alg, json!({"alg": alg, "kid": kid}), claims)
}

fn machine(key: &str, workspace: &str) -> String {
    let claims = json!({"iss": "machines", "wsid": workspace, "uid": "user1", "jti": "1"});
    mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kind": "machine_token"}), claims)
}
