//! The certificate of an issuer: by the cluster that is shipped, keys are taken of nobody else.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

use std::time::Instant;

use rig::envoy::{Envoy, Options};
use rig::http::{self, Response};
use rig::issuer::{Issuer, Serve};
use rig::jwt::{Key, mint, now};
use rig::place::bearer;
use rig::shipped;
use rig::time::{fetches, soon};
use rig::tls::{Authority, TlsServer, Valid};
use rig::upstream::Upstream;
use serde_json::{Value, json};

const HOST: &str = "keycloak.example.com";
const REALM: &str = "https://keycloak.example.com/realms/NAME";
const DISCOVERY: &str = "/realms/NAME/.well-known/openid-configuration";
const JWKS: &str = "/realms/NAME/protocol/openid-connect/certs";

/// Keycloak behind TLS, and the Envoy of the Keycloak example.
struct Place {
    envoy: Envoy,
    issuer: Issuer,
    tls: TlsServer,
    _upstream: Upstream,
}

fn authority() -> Authority {
    Authority::new(Key::fixed("a"))
}

/// The server's own key.
fn server() -> Key {
    Key::fixed("b")
}

fn good_certificate() -> String {
    authority().certify(&server(), HOST, Valid::Long)
}

/// What the issuer must not show; beside it, what Envoy counts then.
fn wrong_certificates() -> [(&'static str, String, &'static str); 4] {
    let impostor = Authority::new(Key::fixed("b"));
    [
        ("another name", authority().certify(&server(), "evil.example.com", Valid::Long), "fail_verify_san"),
        ("another authority", impostor.certify(&server(), HOST, Valid::Long), "fail_verify_error"),
        ("its time is over", authority().certify(&server(), HOST, Valid::Once), "fail_verify_error"),
        ("its own authority", server().certificate_pem(), "fail_verify_error"),
    ]
}

impl Place {
    /// The issuer shows that certificate. Of what is shipped only its address and authority are changed, and `change`.
    fn start(certificate: &str, change: fn(&mut Value)) -> Self {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        issuer.serve(DISCOVERY, Serve::json(&json!({"issuer": REALM, "jwks_uri": jwks_uri()})));
        issuer.serve_keys(JWKS, &[Key::fixed("a").jwk("1")]);
        let tls = TlsServer::start(certificate, &server(), issuer.port());
        let mut bootstrap = shipped::bootstrap("keycloak/envoy.yaml");
        shipped::free_ports(&mut bootstrap);
        shipped::set_cluster_port(&mut bootstrap, "upstream", upstream.port());
        shipped::lead_here(&mut bootstrap, "keycloak", tls.port(), &authority().certificate());
        change(&mut bootstrap);
        let envoy = Envoy::start_with(bootstrap, &Options { concurrency: 2, ..Options::default() });
        Self { envoy, issuer, tls, _upstream: upstream }
    }

    fn ask(&self, key: &str, kid: &str) -> Response {
        let claims = json!({
            "iss": REALM, "aud": "app", "sub": "alice", "typ": "Bearer", "azp": "app-login", "exp": now() + 300,
        });
        let token = mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kid": kid}), claims);
        http::request(
            self.envoy.port("app"),
            "GET",
            "/",
            &[("authorization", bearer(&token).as_bytes())],
            b"",
        )
    }

    fn failures(&self, kind: &str) -> u64 {
        let stats = self.envoy.admin("/stats?filter=cluster.keycloak.ssl");
        let name = format!("cluster.keycloak.ssl.{kind}: ");
        let value = stats.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {stats}"))
    }
}

fn jwks_uri() -> String {
    format!("https://{HOST}{JWKS}")
}

fn is_unavailable(response: &Response, why: &str) {
    assert_eq!(
        (response.status, &response.json()["reason"]),
        (503, &json!("keys_unavailable")),
        "{why}: {response:?}"
    );
}

/// How often it is said that the keys could not be fetched.
fn complaints(place: &Place) -> usize {
    place.envoy.log().matches("the keys of provider keycloak could not be fetched (status 503)").count()
}

#[test]
fn keys_are_taken_of_an_issuer_with_a_good_certificate() {
    for discovers in [true, false] {
        let began = Instant::now();
        let place = Place::start(
            &good_certificate(),
            if discovers {
                |_| {}
            } else {
                |bootstrap| {
                    let mut config = shipped::plugin_config(bootstrap);
                    config["providers"][0]["remote_jwks"] = json!({"uri": jwks_uri(), "cluster": "keycloak"});
                    shipped::set_plugin_config(bootstrap, &config.to_string());
                }
            },
        );
        for _ in 0..4 {
            assert_eq!(place.ask("a", "1").status, 200);
        }
        assert_eq!(place.ask("b", "1").status, 401);
        for (path, needed) in [(DISCOVERY, usize::from(discovers)), (JWKS, 1)] {
            assert!(fetches(needed, began).contains(&place.issuer.requests(path)), "{path}");
        }
        assert_eq!((place.failures("fail_verify_san"), place.failures("fail_verify_error")), (0, 0));
    }
}

#[test]
fn keys_are_not_taken_of_an_issuer_with_a_wrong_certificate() {
    for (why, certificate, counted) in wrong_certificates() {
        let place = Place::start(&certificate, |_| {});
        is_unavailable(&place.ask("a", "1"), why);
        let log = place.envoy.log_with("there are none yet");
        assert!(log.contains("the keys of provider keycloak could not be fetched (status 503)"), "{log}");
        assert!(place.failures(counted) > 0, "{why}");
        // Not even the question reached it.
        assert_eq!((place.issuer.requests(DISCOVERY), place.issuer.requests(JWKS)), (0, 0), "{why}");
        // It is the certificate that was wrong.
        place.tls.show(&good_certificate(), &server());
        soon("the keys are taken", || place.ask("a", "1").status == 200);
    }
}

/// It is the cluster that refuses them: Envoy by itself verifies nothing.
#[test]
fn without_what_the_shipped_cluster_verifies_keys_are_taken_of_anybody() {
    for (why, certificate, _) in wrong_certificates() {
        let place = Place::start(&certificate, |bootstrap| {
            let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
            let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == "keycloak").expect("it");
            let tls = &mut cluster["transport_socket"]["typed_config"]["common_tls_context"];
            tls.as_object_mut().expect("an object").remove("validation_context");
        });
        assert_eq!(place.ask("a", "1").status, 200, "{why}");
    }
}

#[test]
fn keys_stay_when_the_certificate_becomes_wrong() {
    let place = Place::start(&good_certificate(), |bootstrap| {
        let mut config = shipped::plugin_config(bootstrap);
        config["providers"][0]["remote_jwks"]["refresh_seconds"] = json!(1);
        shipped::set_plugin_config(bootstrap, &config.to_string());
    });
    assert_eq!(place.ask("a", "1").status, 200);
    for (why, certificate, counted) in wrong_certificates() {
        // Whoever shows it has keys of their own.
        place.tls.show(&certificate, &server());
        place.issuer.serve_keys(JWKS, &[Key::fixed("b").jwk("2")]);
        let (asked, complained, failed) =
            (place.issuer.requests(JWKS), complaints(&place), place.failures(counted));
        soon("it is refused again", || complaints(&place) > complained + 1);
        assert!(place.failures(counted) > failed, "{why}");
        assert!(place.issuer.requests(JWKS) <= asked + 1, "{why}: one may have been under way");
        for _ in 0..8 {
            assert_eq!(place.ask("a", "1").status, 200, "{why}");
        }
        let foreign = place.ask("b", "2");
        assert_eq!((foreign.status, &foreign.json()["reason"]), (401, &json!("unknown_key")), "{why}");
        // Its own keys first, so that no others are fetched between.
        place.issuer.serve_keys(JWKS, &[Key::fixed("a").jwk("1")]);
        place.tls.show(&good_certificate(), &server());
        let asked = place.issuer.requests(JWKS);
        soon("it is asked again", || place.issuer.requests(JWKS) > asked);
    }
    assert!(place.envoy.log().contains("stale, those of"));
}

/// What stands in the first file to be uncommented is the same.
#[test]
fn the_cluster_in_a_comment_verifies_as_much() {
    let path = rig::repository("envoy/envoy.yaml");
    let text = std::fs::read_to_string(path).expect("the file");
    let uncommented: String = text
        .lines()
        .skip_while(|line| !line.ends_with("# - name: issuer"))
        .map(|line| line.strip_prefix("  # ").expect("a comment up to the end of the file"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let cluster = shipped::parse(&uncommented)[0].take();
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
    clusters.push(cluster.clone());
    let mut config = shipped::plugin_config(&bootstrap);
    let provider = config["providers"][0].as_object_mut().expect("a provider");
    provider.remove("keys");
    provider.insert("remote_jwks".into(), json!({"discovery": true, "cluster": "issuer"}));
    shipped::set_plugin_config(&mut bootstrap, &config.to_string());
    let options = Options::with_env([("JWT_PUBLIC_KEY", "")]);
    let (accepted, said) = rig::envoy::validate_with(bootstrap, &options);
    assert!(accepted, "{said}");

    let keycloak = shipped::yaml("keycloak/envoy.yaml")["static_resources"]["clusters"][1].to_string();
    let alike = keycloak.replace(HOST, "login.example.com").replace("\"keycloak\"", "\"issuer\"");
    assert_eq!(cluster.to_string(), alike);
}
